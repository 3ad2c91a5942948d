-- asked --
-- The author and the time of the purge (of its task's acceptance), and how many attempts have failed.
select created_by, correlation_id, accepted_at, failed_attempts from tasks where task_id = %(task_id)s;

-- part --
-- The next tasks of one state that are not purged, in the order of their acceptance, as the index by state has them. No task was
-- accepted after its end, so the index need not be read beyond that time. The hour is a tolerance: a partition's clock may go back
-- when its leader changes.
select t.task_id, t.partition, t.accepted_at, t.finished_at, t.created_by
  from tasks t
 where t.state = %(state)s and t.purged_at is null and t.accepted_at < %(before)s::timestamptz + interval '1 hour'
   and (t.accepted_at, t.task_id) > (%(after)s::timestamptz, %(after_id)s::uuid)
 order by t.accepted_at, t.task_id
 limit %(most)s

-- matches --
t.finished_at < %(before)s and (%(created_by)s::text is null or t.created_by = %(created_by)s)

-- count --
-- The last task of a part, and how many of the part match; no row after the last part.
with part as materialized ({part})
select accepted_at, task_id, (select count(*) from part t where {matches})
  from part order by accepted_at desc, task_id desc limit 1;

-- page --
-- Each row has the last task of a part, and a task that matches. If none matches, one row without the latter; after the last part,
-- no row.
with part as materialized ({part}),
last as (select accepted_at, task_id from part order by accepted_at desc, task_id desc limit 1)
select l.accepted_at, l.task_id, t.task_id, t.partition
  from last l left join part t on {matches}
 order by t.accepted_at, t.task_id;

-- own --
-- Like count, for the purged tasks of one state: those that the purge's author has purged since its request.
with part as materialized (
    select t.task_id, t.accepted_at, t.finished_at, t.created_by, t.purged_at, t.purged_by
      from tasks t
     where t.state = %(state)s and t.purged_at is not null and t.accepted_at < %(before)s::timestamptz + interval '1 hour'
       and (t.accepted_at, t.task_id) > (%(after)s::timestamptz, %(after_id)s::uuid)
     order by t.accepted_at, t.task_id
     limit %(most)s)
select accepted_at, task_id,
       (select count(*) from part t where {matches} and t.purged_by = %(by)s and t.purged_at >= %(asked_at)s)
  from part order by accepted_at desc, task_id desc limit 1;

-- applied --
-- How many of these events took effect. A purge is the last event that ever affects a task.
select count(*)
  from unnest(%(task_ids)s::uuid[], %(offsets)s::bigint[]) as p (task_id, last_offset)
  join tasks t using (task_id, last_offset)
 where t.purged_at is not null;

-- positions --
select partition, next_offset from positions where partition = any (%(partitions)s);
