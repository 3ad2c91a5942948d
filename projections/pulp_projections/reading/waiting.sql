-- facts --
-- What decides whether a waiting task may be claimed, by the rules of the worker's claims. All of one moment, and of bounded
-- cost, however much waits: tasks are found by a key, or are the first or the last few of a resource.
select json_build_object(
    'task_id', t.task_id, 'state', t.state, 'queue', t.queue, 'operation', t.operation,
    'is_passed_over', {passed_over},
    'author', (
        select json_build_object('name', u.name, 'role', u.role, 'quota', coalesce(u.quota, ''), 'running', (
                   select count(*) from claims c join tasks r using (task_id)
                    where c.released_at is null and r.created_by = t.created_by
                      and (r.state <> 'waiting' or r.exclusive_resources = '{{}}' and r.shared_resources = '{{}}'
                           or exists (select from reservations v where v.task_id = c.task_id))))
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
                   'free', coalesce(sum(greatest(w.concurrency - busy.slots, 0)) filter (where w.is_offering), 0))
          from (select name, instance_id, concurrency, t.queue = any (queues) as is_serving,
                       t.queue = any (queues) and (operations is null or t.operation = any (operations)) as is_offering
                  from workers
                 where stopped_at is null and heartbeat_at + make_interval(secs => lease_seconds) > now()) w
         cross join lateral (
               select count(*) as slots from claims c left join tasks t using (task_id)
                where w.is_offering and c.worker = w.name and c.instance_id = w.instance_id and c.released_at is null
                  and {takes_a_slot}) busy),
    'unmet', (
        select coalesce(json_agg(json_build_object('task_id', d.task_id, 'state', s.state) order by d.place), '[]')
          from unnest(t.depends_on) with ordinality as d (task_id, place)
          left join tasks s on s.task_id = d.task_id
         where s.state is distinct from 'successful'),
    'held', (
        select coalesce(json_agg(json_build_object(
                   'task_id', h.task_id, 'state', h.state, 'resource', h.resource, 'is_exclusive', h.exclusive)
                   order by h.exclusive desc, h.token), '[]')
          from (select r.task_id, s.state, r.resource, r.exclusive, r.token
                  from unnest(t.exclusive_resources || t.shared_resources) as u (resource)
                  join reservations r on r.resource = u.resource
                  left join tasks s on s.task_id = r.task_id
                 where r.task_id <> t.task_id and (r.exclusive or r.resource = any (t.exclusive_resources))
                 order by r.exclusive desc, r.token
                 limit 20) h),
    'ahead', (
        select json_build_object('task_id', e.task_id, 'resource', e.resource)
          from (select distinct unnest(t.exclusive_resources || t.shared_resources) as resource) u
         cross join lateral ({first_of_resource} union all {last_of_resource}) e
         order by e.accepted_at, e.partition, e.accepted_offset
         limit 1)
)::text
  from tasks t
 where t.task_id = %(task_id)s

-- of_resource --
-- Tasks that wait, that nobody has claimed, and that come before `t` on the resource `u` in conflict with it. Looked at are
-- the tasks of the resource since the oldest that waits at all, in one order or the other, and only so many of them: so the
-- one that is found is the first of all unless there are many, and many have ended, since then.
(select e.task_id, u.resource, e.accepted_at, e.partition, e.accepted_offset
   from (select task_id, accepted_at
           from (select task_id, accepted_at, access from task_resources
                  where resource = u.resource and access <> 'b' and accepted_at <= t.accepted_at
                    and accepted_at >= (select accepted_at from tasks where state = 'waiting'
                                         order by accepted_at, task_id limit 1)
                  order by accepted_at {order}, task_id {order}
                  limit %(most_uses)s) r
          where access = 'e' or u.resource = any (t.exclusive_resources)
          limit greatest(20, %(most_tasks)s / cardinality(t.exclusive_resources || t.shared_resources))) r
  cross join lateral (select * from tasks where task_id = r.task_id offset 0) e  -- by the key, whatever is in the statistics
  where e.state = 'waiting'
    and (e.accepted_at, e.partition, e.accepted_offset) < (t.accepted_at, t.partition, t.accepted_offset)
    and not {passed_over}
    and not exists (select from claims c where c.task_id = e.task_id and c.released_at is null))

-- passed_over --
-- Whether nobody could run a task, or one that it depends on, for `unserved_s`: it stops no other task then.
exists (
    with recursive line as (
        select {row}.task_id, {row}.queue, {row}.operation, {row}.depends_on, {row}.accepted_at
         union
        select s.task_id, s.queue, s.operation, s.depends_on, s.accepted_at
          from line l cross join unnest(l.depends_on) as d (task_id) join tasks s on s.task_id = d.task_id
         where s.state = 'waiting'
    )
    select from line
     where accepted_at <= now() - make_interval(secs => %(unserved_s)s)
       and (queue, operation) not in (
           select queue, operation from offers where seen_at > now() - make_interval(secs => %(unserved_s)s)))
