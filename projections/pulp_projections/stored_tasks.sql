-- load --
select {task_fields} from tasks t where t.task_id = any (%(task_ids)s::uuid[]);
