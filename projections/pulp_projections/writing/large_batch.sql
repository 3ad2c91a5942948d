-- make_changed --
-- The new values of known tasks are copied into this table first, and one UPDATE takes them from it. It is emptied because
-- a transaction can write more than one batch.
create temporary table if not exists changed_tasks ({changing_definitions}) on commit delete rows;
delete from pg_temp.changed_tasks;
-- Find each known task by its key: without statistics of this table, and often of the other, Postgres would read all
-- tasks for every batch.
set local enable_hashjoin = off;
set local enable_mergejoin = off;
set local enable_seqscan = off;

-- copy_changed --
copy pg_temp.changed_tasks from stdin (format binary);

-- update_tasks --
update tasks t set {changing_assignments}
  from pg_temp.changed_tasks c
 where t.task_id = c.task_id and t.version < c.version;

-- copy_tasks --
copy tasks ({task_copy_names}) from stdin (format binary);

-- copy_resources --
copy task_resources (resource, access, accepted_at, task_id) from stdin (format binary);

-- copy_causes --
copy task_causes (task_id, cause) from stdin (format binary);

-- count_tasks --
-- In the batch's own transaction, so that the counters always agree with the rows.
insert into task_counts as c (partition, state, operation, tasks)
select * from unnest(%(partitions)s::int[], %(states)s::text[], %(operations)s::text[], %(changes)s::bigint[])
    on conflict (partition, state, operation) do update set tasks = c.tasks + excluded.tasks;

-- copy_history --
copy task_events (partition, record_offset, task_id, event_id, event_time, broker_time, event, type, actor, effect)
  from stdin (format binary);

-- copy_dead_letters --
copy dead_letters (partition, record_offset, broker_time, reason, key, value, headers, sent, task_id, standing)
  from stdin (format binary);

-- free_letters --
delete from dead_letters where partition = %(partition)s and record_offset = any (%(offsets)s::bigint[]);

-- restand_letters --
-- A letter that parks its task now was not sent before, or was sent for another reason.
update dead_letters d
   set standing = s.standing, reason = s.reason, sent = case when s.standing = 'parks' then %(sent)s else d.sent end
  from unnest(%(offsets)s::bigint[], %(standings)s::text[], %(reasons)s::text[]) as s (record_offset, standing, reason)
 where d.partition = %(partition)s and d.record_offset = s.record_offset;

-- count_parked --
select count(*) from dead_letters where standing = 'parks';

-- notify_workers --
select pg_notify(channel, payload) from unnest(%(channels)s::text[], %(payloads)s::text[]) as n (channel, payload);
