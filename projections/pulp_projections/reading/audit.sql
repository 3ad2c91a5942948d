-- since --
-- The first offset of each partition from a broker time on, found by bisection: each step reads one row. It is right if
-- times rise with the offsets; the caller allows for clocks that did not.
with recursive step (partition, low, high) as (
    select partition, 0::bigint, next_offset from positions
    union all
    select s.partition,
           case when f.broker_time < %(time)s then f.record_offset + 1 else s.low end,
           case when f.broker_time < %(time)s then s.high else (s.low + s.high) / 2 end
      from step s
      left join lateral (
               select e.record_offset, e.broker_time
                 from task_events e
                where e.partition = s.partition
                  and e.record_offset >= (s.low + s.high) / 2 and e.record_offset < s.high
                order by e.record_offset
                limit 1) f on true
     where s.low < s.high
)
select partition, low from step where low >= high;

-- places --
-- The places of the first matching events of one partition. The bounds are in the text: if Postgres does not know
-- them, it assumes that few events are between them, and sorts all of them. The size of an event is known without
-- reading it.
(select e.partition, e.record_offset, e.broker_time, octet_length(e.event)
   from task_events e
  where e.partition = {partition} and e.record_offset >= {start} and e.record_offset < {stop} {where}
  order by e.record_offset
  limit %(limit)s)

-- entries --
-- With its time, each event is looked up in one part of the history.
select e.partition, e.record_offset, e.type, e.event_id, e.event_time, e.broker_time, e.actor, e.effect, e.event,
       e.task_id, t.operation, t.group_id, t.correlation_id
  from unnest(%(partitions)s::integer[], %(offsets)s::bigint[], %(times)s::timestamptz[])
       p (partition, record_offset, broker_time)
  join task_events e using (partition, record_offset, broker_time)
  left join tasks t using (task_id);

-- few_tasks --
-- The tasks that match, purged ones among them, and no more than a page needs: each index lists one of the two kinds.
select task_id from (
    select t.task_id from tasks t where t.purged_at is null and {tasks}
    union all
    select t.task_id from tasks t where t.purged_at is not null and {tasks}
) m limit %(most)s;
