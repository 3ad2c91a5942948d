-- generation --
-- Held to the end of the transaction, so that the generation stays the active one.
select generation from active_generation for share;

-- lock --
-- No batch of the partition is under way now, and none is written before the transaction ends.
select next_offset from {schema}.positions where partition = %(partition)s for update;

-- partitions --
-- The task's partition according to the rows.
select distinct partition from (
    select partition from {schema}.tasks where task_id = %(task_id)s
     union all
    select partition from {schema}.task_events where task_id = %(task_id)s) p
 order by 1;

-- letters --
-- Records of the task that could not be projected, or wait.
select record_offset from {schema}.dead_letters
 where partition = %(partition)s and (record_offset = any (%(offsets)s) or task_id = %(task_id)s)
 order by 1;

-- prepare --
-- Tables for the contents of the log, as the fold writes them: the search path of this transaction finds them first.
create temporary table tasks (like {schema}.tasks including all) on commit drop;
create temporary table task_events (like {schema}.task_events including all) on commit drop;
create temporary table task_resources (like {schema}.task_resources including all) on commit drop;
create temporary table task_causes (like {schema}.task_causes including all) on commit drop;
create temporary table task_counts (like {schema}.task_counts including all) on commit drop;
create temporary table task_days (like {schema}.task_days including all) on commit drop;
create temporary table dead_letters (like {schema}.dead_letters including all) on commit drop;
set local search_path to pg_temp, public;

-- columns --
select array_agg(column_name::text order by column_name) from information_schema.columns
 where table_schema = %(schema)s and table_name = %(table)s;

-- rows --
select {keys}, {columns} from {source}.{table} t where {of_task} order by {keys};

-- of_task --
t.task_id = %(task_id)s

-- of_history --
-- Rows of other partitions stay: the effect of an event there depends on when it was projected.
t.partition = %(partition)s and (t.task_id = %(task_id)s or t.record_offset = any (%(offsets)s))

-- remove --
delete from {schema}.{table} t where {of_task};

-- insert --
insert into {schema}.{table} ({columns}) select {columns} from pg_temp.{table};

-- forget_counts --
update {schema}.task_counts set tasks = 0 where partition = %(partition)s and operation = any (%(operations)s) and tasks <> 0;

-- count --
insert into {schema}.task_counts as c (partition, state, operation, tasks)
select partition, state, operation, count(*)
  from {schema}.tasks
 where partition = %(partition)s and operation = any (%(operations)s) and purged_at is null
 group by 1, 2, 3
    on conflict (partition, state, operation) do update set tasks = excluded.tasks;

-- count_cell --
-- How many tasks a cell of the daily statistics counts.
select count(*) from {schema}.tasks t
 where t.partition = %(partition)s and t.operation = %(operation)s and t.state = %(state)s
   and t.finished_at >= %(day)s::date::timestamp at time zone 'UTC'
   and t.finished_at < (%(day)s::date + 1)::timestamp at time zone 'UTC'
   and array(select distinct r collate "C" from unnest(t.exclusive_resources || t.shared_resources) as u (r) order by 1)
       = %(resources)s::text[]
   and greatest(0, extract(epoch from coalesce(t.started_at, t.finished_at) - t.accepted_at) * 1000)
       between %(waited_from)s and %(waited_to)s
   and case when t.started_at is null then -1  -- `greatest` leaves out what is null
            else greatest(0, extract(epoch from t.finished_at - t.started_at) * 1000) end between %(ran_from)s and %(ran_to)s;

-- remove_cell --
delete from {schema}.task_days
 where (day, partition, kind, state, waited, ran) = (%(day)s::date, %(partition)s, %(kind)s, %(state)s, %(waited)s, %(ran)s);

-- add_cells --
insert into {schema}.task_days select d.* from json_populate_recordset(null::{schema}.task_days, %(days)s::json) d;

-- tell --
-- Makes the writer of the partition read its cached tasks again.
update {schema}.positions set heals = heals + 1 where partition = %(partition)s;
