-- columns --
-- The columns of a generation's tables, except dead_letters.sent, which does not come from the log.
select table_name::text, array_agg(column_name::text order by column_name)
  from information_schema.columns
 where table_schema = %(schema)s and table_name = any (%(tables)s)
   and (table_name, column_name) <> ('dead_letters', 'sent')
 group by table_name;

-- digests --
-- The number of rows in each bucket, and the sum of their digests, which does not depend on their order.
select {bucket} as bucket, count(*), sum(hashtextextended(row({columns})::text, 0)::numeric)::text
  from {schema}.{table}
 group by 1;

-- counters --
-- Every counter next to the number of rows that it should count: those of tasks that are not purged.
select partition::text, state, operation, k.tasks, coalesce(c.tasks, 0)
  from (select partition, state, operation, tasks from {schema}.task_counts where tasks <> 0) k
  full join (select partition, state, operation, count(*) as tasks
               from {schema}.tasks where purged_at is null group by 1, 2, 3) c
       using (partition, state, operation)
 order by partition, state, operation;

-- resources --
-- Uses of a resource without their row in task_resources, and rows there without a use.
select coalesce(t.task_id, k.task_id)::text, coalesce(t.resource, k.resource),
       coalesce(t.access, k.access)::text, k.task_id is not null, t.partition::text, t.accepted_offset::text
  from (select distinct task_id, accepted_at, e.resource, 'e'::"char" as access, partition, accepted_offset
          from {schema}.tasks, unnest(exclusive_resources) as e (resource)
         union all
        select distinct task_id, accepted_at, s.resource,
               (case when s.resource = any (exclusive_resources) then 'b' else 's' end)::"char", partition,
               accepted_offset
          from {schema}.tasks, unnest(shared_resources) as s (resource)) t
  full join {schema}.task_resources k using (task_id, accepted_at, resource, access)
 where t.task_id is null or k.task_id is null
 order by 1, 2, 3;

-- resource_rows --
select count(*) from {schema}.task_resources;

-- rows --
-- All columns of the rows in some buckets, in the order of their key.
select {columns}
  from {schema}.{table} t
 where {bucket} = any (%(buckets)s)
 order by {key};
