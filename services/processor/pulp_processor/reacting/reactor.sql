-- standing --
-- The timeline changes when another server takes over. Fails on a server that is no primary: nothing is judged there.
select timeline();

-- positions --
select partition, next_offset from positions;

-- situations --
-- Tasks that need an end, with what decides which. A lease runs from when its worker was heard last; where nobody holds
-- the attempt's claim, from its start. A restart of Postgres counts as heard: it could not hear anybody before.
-- Judged only where the reactor has seen enough: `judged` partitions, and a lease's time of heartbeats (`seen_s`).
with standing as (
    select t.task_id, t.state, t.attempt_id, t.started_at, t.timeout_seconds, t.cancel_requested_at, t.accepted_at,
           t.state = 'waiting' and exists (
               select from tasks d
                where d.task_id = any (t.depends_on) and d.state in ('failed', 'cancelled', 'skipped')
           ) as has_failed_dependency,
           t.attempt_id is not null
               and t.partition = any (%(judged)s)
               and l.seconds < %(seen_s)s
               and greatest(coalesce(h.heartbeat_at, t.started_at), pg_postmaster_start_time())
                   + make_interval(secs => l.seconds) < now() as has_lost_lease
      from tasks t
      left join claims c on c.task_id = t.task_id and c.attempt_id = t.attempt_id and c.released_at is null
      left join workers h on h.name = c.worker and h.instance_id = c.instance_id and h.stopped_at is null
      left join workers w on w.name = t.worker
     cross join lateral (select coalesce(w.lease_seconds, %(lease_s)s) + %(margin_s)s as seconds) l
     where t.partition = any (%(owned)s)
       and (t.state in ('running', 'cancelling') or t.state = 'waiting' and t.depends_on <> '{}')
       and t.task_id <> all (%(under_way)s)
)
select task_id, has_failed_dependency, has_lost_lease, now()
  from standing
 where has_failed_dependency
    or has_lost_lease
    or state = 'cancelling'
       and (attempt_id is null or cancel_requested_at + make_interval(secs => %(grace_s)s) < now())
    or started_at + make_interval(secs => timeout_seconds) < now()
 order by accepted_at
 limit %(most)s;

-- sweep --
-- Claims that nobody needs any more: their worker has let go, or is past its lease. Where the task has ended the claim
-- goes; where it has not begun, another worker may take it (under the next attempt number, so the row stays). What a task
-- without a claim holds was handed on to it just as its claim was swept away: then it goes with the next sweep.
with suspected as materialized (  -- nearly always none, and then no task is read
    select c.task_id, c.released_at
      from claims c
      left join workers h on h.name = c.worker and h.instance_id = c.instance_id and h.stopped_at is null
      left join workers w on w.name = c.worker
     cross join lateral (select coalesce(w.lease_seconds, %(lease_s)s) + %(margin_s)s as seconds) l
     where c.partition = any (%(owned)s)
       and (c.released_at is not null
            or c.partition = any (%(judged)s)
               and l.seconds < %(seen_s)s
               and greatest(coalesce(h.heartbeat_at, c.claimed_at), pg_postmaster_start_time())
                   + make_interval(secs => l.seconds) < now())
), dead as (
    select c.task_id, c.released_at, t.state
      from suspected c
      join tasks t using (task_id)
), forgotten as (
    delete from claims c using dead d
     where c.task_id = d.task_id and d.state in ('successful', 'failed', 'cancelled', 'skipped')
 returning c.task_id
), released as (
    update claims c set released_at = now() from dead d
     where c.task_id = d.task_id and d.state in ('waiting', 'cancelling') and c.released_at is null
 returning c.task_id
), freed as (
    delete from reservations
     where task_id in (select task_id from released)
        or task_id in (select task_id from dead where released_at is not null)
 returning task_id
)
select (select count(*) from forgotten) + (select count(*) from released) + (select count(*) from freed);

-- notify_claims --
select pg_notify('pulp_claims', '');
