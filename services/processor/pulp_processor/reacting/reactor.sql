-- timeline --
-- The timeline changes with every failover. This fails on a standby server, so that nothing is judged there.
select timeline();

-- positions --
select partition, next_offset from positions;

-- end_candidates --
-- Tasks that must end, or whose attempt must, and the facts that decide how. A lease runs from its worker's last
-- heartbeat, or from the start of the attempt if nobody holds its claim. A restart of Postgres counts as a heartbeat,
-- since none could arrive before it. Leases count only after the warm-up: in `trusted` partitions, and once `warm_up_s`
-- exceeds the lease.
with seen as materialized (  -- three kinds, each by an index of its own, which the condition on partitions would keep from being used
    select task_id, state, attempt_id, worker, partition, depends_on, started_at, timeout_seconds, deadline_seconds,
           cancel_requested_at, accepted_at
      from tasks where state in ('running', 'cancelling') and purged_at is null
     union all
    select task_id, state, attempt_id, worker, partition, depends_on, started_at, timeout_seconds, deadline_seconds,
           cancel_requested_at, accepted_at
      from tasks where state = 'waiting' and depends_on <> '{}' and partition = any (%(owned)s)
     union all
    select task_id, state, attempt_id, worker, partition, depends_on, started_at, timeout_seconds, deadline_seconds,
           cancel_requested_at, accepted_at
      from tasks
     where state = 'waiting' and depends_on = '{}' and deadline_seconds is not null and not is_final(state)
       and (accepted_at at time zone 'UTC') + make_interval(secs => deadline_seconds) < now() at time zone 'UTC'
), candidates as (
    select t.task_id, t.state, t.attempt_id, t.started_at, t.timeout_seconds, t.deadline_seconds, t.cancel_requested_at,
           t.accepted_at,
           t.state = 'waiting' and exists (
               select from tasks d
                where d.task_id = any (t.depends_on) and is_final(d.state) and d.state <> 'successful'
           ) as has_failed_dependency,
           t.attempt_id is not null
               and t.partition = any (%(trusted)s)
               and l.seconds < %(warm_up_s)s
               and greatest(coalesce(h.heartbeat_at, t.started_at), pg_postmaster_start_time())
                   + make_interval(secs => l.seconds) < now() as has_lost_lease
      from seen t
      left join lateral (select worker, instance_id from claims  -- by key, whatever the statistics say
                          where task_id = t.task_id and attempt_id = t.attempt_id and released_at is null offset 0) c on true
      left join workers h on h.name = c.worker and h.instance_id = c.instance_id and h.stopped_at is null
      left join workers w on w.name = t.worker
     cross join lateral (select coalesce(w.lease_seconds, %(lease_s)s) + %(margin_s)s as seconds) l
     where t.partition = any (%(owned)s)
       and t.task_id <> all (%(under_way)s)
       and not exists (select from dead_letters p  -- what it is now, is not known
                        where p.task_id = t.task_id and p.partition = t.partition and p.standing = 'parks')
)
select task_id, has_failed_dependency, has_lost_lease, now()
  from candidates
 where has_failed_dependency
    or has_lost_lease
    or state = 'cancelling'
       and (attempt_id is null or cancel_requested_at + make_interval(secs => %(grace_s)s) < now())
    or started_at + make_interval(secs => timeout_seconds) < now()
    or accepted_at + make_interval(secs => deadline_seconds) < now()
 order by accepted_at
 limit %(most)s;

-- sweep --
-- Claims that are no longer needed: their worker has released them, or its lease has expired. If the task has ended, the
-- claim is deleted; also where it is released, and its attempt is over: the task knows its number, and claims of tasks that wait long
-- for their next attempt are not read in each round. If the attempt has not started, the task may be assigned again under the next
-- number, so the row stays.
-- A claim may have been assigned again meanwhile, with another attempt. The dispatcher is notified of the holds of these claims.
with suspected as materialized (  -- nearly always empty, and then no task is read
    select c.task_id, c.attempt, c.attempt_id, c.hold_id, c.released_at
      from claims c
      left join workers h on h.name = c.worker and h.instance_id = c.instance_id and h.stopped_at is null
      left join workers w on w.name = c.worker
     cross join lateral (select coalesce(w.lease_seconds, %(lease_s)s) + %(margin_s)s as seconds) l
     where c.partition = any (%(owned)s)
       and (c.released_at is not null
            or c.partition = any (%(trusted)s)
               and l.seconds < %(warm_up_s)s
               and greatest(coalesce(h.heartbeat_at, c.claimed_at), pg_postmaster_start_time())
                   + make_interval(secs => l.seconds) < now())
), dead as (
    select c.task_id, c.attempt_id, c.hold_id, c.released_at, t.state,
           c.attempt <= t.attempt and c.attempt_id is distinct from t.attempt_id as is_over
      from suspected c
      join tasks t using (task_id)
     where not exists (select from dead_letters p  -- what it holds, it keeps
                        where p.task_id = t.task_id and p.partition = t.partition and p.standing = 'parks')
), forgotten as (
    delete from claims c using dead d
     where c.task_id = d.task_id and c.attempt_id = d.attempt_id
       and (is_final(d.state) or d.is_over and d.released_at is not null and c.released_at is not null)
 returning c.hold_id, d.released_at
), released as (
    update claims c set released_at = now() from dead d
     where c.task_id = d.task_id and c.attempt_id = d.attempt_id
       and d.state in ('waiting', 'cancelling') and c.released_at is null
 returning c.hold_id
), ended as (
    select hold_id, row_number() over () / 200 as part
      from (select hold_id from forgotten where released_at is null
             union
            select hold_id from released) e
)
select pg_notify('pulp_dispatch', string_agg(hold_id::text, ' ')) from ended group by part;
