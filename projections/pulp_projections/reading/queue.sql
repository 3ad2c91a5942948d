-- waiting --
-- The tasks that wait and are not assigned to a worker.
waiting as (
    select t.task_id, t.queue, t.operation, t.created_by, t.priority, t.depends_on, t.exclusive_resources, t.shared_resources,
           t.accepted_at, t.partition, t.accepted_offset, t.retry_at
      from tasks t
     where t.state = 'waiting'
       and not exists (select from claims c where c.task_id = t.task_id and c.released_at is null))

-- passed_over --
-- The tasks that nobody could run for `unserved_s`, and those that depend on them; together with those that are parked
-- or wait for their next attempt (`aside`): they hold back no other task.
offered as materialized (
    select queue, operation from offers where seen_at > now() - make_interval(secs => %(unserved_s)s)),
edges as (select task_id, unnest(depends_on) as other from waiting where depends_on <> '{{}}'),
passed_over as (
    select task_id from waiting
     where accepted_at <= now() - make_interval(secs => %(unserved_s)s)
       and (queue, operation) not in (select queue, operation from offered)
     union
    select e.task_id from passed_over p join edges e on e.other = p.task_id),
parked as (
    select task_id from waiting w
     where exists (select from dead_letters p
                    where p.task_id = w.task_id and p.partition = w.partition and p.standing = 'parks')),
standing_by as (select task_id from waiting where retry_at > now() union select task_id from parked),
aside as (select task_id from passed_over union select task_id from standing_by)

-- uses --
-- Every use of a resource by one of them, with the task's place in the order of acceptance.
placed as materialized (
    select task_id, queue, operation, created_by, priority, accepted_at, depends_on, exclusive_resources, shared_resources,
           row_number() over (order by accepted_at, partition, accepted_offset) as place
      from waiting),
uses as materialized (
    select task_id, created_by, place, accepted_at, unnest(exclusive_resources) as resource, true as is_exclusive from placed
     union all
    select task_id, created_by, place, accepted_at, unnest(shared_resources), false from placed)

-- live --
-- The workers that take tasks.
live as (select * from workers
          where stopped_at is null and heartbeat_at + make_interval(secs => lease_seconds) > now() and not draining)

-- can_run --
-- Whether one of them can run the tasks of `o`, a queue and an operation.
exists (select from live l where o.queue = any (l.queues) and (l.operations is null or o.operation = any (l.operations)))

-- queues --
-- One scan of the waiting tasks, whatever else there is. Tasks above the limit of their user do not count as runnable:
-- the limit leaves room first for those that a live worker can run. Parked ones count neither as runnable nor as
-- blocked. All tasks decide what may run; only those in the scope are counted.
with recursive {waiting}, {passed_over}, {uses}, {live},
line as (
    select resource, min(place) as first, min(place) filter (where is_exclusive) as first_exclusive
      from uses
     where task_id not in (select task_id from aside)
     group by resource),
held as (select resource, bool_or(exclusive) as is_exclusive from reservations group by resource),
stopped as (
    select u.task_id
      from uses u left join line l using (resource) left join held h using (resource)
     where case when u.is_exclusive then l.first < u.place or h.resource is not null
                else l.first_exclusive < u.place or h.is_exclusive end
     union
    select e.task_id from edges e left join tasks s on s.task_id = e.other where s.state is distinct from 'successful'
     union
    select task_id from standing_by),
served as (select queue, operation from (select distinct queue, operation from placed) o where {can_run}),
limited as (
    select task_id
      from (select p.task_id, r.room,
                   row_number() over (partition by p.created_by
                                      order by s.queue is not null desc, p.priority desc, p.place) as number
              from placed p
              left join served s using (queue, operation)
              join (select key as created_by, value::bigint as room from json_each_text(%(rooms)s)) r using (created_by)
             where p.task_id not in (select task_id from stopped)) n
     where number > room),
offers_waiting as (
    select queue, operation, count(*) filter (where p.task_id is null) as waiting, count(p.task_id) as parked,
           count(*) filter (where p.task_id is null and (s.task_id is not null or l.task_id is not null)) as blocked,
           min(accepted_at) filter (where p.task_id is null) as oldest_at
      from placed t left join parked p using (task_id) left join stopped s using (task_id) left join limited l using (task_id)
     where {scope}
     group by queue, operation),
parts as (
    select queue, waiting - blocked as runnable, blocked, parked, 0 as running, oldest_at,
           case when {can_run} then 0 else waiting end as unserved,
           0 as workers, 0 as slots, 0 as free
      from offers_waiting o
     union all
    select queue, 0, 0, 0, count(*), null, 0, 0, 0, 0 from tasks t where state in ('running', 'cancelling') and {scope} group by queue
     union all  -- assigned, and not started yet: the first of a hold is about to, the others follow it
    select t.queue, 0, count(*) filter (where not a.is_first), 0, count(*) filter (where a.is_first),
           min(t.accepted_at), 0, 0, 0, 0
      from (select task_id, place = min(place) over (partition by hold_id) as is_first
              from claims where released_at is null) a
      join tasks t using (task_id)
     where t.state = 'waiting' and {scope}
     group by t.queue
     union all
    select unnest(w.queues), 0, 0, 0, 0, null, 0, 1, w.concurrency, greatest(w.concurrency - {holds}, 0) from live w)
