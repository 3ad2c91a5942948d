-- list --
-- Those that wait are left out, unless all records of one task are wanted.
select d.partition, d.record_offset, d.broker_time, d.reason, d.key, d.value, d.headers, d.sent, d.task_id, d.standing, {behind}
  from dead_letters d
 where (d.partition, d.record_offset) > (%(partition)s, %(offset)s)
   and (d.standing <> 'waits' or d.task_id = %(task_id)s::uuid)
   and (%(task_id)s::uuid is null or d.task_id = %(task_id)s::uuid)
 order by partition, record_offset
 limit %(limit)s;

-- behind --
-- How many records wait behind the one that parks its task.
case when d.standing = 'parks' then
     (select count(*) from dead_letters w
       where w.partition = d.partition and w.task_id = d.task_id and w.standing = 'waits') else 0 end as behind

-- one --
select d.partition, d.record_offset, d.broker_time, d.reason, d.key, d.value, d.headers, d.sent, d.task_id, d.standing, {behind}
  from dead_letters d
 where d.partition = %(partition)s and d.record_offset = %(offset)s;

-- parks --
-- The record that parks the task of another one.
select record_offset from dead_letters
 where partition = %(partition)s and task_id = %(task_id)s and standing = 'parks';

-- unsent --
select partition, record_offset, broker_time, reason, key, value, headers, sent, task_id, standing, 0 as behind
  from dead_letters
 where partition = any (%(partitions)s) and not sent and standing <> 'waits'
 order by partition, record_offset
 limit %(limit)s;

-- mark_sent --
update dead_letters d
   set sent = true
  from unnest(%(partitions)s::integer[], %(offsets)s::bigint[]) s (partition, record_offset)
 where d.partition = s.partition and d.record_offset = s.record_offset;
