-- facts --
-- The facts that decide whether a waiting task may begin, by the rules of the dispatcher; all from one moment. The cost
-- is bounded however many tasks wait: tasks are found by key, or are among the first or last few of a resource.
select json_build_object(
    'task_id', t.task_id, 'state', t.state, 'queue', t.queue, 'operation', t.operation,
    'is_passed_over', {passed_over},
    'failed', case when t.retry_at > now() then
         json_build_object('attempt', t.attempt, 'code', t.error ->> 'code', 'retry_at', t.retry_at) end,
    'has_dispatcher', exists (select from dispatcher where renewed_at > now() - make_interval(secs => %(dispatcher_s)s)),
    'is_settling', exists (select from dispatcher where settling_epoch = epoch),
    'parked', {parked},
    'author', (
        select json_build_object('name', u.name, 'role', u.role, 'quota', coalesce(u.quota, ''), 'running', (
                   select count(distinct c.hold_id) from claims c join tasks r using (task_id)
                    where c.released_at is null and r.created_by = t.created_by))
          from user_quotas u where 'user:' || u.name = t.created_by),
    'claimed_by', (
        select json_build_object('worker', c.worker, 'is_live', exists (
                   select from workers w
                    where w.name = c.worker and w.instance_id = c.instance_id and w.stopped_at is null
                      and w.heartbeat_at + make_interval(secs => w.lease_seconds) > now()))
          from claims c where c.task_id = t.task_id and c.released_at is null),
    'workers', (
        select json_build_object(
                   'live', count(*),
                   'serving', count(*) filter (where w.is_serving),
                   'offering', count(*) filter (where w.is_offering),
                   'slots', coalesce(sum(w.concurrency) filter (where w.is_offering), 0),
                   'free', coalesce(sum(greatest(w.concurrency - {holds}, 0)) filter (where w.is_offering), 0))
          from (select name, instance_id, concurrency, not draining and t.queue = any (queues) as is_serving,
                       not draining and t.queue = any (queues)
                           and (operations is null or t.operation = any (operations)) as is_offering
                  from workers
                 where stopped_at is null and heartbeat_at + make_interval(secs => lease_seconds) > now()) w),
    'last', (
        select json_build_object('worker', w.name, 'until', w.until, 'is_offering', w.is_offering)
          from (select name, coalesce(stopped_at, heartbeat_at) as until,
                       operations is null or t.operation = any (operations) as is_offering
                  from workers where t.queue = any (queues)) w
         order by w.is_offering desc, w.until desc
         limit 1),
    'unmet', {unmet},
    'held', {held},
    'ahead', (
        select json_build_object('task_id', e.task_id, 'resource', e.resource)
          from (select distinct unnest(t.exclusive_resources || t.shared_resources) as resource) u
         cross join lateral ({first_of_resource} union all {last_of_resource}) e
         order by e.accepted_at, e.partition, e.accepted_offset
         limit 1)
)::text
  from tasks t
 where t.task_id = %(task_id)s

-- postponed --
-- What many waiting tasks wait for, by the same rules as `facts`. All tasks that use a resource in the same way
-- conflict with the same earliest task: it is looked up once, for the latest of them, and counts for those that came
-- after it.
with listed as materialized (
    select task_id, accepted_at, partition, accepted_offset, exclusive_resources, shared_resources, depends_on
      from tasks where task_id = any (%(task_ids)s) and state = 'waiting'
), uses as (
    select t.*, u.resource, u.resource = any (t.exclusive_resources) as is_exclusive
      from listed t
     cross join lateral (select distinct unnest(t.exclusive_resources || t.shared_resources) as resource) u
), latest as (
    select distinct on (resource, is_exclusive) resource, is_exclusive, accepted_at, partition, accepted_offset,
           case when is_exclusive then array[resource] else array[]::text[] end as exclusive_resources,
           case when is_exclusive then array[]::text[] else array[resource] end as shared_resources
      from uses
     order by resource, is_exclusive, accepted_at desc, partition desc, accepted_offset desc
), earliest as (
    select t.is_exclusive, e.*
      from latest t
     cross join lateral (select t.resource) u
     cross join lateral (select * from ({first_of_resource} union all {last_of_resource}) e
                          order by e.accepted_at, e.partition, e.accepted_offset limit 1) e
)
select json_build_object(
    'task_id', t.task_id,
    'is_claimed', exists (select from claims c where c.task_id = t.task_id and c.released_at is null),
    'unmet', {unmet},
    'held', {held},
    'ahead', (
        select json_build_object('task_id', e.task_id, 'resource', e.resource)
          from uses s join earliest e using (resource, is_exclusive)
         where s.task_id = t.task_id
           and (e.accepted_at, e.partition, e.accepted_offset) < (t.accepted_at, t.partition, t.accepted_offset)
         order by e.accepted_at, e.partition, e.accepted_offset
         limit 1)
)::text
  from listed t

