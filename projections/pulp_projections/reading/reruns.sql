-- both_ways --
-- For one task, as columns; without tasks that are purged.
(select cause from task_causes where task_id = %(task_id)s
    and not exists (select from tasks c where c.task_id = cause and c.purged_at is not null)) as rerun_of,
array(select k.task_id from task_causes k join tasks r using (task_id)
where k.cause = %(task_id)s and r.purged_at is null
and (%(until)s::timestamptz is null or r.accepted_at <= %(until)s::timestamptz)
order by r.accepted_at, k.task_id) as reruns
