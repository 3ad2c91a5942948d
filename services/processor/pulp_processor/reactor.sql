-- situations --
-- Unfinished tasks of some partitions that may need an end, with what decides it. A lease is live while its worker's
-- instance is registered and was heard within the lease, a restart of Postgres counting as heard.
select t.task_id, t.state = 'waiting' and exists (
           select from unnest(t.depends_on) d (task_id) join tasks s using (task_id)
            where s.state in ('failed', 'cancelled', 'skipped')) as has_failed_dependency,
       t.attempt_id is not null
           and t.started_at < now() - make_interval(secs => %(margin_s)s)
           and not exists (
               select from claims c join workers w on w.name = c.worker and w.instance_id = c.instance_id
                where c.task_id = t.task_id and c.attempt_id = t.attempt_id and c.released_at is null
                  and w.stopped_at is null
                  and greatest(w.heartbeat_at, pg_postmaster_start_time())
                      + make_interval(secs => w.lease_seconds + %(margin_s)s) > now())
           and pg_postmaster_start_time() + make_interval(secs => %(settle_s)s) < now() as has_lost_lease
  from tasks t
 where t.partition = any (%(partitions)s)
   and (t.state = 'cancelling'
        or (t.state = 'running')
        or (t.state = 'waiting' and t.depends_on <> '{}'));

-- sweep --
-- Claims that nobody needs any more: their task has ended, and the worker has let go or is past its lease.
with dead as (
    select c.task_id, t.state
      from claims c
      join tasks t using (task_id)
      left join workers w on w.name = c.worker and w.instance_id = c.instance_id and w.stopped_at is null
     where t.partition = any (%(partitions)s)
       and (c.released_at is not null
            or w.name is null and c.claimed_at + make_interval(secs => %(margin_s)s) < now()
            or greatest(w.heartbeat_at, pg_postmaster_start_time())
               + make_interval(secs => w.lease_seconds + %(margin_s)s) < now())
), forgotten as (
    delete from claims c using dead d
     where c.task_id = d.task_id and d.state in ('successful', 'failed', 'cancelled', 'skipped')
 returning c.task_id
), released as (
    update claims c set released_at = now() from dead d
     where c.task_id = d.task_id and d.state in ('waiting', 'cancelling') and c.released_at is null
 returning c.task_id
), freed as (
    delete from reservations where task_id in (select task_id from released)
)
select (select count(*) from forgotten) + (select count(*) from released);

-- notify_claims --
select pg_notify('pulp_claims', '');
