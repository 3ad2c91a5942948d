-- origins --
-- Also of purged tasks: their events stay in the log.
select t.task_id, t.operation, t.exclusive_resources || t.shared_resources, t.created_by, t.group_id
from tasks t where t.task_id = any(%(task_ids)s)