-- parked --
-- The record that parks `t`.
(
    select json_build_object(
               'position', p.partition || ':' || p.record_offset, 'reason', p.reason, 'behind', (
                   select count(*) from dead_letters w
                    where w.partition = p.partition and w.task_id = p.task_id and w.standing = 'waits'))
      from dead_letters p
     where p.task_id = t.task_id and p.partition = t.partition and p.standing = 'parks')

-- unmet --
-- The dependencies of `t` that have not succeeded.
(
    select coalesce(json_agg(json_build_object('task_id', d.task_id, 'state', s.state) order by d.place), '[]')
      from unnest(t.depends_on) with ordinality as d (task_id, place)
      left join tasks s on s.task_id = d.task_id
     where s.state is distinct from 'successful')

-- held --
-- The resources of `t` that other tasks hold, in conflict with it.
(
    select coalesce(json_agg(json_build_object(
               'task_id', h.task_id, 'state', h.state, 'resource', h.resource, 'is_exclusive', h.exclusive)
               order by h.exclusive desc, h.token), '[]')
      from (select a.task_id, s.state, r.resource, r.exclusive, r.token
              from unnest(t.exclusive_resources || t.shared_resources) as u (resource)
              join reservations r on r.resource = u.resource
             cross join lateral (select task_id from claims
                                  where hold_id = r.hold_id and released_at is null order by place limit 1) a
              left join tasks s on s.task_id = a.task_id
             where a.task_id <> t.task_id and (r.exclusive or r.resource = any (t.exclusive_resources))
             order by r.exclusive desc, r.token
             limit 20) h)

-- of_resource --
-- Unclaimed waiting tasks that come before `t` on the resource `u` and conflict with it. It reads a bounded number of the
-- resource's tasks, in either order, from the oldest waiting task on. So it finds the first one, unless very many tasks of the
-- resource have come and ended since.
(select e.task_id, u.resource, e.accepted_at, e.partition, e.accepted_offset
   from (select task_id, accepted_at
           from (select task_id, accepted_at, access from task_resources
                  where resource = u.resource and access <> 'b' and accepted_at <= t.accepted_at
                    and accepted_at >= (select accepted_at from tasks where state = 'waiting' and purged_at is null
                                         order by accepted_at, task_id limit 1)
                  order by accepted_at {order}, task_id {order}
                  limit %(most_uses)s) r
          where access = 'e' or u.resource = any (t.exclusive_resources)
          limit greatest(20, %(most_tasks)s / cardinality(t.exclusive_resources || t.shared_resources))) r
  cross join lateral (select * from tasks where task_id = r.task_id offset 0) e  -- by key, whatever the statistics say
  where e.state = 'waiting'
    and (e.accepted_at, e.partition, e.accepted_offset) < (t.accepted_at, t.partition, t.accepted_offset)
    and not {aside}
    and not exists (select from claims c where c.task_id = e.task_id and c.released_at is null))

-- aside --
-- Whether a task holds back no other one: it waits for its next attempt, it is parked, or it is passed over.
(coalesce({row}.retry_at > now(), false)
    or exists (select from dead_letters p
                where p.task_id = {row}.task_id and p.partition = {row}.partition and p.standing = 'parks')
    or {passed_over})

-- passed_over --
-- Whether nobody could run a task, or one that it depends on, for `unserved_s`: it then blocks no other task.
exists (
    with recursive line as (
        select {row}.task_id, {row}.queue, {row}.operation, {row}.depends_on, {row}.accepted_at
         union
        select s.task_id, s.queue, s.operation, s.depends_on, s.accepted_at
          from line l cross join unnest(l.depends_on) as d (task_id) join tasks s on s.task_id = d.task_id
         where s.state = 'waiting'
           and not exists (select from claims c where c.task_id = s.task_id and c.released_at is null)
    )
    select from line
     where accepted_at <= now() - make_interval(secs => %(unserved_s)s)
       and (queue, operation) not in (
           select queue, operation from offers where seen_at > now() - make_interval(secs => %(unserved_s)s)))
