-- at_time --
-- The first event of each partition that is later than the time. Nothing before `low` is; from there on each event is
-- looked at, so that a clock that ran backwards changes nothing.
select s.partition,
       coalesce((select e.record_offset
                   from task_events e
                  where e.partition = s.partition and e.record_offset >= l.low and e.broker_time > %(time)s
                  order by e.record_offset
                  limit 1), s.next_offset)
  from positions s
  join unnest(%(partitions)s::integer[], %(lows)s::bigint[]) l (partition, low) using (partition);

-- around --
-- The times of the last event before each stop, and of the first one from it on.
select p.partition,
       (select e.broker_time from task_events e
         where e.partition = p.partition and e.record_offset < p.stop order by e.record_offset desc limit 1),
       (select e.broker_time from task_events e
         where e.partition = p.partition and e.record_offset >= p.stop order by e.record_offset limit 1)
  from unnest(%(partitions)s::integer[], %(stops)s::bigint[]) p (partition, stop);

-- time_of --
select broker_time from task_events where partition = %(partition)s and record_offset <= %(offset)s
 order by record_offset desc limit 1;

-- first --
-- The events that made the oldest tasks, one that is shown and one that is purged, and whether the history has them.
select t.partition, t.accepted_offset, t.accepted_at,
       exists (select from task_events e where e.partition = t.partition and e.record_offset = t.accepted_offset)
  from ((select * from tasks where purged_at is null order by accepted_at, task_id limit 1)
         union all
        (select * from tasks where purged_at is not null order by accepted_at, task_id limit 1)) t;
