-- prepare --
-- For the connection: the tables of the generation, and no flush (see `enter`, in projector.sql). Tasks are found by their
-- keys: a plan is kept from when there were few, and would read all of them for every batch.
select set_config('search_path', %(schema)s || ', public', false), set_config('synchronous_commit', 'off', false),
       set_config('enable_seqscan', 'off', false);

-- write --
-- A small batch in one statement, which is a transaction of its own. The same guards in the same order as for a large
-- one: a share lock on the row that names the active generation, then the fence; nothing is written without both. JSON's null is no value
-- for json_to_recordset.
with entered as materialized (
    select generation from active_generation where generation = %(generation)s for share
), fence as (
    update positions set next_offset = %(end)s
     where partition = %(partition)s and next_offset = %(expected)s and exists (select from entered)
 returning partition
), history as (
    insert into task_events
           (partition, record_offset, task_id, event_id, type, event_time, broker_time, actor, effect, event)
    select f.partition, h.*
      from fence f, json_to_recordset(%(history)s::json) as h
           (record_offset bigint, task_id uuid, event_id uuid, type text, event_time timestamptz,
            broker_time timestamptz, actor text, effect text, event bytea)
), created as (
    insert into tasks
           (task_id, state, updated_at, started_at, cancel_requested_at, finished_at, last_offset, version, attempt,
            attempt_id, worker, cancellable, sequence, progress, result, error, operation, arguments, resources,
            exclusive_resources, shared_resources, tags, queue, priority, group_id, parent_id, depends_on,
            timeout_seconds, created_by, correlation_id, accepted_at, partition, accepted_offset)
    select c.task_id, c.state, c.updated_at, c.started_at, c.cancel_requested_at, c.finished_at, c.last_offset,
           c.version, c.attempt, c.attempt_id, c.worker, c.cancellable, c.sequence, c.progress,
           coalesce(c.result, 'null'), c.error, c.operation, c.arguments, c.resources, c.exclusive_resources,
           c.shared_resources, c.tags, c.queue, c.priority, c.group_id, c.parent_id, c.depends_on,
           c.timeout_seconds, c.created_by, c.correlation_id, c.accepted_at, c.partition, c.accepted_offset
      from fence, json_to_recordset(%(created)s::json) as c
           (task_id uuid, state text, updated_at timestamptz, started_at timestamptz, cancel_requested_at timestamptz,
            finished_at timestamptz, last_offset bigint, version integer, attempt integer, attempt_id uuid, worker text,
            cancellable boolean, sequence bigint, progress json, result json, error json, operation text,
            arguments json, resources json, exclusive_resources text[], shared_resources text[], tags text[],
            queue text, priority integer, group_id uuid, parent_id uuid, depends_on uuid[], timeout_seconds integer,
            created_by text, correlation_id text, accepted_at timestamptz, partition integer, accepted_offset bigint)
), used as (
    insert into task_resources (resource, access, accepted_at, task_id)
    select u.*
      from fence, json_to_recordset(%(uses)s::json) as u
           (resource text, access "char", accepted_at timestamptz, task_id uuid)
), updated as (
    update tasks t
       set state = c.state, updated_at = c.updated_at, started_at = c.started_at,
           cancel_requested_at = c.cancel_requested_at, finished_at = c.finished_at, last_offset = c.last_offset,
           version = c.version, attempt = c.attempt, attempt_id = c.attempt_id, worker = c.worker,
           cancellable = c.cancellable, sequence = c.sequence, progress = c.progress, result = coalesce(c.result, 'null'),
           error = c.error
      from fence, json_to_recordset(%(updated)s::json) as c
           (task_id uuid, state text, updated_at timestamptz, started_at timestamptz, cancel_requested_at timestamptz,
            finished_at timestamptz, last_offset bigint, version integer, attempt integer, attempt_id uuid, worker text,
            cancellable boolean, sequence bigint, progress json, result json, error json)
     where t.task_id = any (%(updated_ids)s::uuid[]) and t.task_id = c.task_id and t.version < c.version
), counted as (
    insert into task_counts as t (partition, state, operation, tasks)
    select f.partition, c.*
      from fence f, json_to_recordset(%(counts)s::json) as c (state text, operation text, tasks bigint)
        on conflict (partition, state, operation) do update set tasks = t.tasks + excluded.tasks
)
select exists (select from entered), exists (select from fence),
       (select pg_notify('pulp_positions', %(payload)s) from fence),
       (select pg_notify('pulp_claims', '') from fence where %(wakes)s);
