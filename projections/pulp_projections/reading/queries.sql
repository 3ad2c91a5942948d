-- columns --
-- All columns of a task that readers get.
{task_selection},
array(select c.task_id from tasks c where c.parent_id = t.task_id and c.purged_at is null
      order by c.accepted_at, c.task_id limit 10001) as children

-- positions --
select partition, next_offset from positions;

-- effect --
select effect from task_events where partition = %(partition)s and record_offset = %(offset)s;

-- history --
-- The size of an event is known without reading the event.
select partition, record_offset, type, event_id, event_time, broker_time, actor, effect, event
  from (select *, sum(octet_length(event)) over (order by partition, record_offset rows unbounded preceding) as bytes
          from (select * from task_events
                 where task_id = %(task_id)s {after}
                 order by partition, record_offset
                 limit {limit}) e) e
 where bytes - octet_length(event) < {most}
 order by partition, record_offset;

-- after --
and (partition, record_offset) > (%(partition)s, %(offset)s)

-- history_count --
-- The task's version already counts the events that had an effect.
select t.version + (select count(*) from task_events e where e.task_id = t.task_id and e.effect <> 'applied')
                 + (select count(*) from detached_effects e where e.task_id = t.task_id)
  from tasks t where t.task_id = %(task_id)s;

-- operations --
-- With the live workers that offer each. A worker of an old release does not list its operations; it is named too.
select o.name, o.cancellable, o.description, o.resources, o.tags, o.arguments::text, o.requires, o.package, o.version,
       o.registered_by, o.registered_at,
       (select coalesce(json_agg(json_build_object('name', w.name, 'queues', w.queues,
                                                   'is_as_registered', w.declarations ->> o.name = o.digest)
                                 order by w.name), '[]')
          from workers w
         where w.stopped_at is null and w.heartbeat_at + make_interval(secs => w.lease_seconds) > now()
           and (w.operations is null or o.name = any (w.operations))) as workers, o.retry, o.deadline_seconds
  from operations o
 where {condition}
 order by o.name;

-- remembered --
-- The arguments of the newest tasks of an operation on a resource, if they have this name; since the resource was last
-- removed.
select t.arguments::text
  from (select task_id, accepted_at from task_resources where resource = %(resource)s and access = 'e'
         order by accepted_at desc, task_id desc limit 10000) r
  join tasks t using (task_id)
  left join removals v on v.resource = %(resource)s
  left join tasks e on e.task_id = v.task_id
 where t.operation = %(operation)s and t.arguments -> %(name)s::text is not null
   and (e.task_id is null or e.partition <> t.partition or t.accepted_offset > e.accepted_offset)
 order by r.accepted_at desc, t.task_id desc limit 20;

-- has_run --
-- Whether a task of an operation on a resource succeeded since the resource was last removed, or has not ended yet.
select exists (select from task_resources r
                 join tasks t using (task_id)
                 left join removals v on v.resource = %(resource)s
                 left join tasks e on e.task_id = v.task_id
                where r.resource = %(resource)s and r.access = 'e' and t.operation = %(operation)s
                  and (not is_final(t.state) or t.state = 'successful')
                  and (e.task_id is null or e.partition <> t.partition or t.accepted_offset > e.accepted_offset));

-- known_tasks --
select task_id from tasks where task_id = any (%(task_ids)s);

-- is_purged --
select from tasks where task_id = %(task_id)s and purged_at is not null;

-- states --
select task_id, state from tasks where task_id = any (%(task_ids)s);

-- unfinished_since --
-- Two indexes find tasks that may be few among many; `offset 0` keeps Postgres from walking all of them in order of
-- time.
select least((select min(accepted_at) from (select accepted_at from tasks where not is_final(state) offset 0) u),
             (select min(accepted_at) from (select accepted_at from tasks where finished_at >= %(ended_since)s and purged_at is null offset 0) e));

-- unfinished_ancestors --
-- The task and its ancestors, up to the first that has ended: such a task holds nothing and waits for nothing.
with recursive line as (
    select task_id, parent_id, exclusive_resources, shared_resources
      from tasks where task_id = %(task_id)s and not is_final(state)
    union
    select t.task_id, t.parent_id, t.exclusive_resources, t.shared_resources
      from tasks t join line on t.task_id = line.parent_id
     where not is_final(t.state)
)
select task_id, exclusive_resources, shared_resources from line;
