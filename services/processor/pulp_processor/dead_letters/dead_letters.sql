-- list --
select partition, record_offset, broker_time, reason, key, value, headers, sent
  from dead_letters
 where (partition, record_offset) > (%(partition)s, %(offset)s)
 order by partition, record_offset
 limit %(limit)s;

-- one --
select partition, record_offset, broker_time, reason, key, value, headers, sent
  from dead_letters
 where partition = %(partition)s and record_offset = %(offset)s;

-- unsent --
select partition, record_offset, broker_time, reason, key, value, headers, sent
  from dead_letters
 where partition = any (%(partitions)s) and not sent
 order by partition, record_offset
 limit %(limit)s;

-- mark_sent --
update dead_letters d
   set sent = true
  from unnest(%(partitions)s::integer[], %(offsets)s::bigint[]) s (partition, record_offset)
 where d.partition = s.partition and d.record_offset = s.record_offset;
