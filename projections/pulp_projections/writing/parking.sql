-- parked --
-- The parked tasks of a partition: for each the record that parks it, and those that wait behind that.
select record_offset, (extract(epoch from broker_time) * 1000)::bigint, reason, key, value, headers, task_id, standing
  from dead_letters
 where partition = %(partition)s and standing in ('parks', 'waits')
 order by record_offset;
