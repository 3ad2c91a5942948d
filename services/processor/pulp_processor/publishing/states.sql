-- positions --
select partition, next_offset from positions;

-- changed --
-- The tasks that events of these offsets have changed.
select distinct task_id from task_events
 where partition = %(partition)s and record_offset >= %(begin)s and record_offset < %(end)s
   and (effect = 'applied' or type = 'org.pulpproject.task.unparked.v1');

-- next --
-- A page of all tasks, in the order of their ids.
select task_id from tasks where task_id > %(after)s order by task_id limit %(most)s;
