-- where --
-- The first and last offsets of a task's events, by partition: those with an effect are between its acceptance and the
-- last one of them; those of detached months without an effect are listed.
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
