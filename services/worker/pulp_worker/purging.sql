-- asked --
-- Who has asked for the purge, and when: the author and the acceptance of its task.
select created_by, correlation_id, accepted_at from tasks where task_id = %(task_id)s;

-- count --
-- How many tasks match.
select count(*) from tasks t
 where t.state = any (%(states)s) and {matches};

-- page --
-- The next tasks of one state that match, in the order of their acceptance, as the index by state has them.
select t.task_id, t.partition, t.accepted_at
  from tasks t
 where t.state = %(state)s and {matches} and (t.accepted_at, t.task_id) > (%(after)s::timestamptz, %(after_id)s::uuid)
 order by t.accepted_at, t.task_id
 limit %(most)s;

-- matches --
-- No task was accepted after its end, so the index need not be read beyond that time. An hour of tolerance: after a change of its
-- leader a partition's clock may go back.
t.purged_at is null and t.finished_at < %(before)s and t.accepted_at < %(before)s + interval '1 hour'
and (%(created_by)s::text is null or t.created_by = %(created_by)s)

-- positions --
select partition, next_offset from positions where partition = any (%(partitions)s);
