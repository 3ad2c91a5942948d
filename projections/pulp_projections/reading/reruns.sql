-- both_ways --
-- Of one task, as columns.
(select cause from task_causes where task_id = %(task_id)s) as rerun_of,
array(select k.task_id from task_causes k join tasks r using (task_id)
where k.cause = %(task_id)s and (%(until)s::timestamptz is null or r.accepted_at <= %(until)s::timestamptz)
order by r.accepted_at, k.task_id) as reruns