select queue, sum(runnable)::bigint, sum(blocked)::bigint, sum(parked)::bigint, sum(running)::bigint, sum(unserved)::bigint,
       min(oldest_at), sum(workers)::bigint, sum(slots)::bigint, sum(free)::bigint
  from parts
 group by queue
 order by queue

-- users --
-- Every user, with the number of slots that the user's tasks occupy.
select u.name, u.role, coalesce(u.quota, ''), coalesce(r.holds, 0)
  from user_quotas u
  left join (select t.created_by, count(distinct c.hold_id) as holds
               from claims c join tasks t using (task_id) where c.released_at is null group by t.created_by) r
    on r.created_by = 'user:' || u.name

-- busiest --
-- The resources for which the most tasks wait, and those that are held; with whether tasks outside the scope wait for
-- them or hold them.
with {waiting}, {uses},
lines as (
    select resource, count(distinct task_id) filter (where {scope}) as waiting, min(accepted_at) filter (where {scope}) as oldest_at,
           bool_or(not {scope}) as has_others
      from uses t
     group by resource),
known as (
    select resource, coalesce(l.waiting, 0) as waiting, l.oldest_at, coalesce(l.has_others, false) as has_others
      from lines l full join (select distinct resource from ({held}) h) r using (resource)
     where l.waiting > 0 or r.resource is not null),
page as (select *, count(*) over () as total from known order by waiting desc, resource limit %(limit)s offset %(skip)s)
select p.resource, p.waiting, p.oldest_at, {holders}, p.has_others or {is_held_by_others}, p.total
  from page p
 order by p.waiting desc, p.resource

-- held --
-- The resources that are held by tasks in the scope.
select r.resource
  from reservations r join claims c on c.hold_id = r.hold_id and c.released_at is null join tasks t on t.task_id = c.task_id
 where {scope}

-- is_held_by_others --
-- Whether a task outside the scope holds the resource of `p`.
exists (select from reservations r
         where r.resource = p.resource
           and not exists (select from claims c join tasks t on t.task_id = c.task_id
                            where c.hold_id = r.hold_id and c.released_at is null and {scope}))

-- holders --
-- At most 20 that hold the resource of `p`, the exclusive one first; each with the current task of its hold.
(select coalesce(json_agg(json_build_object(
                     'task_id', h.task_id, 'state', h.state, 'worker', h.worker, 'is_exclusive', h.exclusive,
                     'since', h.claimed_at) order by h.exclusive desc, h.token), '[]')::text
   from (select a.task_id, t.state, a.worker, r.exclusive, a.claimed_at, r.token
           from reservations r
          cross join lateral (select * from claims
                               where hold_id = r.hold_id and released_at is null order by place limit 1) a
           left join tasks t on t.task_id = a.task_id
          where r.resource = p.resource and {scope}
          order by r.exclusive desc, r.token
          limit 20) h)

-- in_line --
-- The tasks that wait for one resource, in order; with their number, and whether there are others outside the scope.
with recursive {waiting}, {passed_over},
line as (
    select t.*, p.resource = any (t.exclusive_resources) as is_exclusive, {scope} as is_seen
      from (select %(resource)s::text as resource) p
      join waiting t on p.resource = any (t.exclusive_resources) or p.resource = any (t.shared_resources))
select t.task_id, t.operation, t.queue, t.is_exclusive, t.accepted_at, t.task_id in (select task_id from aside),
       count(*) over (), (select bool_or(not is_seen) from line)
  from line t
 where t.is_seen
 order by t.accepted_at, t.partition, t.accepted_offset
 limit %(limit)s

-- held_by --
select {holders}, {is_held_by_others} from (select %(resource)s::text as resource) p

-- before --
-- For each resource of a task: how many conflicting tasks are ahead of it, which ones are first, and who holds it.
with recursive {waiting}, {passed_over},
mine as (select task_id, exclusive_resources, shared_resources, accepted_at, partition, accepted_offset
           from tasks where task_id = %(task_id)s),
ahead as (
    select t.task_id, t.accepted_at, t.partition, t.accepted_offset, t.exclusive_resources, t.shared_resources, {scope} as is_seen
      from waiting t, mine m
     where (t.accepted_at, t.partition, t.accepted_offset) < (m.accepted_at, m.partition, m.accepted_offset)
       and (t.exclusive_resources && (m.exclusive_resources || m.shared_resources)
            or t.shared_resources && m.exclusive_resources)
       and t.task_id not in (select task_id from aside))
select p.resource, p.is_exclusive, count(a.task_id) filter (where a.is_seen),
       (array_agg(a.task_id order by a.accepted_at, a.partition, a.accepted_offset) filter (where a.is_seen))[:%(most)s],
       {holders}, coalesce(bool_or(not a.is_seen), false) or {is_held_by_others}
  from (select resource, bool_or(is_exclusive) as is_exclusive
          from (select unnest(exclusive_resources) as resource, true as is_exclusive from mine
                 union all
                select unnest(shared_resources), false from mine) u
         group by resource) p
  left join ahead a on p.resource = any (a.exclusive_resources) or p.is_exclusive and p.resource = any (a.shared_resources)
 group by p.resource, p.is_exclusive
 order by p.resource
