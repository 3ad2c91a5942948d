-- Earlier generations get the indexes of the audit, which reads the history of all tasks. This reads each event of the
-- history; readers go on meanwhile, batches wait. A generation that is being rebuilt gets them when it
-- is filled. Processors of an older release may go on: nothing that they write depends on it.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.task_events_by_task') is null then  -- its indexes are yet to be built
            continue;
        end if;
        execute format(
            'create index if not exists task_events_by_actor on %I.task_events (actor, partition, record_offset)'
            ' where actor not like ''worker:%%''', made_in);
        execute format(
            'create index if not exists task_events_rare on %I.task_events (partition, record_offset)'
            ' where type not in (''org.pulpproject.task.accepted.v1'', ''org.pulpproject.task.accepted.v2'','
            ' ''org.pulpproject.task.started.v1'', ''org.pulpproject.task.progress.v1'','
            ' ''org.pulpproject.task.finished.v1'')', made_in);
        execute format(
            'create index if not exists task_events_ignored on %I.task_events (partition, record_offset)'
            ' where effect <> ''applied''', made_in);
    end loop;
end $$;

-- Users and tokens may have the role of an auditor.
alter table users drop constraint users_role_check;
alter table users add constraint users_role_check
    check (role in ('viewer', 'operator', 'submitter', 'auditor', 'admin'));
alter table tokens drop constraint tokens_role_check;
alter table tokens add constraint tokens_role_check
    check (role in ('viewer', 'operator', 'submitter', 'auditor', 'admin'));
