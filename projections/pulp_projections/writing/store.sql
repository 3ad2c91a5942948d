-- load_tasks --
-- The rows of some tasks, as the fold needs them.
select task_id, state, operation, arguments::text, resources::text, tags, queue, priority, group_id, parent_id,
       depends_on, timeout_seconds, created_by, correlation_id,
       (extract(epoch from accepted_at) * 1000)::bigint, (extract(epoch from updated_at) * 1000)::bigint,
       (extract(epoch from started_at) * 1000)::bigint, (extract(epoch from cancel_requested_at) * 1000)::bigint,
       (extract(epoch from finished_at) * 1000)::bigint,
       partition, accepted_offset, last_offset, version, attempt, attempt_id, worker, cancellable, sequence,
       progress::text, result::text, error::text
  from tasks
 where task_id = any (%(task_ids)s::uuid[]);

-- make_changed --
-- Where the new values of known tasks go first: one UPDATE takes them from here. Emptied, since a transaction may write
-- more than one batch.
create temporary table if not exists changed_tasks (
    task_id uuid not null, updated_at timestamptz not null, last_offset bigint not null, version integer not null,
    attempt integer not null, sequence bigint not null, cancellable boolean not null, state text not null,
    started_at timestamptz, cancel_requested_at timestamptz, finished_at timestamptz, attempt_id uuid, worker text,
    progress json not null, result json not null, error json
) on commit delete rows;
delete from pg_temp.changed_tasks;
-- Each known task by its key: without statistics of this table, and often of the other, Postgres would read all tasks
-- for every batch.
set local enable_hashjoin = off;
set local enable_mergejoin = off;
set local enable_seqscan = off;

-- copy_changed --
copy pg_temp.changed_tasks from stdin (format binary);

-- update_tasks --
update tasks t
   set state = c.state, updated_at = c.updated_at, started_at = c.started_at,
       cancel_requested_at = c.cancel_requested_at, finished_at = c.finished_at, last_offset = c.last_offset,
       version = c.version, attempt = c.attempt, attempt_id = c.attempt_id, worker = c.worker,
       cancellable = c.cancellable, sequence = c.sequence, progress = c.progress, result = c.result, error = c.error
  from pg_temp.changed_tasks c
 where t.task_id = c.task_id and t.version < c.version;

-- copy_tasks --
copy tasks (task_id, updated_at, last_offset, version, attempt, sequence, cancellable, state, started_at,
            cancel_requested_at, finished_at, attempt_id, worker, progress, result, error,
            priority, accepted_at, partition, accepted_offset, operation, queue, created_by, arguments, resources,
            exclusive_resources, shared_resources, tags, group_id, parent_id, depends_on, timeout_seconds,
            correlation_id)
  from stdin (format binary);

-- copy_resources --
copy task_resources (resource, access, accepted_at, task_id) from stdin (format binary);

-- copy_causes --
copy task_causes (task_id, cause) from stdin (format binary);

-- count_tasks --
-- In the batch's own transaction: the counters are those of the rows beside them.
insert into task_counts as c (partition, state, operation, tasks)
select * from unnest(%(partitions)s::int[], %(states)s::text[], %(operations)s::text[], %(changes)s::bigint[])
    on conflict (partition, state, operation) do update set tasks = c.tasks + excluded.tasks;

-- copy_history --
copy task_events (partition, record_offset, task_id, event_id, event_time, broker_time, event, type, actor, effect)
  from stdin (format binary);

-- copy_dead_letters --
copy dead_letters (partition, record_offset, broker_time, reason, key, value, headers, sent)
  from stdin (format binary);

-- advance --
-- The fence: no row means that the position is not what this writer believes, so another one owns the partition.
update positions set next_offset = %(end)s where partition = %(partition)s and next_offset = %(expected)s;
