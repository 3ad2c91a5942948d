-- The index that finds a span of time also knows when tasks were accepted, so it finds tasks that existed at a moment
-- of the past and had not ended. Earlier generations get it in place of the one without; this reads each task, readers
-- go on meanwhile, batches wait. A generation that is being rebuilt gets it when it is filled. Processors of an older
-- release may go on: nothing that they write depends on it.

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
            'create index if not exists tasks_by_times on %I.tasks using brin (accepted_at, started_at, finished_at)'
            ' with (autosummarize = on)', made_in);
    end loop;
    -- Last, because readers wait from here to the end.
    for made_in in select 'generation_' || generation from generations order by generation loop
        execute format('drop index if exists %I.tasks_by_span', made_in);
    end loop;
end $$;
