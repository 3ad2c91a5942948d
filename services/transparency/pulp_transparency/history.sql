-- positions --
select partition, next_offset from positions;

-- letter_offsets --
select record_offset from dead_letters where partition = %(partition)s;

-- rows --
-- Each record is in one of the two: in the history, or among the dead letters.
select record_offset, broker_time, event, task_id, event_id, type, event_time, actor, null::bytea as key, null::json as headers
from task_events where partition = %(partition)s
union all
select record_offset, broker_time, value, null, null, null, null, null, key, headers
from dead_letters where partition = %(partition)s
order by record_offset;

-- strays --
select partition, min(record_offset)
from (
    select partition, record_offset from task_events where partition <> all (%(partitions)s)
    union all
    select partition, record_offset from dead_letters where partition <> all (%(partitions)s)
) as other
group by partition order by partition;
