-- counts --
-- How many tasks there are that are not purged, by state and operation.
select state, operation, sum(tasks)::bigint from task_counts
 group by state, operation having sum(tasks) > 0;

-- counts_in_scope --
-- The same of the tasks in a scope.
select t.state, t.operation, count(*) from tasks t
 where t.purged_at is null and {scope}
 group by t.state, t.operation;

-- changes --
-- What happened since a time, per step of time: how many tasks were accepted, left the line, stopped running, and how
-- they ended; and how many waited and ran when the span began. Purged tasks count as well.
with seen as materialized (
    select t.state, t.accepted_at, t.started_at, t.finished_at from tasks t
     where t.finished_at >= %(since)s and {scope}
     union all
    select t.state, t.accepted_at, t.started_at, t.finished_at from tasks t
     where not public.is_final(t.state) and {scope})
select 'accepted', date_bin(%(step)s, accepted_at, %(since)s), null, count(*)
  from seen where accepted_at >= %(since)s group by 2
 union all
select 'left', date_bin(%(step)s, coalesce(started_at, finished_at), %(since)s), null, count(*)
  from seen where coalesce(started_at, finished_at) >= %(since)s group by 2
 union all
select 'started', date_bin(%(step)s, started_at, %(since)s), null, count(*)
  from seen where started_at >= %(since)s group by 2
 union all
select 'stopped', date_bin(%(step)s, finished_at, %(since)s), null, count(*)
  from seen where finished_at is not null and started_at is not null group by 2
 union all
select 'ended', date_bin(%(step)s, finished_at, %(since)s), state, count(*)
  from seen where finished_at is not null group by 2, 3
 union all
select 'waited before', null, null, count(*)
  from seen where accepted_at < %(since)s and coalesce(started_at, finished_at, 'infinity') >= %(since)s
 union all
select 'ran before', null, null, count(*)
  from seen where started_at < %(since)s and coalesce(finished_at, 'infinity') >= %(since)s;

-- durations --
-- For the tasks that ended since a time, by operation: how many, how many failed, and how long the median and the
-- slowest twentieth waited and ran, in seconds. Most tasks first.
select t.operation, count(*), count(*) filter (where t.state = 'failed'),
       percentile_disc(array[0.5, 0.95]) within group
           (order by extract(epoch from coalesce(t.started_at, t.finished_at) - t.accepted_at)::float8),
       percentile_disc(array[0.5, 0.95]) within group
           (order by extract(epoch from t.finished_at - t.started_at)::float8)
  from tasks t where t.finished_at >= %(since)s and {scope}
 group by t.operation order by 2 desc, t.operation limit %(most)s;
