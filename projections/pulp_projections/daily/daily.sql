-- create --
-- How many tasks of a kind ended on a day (in UTC), by how they ended, and by how long they waited and ran (buckets.py). A
-- row for each combination that occurs: rows are added up, so that any selection of them has its counts and quantiles.
-- Per partition, since each partition has its own writer. `kind` is a digest of `operation` and `resources`: those can be
-- longer than an index takes.
create table task_days (
    partition integer not null,
    day       date not null,
    kind      uuid not null,
    state     text not null,
    waited    smallint not null,
    ran       smallint not null,             -- -1: no attempt had begun
    tasks     bigint not null,
    operation text not null,
    resources text[] not null,               -- TYPE:ID, each once, in order
    primary key (day, partition, kind, state, waited, ran)
) with (fillfactor = 70);                    -- counted up again and again (HOT)

-- add --
-- In the batch's own transaction, so that each task counts once. `{after}` is the condition for a batch of one
-- statement.
insert into task_days as t
select d.* from {after}json_populate_recordset(null::task_days, %(days)s::json) d
    on conflict (day, partition, kind, state, waited, ran) do update set tasks = t.tasks + excluded.tasks

-- all_rows --
public.task_days

-- own_rows --
json_populate_recordset(null::public.task_days, %(days)s::json)

-- own_tasks --
-- The tasks that ended in the span, for a user who may not see all of them.
select t.operation, t.exclusive_resources || t.shared_resources, t.state,
       (date_part('epoch', t.accepted_at) * 1000)::bigint, (date_part('epoch', t.started_at) * 1000)::bigint,
       (date_part('epoch', t.finished_at) * 1000)::bigint
  from tasks t
 where t.finished_at >= %(since)s::date::timestamp at time zone 'UTC'
   and t.finished_at < (%(until)s::date + 1)::timestamp at time zone 'UTC' and {scope};

-- summary --
-- A page of the groups, each with its counts, and with the buckets of its quantiles: the first bucket up to which at
-- least that share of the tasks is counted. A task counts once for each resource if groups are by resource.
with chosen as materialized (
    select case when %(by_day)s then d.day end as day, case when %(by_operation)s then d.operation end as operation,
           r.resource, d.state, d.waited, d.ran, d.tasks
      from {rows} d
      left join lateral unnest(case when %(by_resource)s then d.resources else '{{}}' end) as r (resource) on true
     where d.day between %(since)s and %(until)s
       and (%(operations)s::text[] is null or d.operation = any (%(operations)s))
       and (%(resources)s::text[] is null or d.resources && %(resources)s)
       and (not %(by_resource)s or %(resources)s::text[] is null or r.resource = any (%(resources)s))
), states as (
    select day, operation, resource, state, sum(tasks) as tasks from chosen group by 1, 2, 3, 4
), groups as (
    select day, operation, resource, sum(tasks) as tasks, json_object_agg(state, tasks) as states,
           count(*) over () as groups
      from states
     group by 1, 2, 3
     order by day, sum(tasks) desc, operation collate "C", resource collate "C"
     limit %(limit)s offset %(skip)s
), durations as (
    select day, operation, resource, 'waited' as what, waited as bucket, sum(tasks) as tasks from chosen group by 1, 2, 3, 5
     union all
    select day, operation, resource, 'ran', ran, sum(tasks) from chosen where ran >= 0 group by 1, 2, 3, 5
), sums as (
    select *, sum(tasks) over (partition by day, operation, resource, what order by bucket) as up_to,
           sum(tasks) over (partition by day, operation, resource, what) as total
      from durations
), quantiles as (
    select day, operation, resource, what,
           array[min(bucket) filter (where up_to >= 0.5 * total), min(bucket) filter (where up_to >= 0.9 * total),
                 min(bucket) filter (where up_to >= 0.99 * total)] as buckets
      from sums
     group by 1, 2, 3, 4
)
select g.day, g.operation, g.resource, g.tasks::bigint, g.states, w.buckets, r.buckets, g.groups
  from groups g
  left join quantiles w on w.what = 'waited' and (w.day, w.operation, w.resource) is not distinct from (g.day, g.operation, g.resource)
  left join quantiles r on r.what = 'ran' and (r.day, r.operation, r.resource) is not distinct from (g.day, g.operation, g.resource)
 order by g.day, g.tasks desc, g.operation collate "C", g.resource collate "C";
