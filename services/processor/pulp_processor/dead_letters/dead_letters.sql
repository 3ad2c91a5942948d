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
