-- write --
-- A small batch in one statement, which is a transaction of its own: nothing is written unless both guards hold.
with {guards}, history as (
    insert into task_events
           (partition, record_offset, task_id, event_id, type, event_time, broker_time, actor, effect, event)
    select f.partition, h.*
      from fence f, json_to_recordset(%(history)s::json) as h
           (record_offset bigint, task_id uuid, event_id uuid, type text, event_time timestamptz,
            broker_time timestamptz, actor text, effect text, event bytea)
), created as (
    insert into tasks ({task_names})
    select {task_values}
      from fence, json_populate_recordset(null::tasks, %(created)s::json) as c
), used as (
    insert into task_resources (resource, access, accepted_at, task_id)
    select u.*
      from fence, json_to_recordset(%(uses)s::json) as u
           (resource text, access "char", accepted_at timestamptz, task_id uuid)
), updated as (
    update tasks t
       set {changing_assignments}
      from fence, json_to_recordset(%(updated)s::json) as c ({changing_types})
     where t.task_id = any (%(updated_ids)s::uuid[]) and t.task_id = c.task_id and t.version < c.version
), ended as (
    {daily}
), counted as (
    insert into task_counts as t (partition, state, operation, tasks)
    select f.partition, c.*
      from fence f, json_to_recordset(%(counts)s::json) as c (state text, operation text, tasks bigint)
        on conflict (partition, state, operation) do update set tasks = t.tasks + excluded.tasks
)
select {outcome}, (select count(pg_notify(n.channel, n.payload))
                     from fence, unnest(%(channels)s::text[], %(payloads)s::text[]) as n (channel, payload));
