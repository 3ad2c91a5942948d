-- The places of the ends of tasks, for ends in detached months. A list of the past shows a task that was purged since
-- as it was at its end, if that was before the moment; and a task's row keeps the time of its end, but not the place.

create table detached_ends (
    task_id       uuid primary key,
    part          text not null,             -- as in detached_history
    record_offset bigint not null            -- in the partition of the task
);
create index detached_ends_by_part on detached_ends (part);

-- Those of months that are detached already, and kept.
do $$
declare
    kept text;
begin
    for kept in select part from detached_history where is_kept loop
        execute format('insert into detached_ends (task_id, part, record_offset) select task_id, %L, record_offset'
                       ' from history_detached.%I where type = ''org.pulpproject.task.finished.v1'' and effect = ''applied'''
                       ' on conflict do nothing', kept, 'task_events_' || kept);
    end loop;
end $$;
