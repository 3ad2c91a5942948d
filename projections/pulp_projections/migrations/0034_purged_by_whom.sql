-- Earlier generations get indexes for the purged tasks of one user, one queue or one worker. A generation that is being
-- rebuilt gets them when it is filled. Batches wait meanwhile, some seconds for a million purged tasks; readers do not.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.tasks_by_time') is null then  -- its indexes are yet to be built
            continue;
        end if;
        execute format(
            'create index if not exists tasks_purged_by_user on %I.tasks (created_by, accepted_at, task_id)'
            ' where purged_at is not null', made_in);
        execute format(
            'create index if not exists tasks_purged_by_queue on %I.tasks (queue, accepted_at, task_id)'
            ' where purged_at is not null', made_in);
        execute format(
            'create index if not exists tasks_purged_by_worker on %I.tasks (worker, accepted_at, task_id)'
            ' where purged_at is not null', made_in);
    end loop;
end $$;
