-- topic --
select name, topic_id, next_offset from schedule_topic;

-- adopt --
-- The topic whose events these tables hold.
insert into schedule_topic (name, topic_id, next_offset) values (%(name)s, %(topic_id)s, 0) on conflict do nothing;

-- fence --
-- No row means that another process has projected these records meanwhile.
update schedule_topic set next_offset = %(end)s where next_offset = %(expected)s and topic_id = %(topic_id)s
returning next_offset;

-- columns --
s.schedule_id, s.definition, s.version, s.created_by, s.created_at, s.updated_by, s.updated_at, s.since, s.last_tick, s.pending,
s.pending_missed, s.last_task, s.removed_at, s.last_offset

-- one --
select {columns} from schedules s where s.schedule_id = %(schedule_id)s;

-- is_name_taken --
select exists (select from schedules where name = %(name)s and removed_at is null and schedule_id <> %(schedule_id)s);

-- put --
insert into schedules (schedule_id, name, operation, enabled, definition, version, created_by, created_at, updated_by, updated_at,
                       since, last_tick, pending, pending_missed, last_task, removed_at, next_tick, last_offset)
values (%(schedule_id)s, %(name)s, %(operation)s, %(enabled)s, %(definition)s, %(version)s, %(created_by)s, %(created_at)s,
        %(updated_by)s, %(updated_at)s, %(since)s, %(last_tick)s, %(pending)s, %(pending_missed)s, %(last_task)s,
        %(removed_at)s, %(next_tick)s, %(last_offset)s)
on conflict (schedule_id) do update
   set name = excluded.name, operation = excluded.operation, enabled = excluded.enabled, definition = excluded.definition,
       version = excluded.version, updated_by = excluded.updated_by, updated_at = excluded.updated_at, since = excluded.since,
       last_tick = excluded.last_tick, pending = excluded.pending, pending_missed = excluded.pending_missed,
       last_task = excluded.last_task, removed_at = excluded.removed_at, next_tick = excluded.next_tick,
       last_offset = excluded.last_offset;

-- run --
insert into schedule_runs (schedule_id, tick, outcome, missed, task_id, reason, decided_at)
values (%(schedule_id)s, %(tick)s, %(outcome)s, %(missed)s, %(task_id)s, %(reason)s, %(decided_at)s)
on conflict (schedule_id, tick) do update
   set outcome = excluded.outcome, task_id = excluded.task_id, reason = excluded.reason;

-- event --
insert into schedule_events (record_offset, schedule_id, event_id, type, broker_time, actor, effect, event)
values (%(record_offset)s, %(schedule_id)s, %(event_id)s, %(type)s, %(broker_time)s, %(actor)s, %(effect)s, %(event)s);

-- forget --
-- The topic first: it waits for a running projection, so each statement then sees what that one has written.
delete from schedule_topic;
delete from schedules;
delete from schedule_runs;
delete from schedule_events;

-- time --
select clock_timestamp();

-- to_decide --
-- Schedules with a tick up to now, and no due tick without a task; with whether the last task has not ended.
select {columns},
       exists (select from tasks t where t.task_id = s.last_task and not is_final(t.state))
  from schedules s
 where s.removed_at is null and s.enabled and s.pending is null and s.next_tick <= %(now)s
 order by s.next_tick, s.schedule_id
 limit %(most)s;

-- to_submit --
-- Schedules with a due tick without a task.
select {columns}
  from schedules s
 where s.removed_at is null and s.pending is not null
 order by s.pending, s.schedule_id
 limit %(most)s;

-- enabled --
select {columns} from schedules s where s.removed_at is null and s.enabled;

-- set_next --
update schedules set next_tick = %(next_tick)s where schedule_id = %(schedule_id)s and last_offset = %(last_offset)s;

-- effect --
select effect from schedule_events where record_offset = %(record_offset)s;

-- creation --
select event from schedule_events where schedule_id = %(schedule_id)s and effect = 'applied' order by record_offset limit 1;

-- list --
select {columns}, s.next_tick, count(*) over () from schedules s
 where s.removed_at is null and {conditions}
 order by {order}
 limit %(limit)s offset %(offset)s;

-- count --
select count(*) from schedules s where s.removed_at is null and {conditions};

-- runs --
-- The latest ticks of some schedules, with the states of their tasks.
select r.schedule_id, r.tick, r.outcome, r.missed, r.task_id, r.reason, r.decided_at, t.state, t.error::text
  from unnest(%(schedule_ids)s::uuid[]) as w (schedule_id)
 cross join lateral (select * from schedule_runs r where r.schedule_id = w.schedule_id order by r.tick desc limit %(most)s) r
  left join tasks t on t.task_id = r.task_id
 order by r.schedule_id, r.tick desc;

-- page_of_runs --
select r.schedule_id, r.tick, r.outcome, r.missed, r.task_id, r.reason, r.decided_at, t.state, t.error::text
  from schedule_runs r left join tasks t on t.task_id = r.task_id
 where r.schedule_id = %(schedule_id)s
 order by r.tick desc
 limit %(limit)s offset %(offset)s;

-- count_runs --
select count(*) from schedule_runs where schedule_id = %(schedule_id)s;

-- health --
-- How many schedules there are, and ticks that nobody has run or skipped in time.
select count(*), count(*) filter (where enabled),
       count(*) filter (where overdue_since is not null),
       extract(epoch from now() - min(overdue_since))::float8
  from (select enabled, case when enabled and least(next_tick, pending) < now() - make_interval(secs => %(late_s)s)
                             then least(next_tick, pending) end as overdue_since
          from schedules where removed_at is null) s;
