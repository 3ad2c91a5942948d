-- Earlier generations get indexes for the lists of purged tasks, and four of the other indexes no longer contain those
-- tasks. A generation that is being rebuilt gets them when it is filled. Batches wait meanwhile, some ten seconds for a
-- million tasks; readers wait for a moment at the end.

do $$
declare
    made_in text;
    replaced text;
    of_purged text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.tasks_by_time') is null  -- its indexes are yet to be built
           or to_regclass(made_in || '.tasks_purged_by_state') is not null then
            continue;
        end if;
        execute format(
            'create index tasks_purged_by_state on %I.tasks (state, accepted_at, task_id) where purged_at is not null', made_in);
        execute format(
            'create index tasks_purged_by_operation on %I.tasks (operation, accepted_at, task_id) where purged_at is not null', made_in);
        foreach of_purged in array array['', 'not '] loop
            replaced := case of_purged when '' then 'new_tasks_by_' else 'tasks_purged_by_' end;
            execute format(
                'create index %I on %I.tasks using gin (tags) with (fastupdate = off)'
                ' where tags <> ''{}'' and purged_at is ' || of_purged || 'null', replaced || 'tag', made_in);
            execute format(
                'create index %I on %I.tasks (parent_id, accepted_at, task_id)'
                ' where parent_id is not null and purged_at is ' || of_purged || 'null', replaced || 'parent', made_in);
            execute format(
                'create index %I on %I.tasks (group_id, accepted_at, task_id)'
                ' where group_id is not null and purged_at is ' || of_purged || 'null', replaced || 'group', made_in);
            execute format(
                'create index %I on %I.tasks (correlation_id)'
                ' where correlation_id is not null and purged_at is ' || of_purged || 'null', replaced || 'correlation', made_in);
        end loop;
    end loop;
    -- Last, since readers wait from here on.
    for made_in in select 'generation_' || generation from generations order by generation loop
        foreach replaced in array array['tasks_by_tag', 'tasks_by_parent', 'tasks_by_group', 'tasks_by_correlation'] loop
            if to_regclass(made_in || '.new_' || replaced) is not null then
                execute format('drop index if exists %I.%I', made_in, replaced);
                execute format('alter index %I.%I rename to %I', made_in, 'new_' || replaced, replaced);
            end if;
        end loop;
    end loop;
end $$;
