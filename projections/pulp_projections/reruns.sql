-- reruns --
select (select cause from task_causes where task_id = %(task_id)s) as rerun_of,
       array(select k.task_id from task_causes k join tasks t using (task_id)
              where k.cause = %(task_id)s and (%(until)s::timestamptz is null or t.accepted_at <= %(until)s::timestamptz)
              order by t.accepted_at, k.task_id) as reruns;
