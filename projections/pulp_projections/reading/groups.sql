-- groups --
-- The ids of task groups, the greatest first, which is the newest first where the server created the ids. Each step
-- goes to the next id in the index, past all tasks of a group. The index does not have groups all of whose tasks are
-- purged.
with recursive step (group_id) as (
    (select group_id from tasks where group_id is not null and purged_at is null order by group_id desc limit 1)
     union all
    select (select t.group_id from tasks t where t.group_id < s.group_id and t.purged_at is null
             order by t.group_id desc limit 1)
      from step s where s.group_id is not null)
select g.group_id from step g where g.group_id is not null and {where}
   and exists (select from tasks t where t.group_id = g.group_id and t.purged_at is null and {scope})

-- page --
{groups} limit %(limit)s offset %(skip)s

-- count --
select count(*) from ({groups}) g

-- counts --
select t.group_id, t.state, count(*) from tasks t
 where t.group_id = any (%(group_ids)s) and t.purged_at is null and {scope}
 group by t.group_id, t.state

-- first_tasks --
select t.task_id
  from unnest(%(group_ids)s::uuid[]) g
 cross join lateral (select t.task_id from tasks t where t.group_id = g and t.purged_at is null and {scope}
                      order by t.accepted_at, t.task_id limit %(most)s) t

-- of_tasks --
select coalesce(t.group_id, t.task_id) from tasks t where {where}
 group by coalesce(t.group_id, t.task_id)
 order by min(t.accepted_at), coalesce(t.group_id, t.task_id)
 limit %(limit)s offset %(skip)s
