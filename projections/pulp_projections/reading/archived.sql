-- where --
-- Between which offsets the events of a task are, by partition: those that had an effect between its acceptance and the last one, and those
-- of detached months without one.
select partition, min(first), max(last)
  from (select partition, accepted_offset as first, last_offset as last from tasks where task_id = %(task_id)s
        union all
        select partition, record_offset, record_offset from detached_effects where task_id = %(task_id)s) w
 group by partition order by partition;

-- effects --
-- For a detached span: the reasons of its events without an effect, and the records that are not events.
select record_offset, effect from detached_effects
 where partition = %(partition)s and record_offset >= %(first)s and record_offset <= %(last)s
union all
select record_offset, null from dead_letters
 where partition = %(partition)s and record_offset >= %(first)s and record_offset <= %(last)s;

-- tasks --
-- The matching ones of some tasks, with their fields for the audit.
select t.task_id, t.operation, t.group_id, t.correlation_id from tasks t where t.task_id = any (%(task_ids)s) {where};
