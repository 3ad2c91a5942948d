-- effective_events --
-- The events that made the task what it was, in log order; of progress events only the last, because each replaces the
-- one before. `version` counts all events.
with effective as (
    select partition, record_offset, type, broker_time, event
      from task_events
     where task_id = %(task_id)s and effect = 'applied'
       and (%(at)s::timestamptz is null or broker_time <= %(at)s::timestamptz)
       and (%(offset)s::bigint is null
            or partition = %(partition)s::integer and record_offset <= %(offset)s::bigint)
)
select partition, record_offset, round(extract(epoch from broker_time) * 1000)::bigint, event,
       (select count(*) from effective) as version
  from effective
 where type <> %(progress)s
    or record_offset = (select max(record_offset) from effective where type = %(progress)s)
 order by partition, record_offset;

-- children --
-- Those that existed at that time; at a position: those accepted before the task's last event.
select task_id from tasks
 where parent_id = %(task_id)s and purged_at is null
   and accepted_at <= coalesce(%(at)s::timestamptz, %(until)s::timestamptz)
 order by accepted_at, task_id;
