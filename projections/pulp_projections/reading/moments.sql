-- at_time --
-- The first event of each partition that is later than the time. None before `low` is later; from `low` on, each event
-- is checked, so that a clock that ran backwards changes nothing.
select s.partition,
       coalesce((select e.record_offset
                   from task_events e
                  where e.partition = s.partition and e.record_offset >= l.low and e.broker_time > %(time)s
                  order by e.record_offset
                  limit 1), s.next_offset)
  from positions s
  join unnest(%(partitions)s::integer[], %(lows)s::bigint[]) l (partition, low) using (partition);

-- own --
-- For the events of a task, and those that created its children, in each partition: the last one before the first that
-- is later than the time.
with own as (
    select e.partition, e.record_offset, e.broker_time from task_events e where e.task_id = %(task_id)s
     union all
    select t.partition, t.accepted_offset, t.accepted_at from tasks t
     where t.parent_id = %(task_id)s and t.purged_at is null),
later as (select partition, min(record_offset) as stop from own where broker_time > %(time)s group by partition)
select o.partition, max(o.record_offset)
  from own o left join later l using (partition)
 where l.stop is null or o.record_offset < l.stop
 group by o.partition;

-- cut --
-- Where to cut, should a clock have run backwards: at the first event before the last own one that is later than the
-- time; if there is none, just after the last own one.
select l.partition,
       coalesce((select e.record_offset
                   from task_events e
                  where e.partition = l.partition and e.record_offset >= l.low and e.record_offset < l.last
                    and e.broker_time > %(time)s
                  order by e.record_offset
                  limit 1), l.last + 1)
  from unnest(%(partitions)s::integer[], %(lows)s::bigint[], %(lasts)s::bigint[]) l (partition, low, last);

-- around --
-- The last event before each stop, and the first one from it on, with their times.
select p.partition, p.stop, b.record_offset, b.broker_time, a.record_offset, a.broker_time
  from unnest(%(partitions)s::integer[], %(stops)s::bigint[]) p (partition, stop)
  left join lateral (select e.record_offset, e.broker_time from task_events e
                      where e.partition = p.partition and e.record_offset < p.stop order by e.record_offset desc limit 1) b on true
  left join lateral (select e.record_offset, e.broker_time from task_events e
                      where e.partition = p.partition and e.record_offset >= p.stop order by e.record_offset limit 1) a on true;

-- time_of --
select record_offset, broker_time from task_events where partition = %(partition)s and record_offset <= %(offset)s
 order by record_offset desc limit 1;

-- first --
-- The events that created the oldest tasks, one visible and one purged, and whether the history has them.
select t.partition, t.accepted_offset, t.accepted_at,
       exists (select from task_events e where e.partition = t.partition and e.record_offset = t.accepted_offset)
  from ((select * from tasks where purged_at is null order by accepted_at, task_id limit 1)
         union all
        (select * from tasks where purged_at is not null order by accepted_at, task_id limit 1)) t;
