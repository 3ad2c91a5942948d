-- contexts --
-- The trace context with which each task was accepted, for those that have one.
select task_id, traceparent
  from (select task_id, convert_from(event, 'UTF8')::json ->> 'traceparent' as traceparent
          from task_events
         where task_id = any (%(task_ids)s::uuid[]) and type = any (%(accepted)s::text[]) and effect = 'applied') e
 where traceparent is not null;

-- give --
-- For the workers that run the tasks.
update claims c
   set traceparent = t.traceparent
  from unnest(%(task_ids)s::uuid[], %(traceparents)s::text[]) as t (task_id, traceparent)
 where c.task_id = t.task_id and c.task_id = any (%(task_ids)s::uuid[]) and c.released_at is null;
