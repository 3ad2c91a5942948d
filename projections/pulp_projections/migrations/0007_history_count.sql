-- Generations that were created before a task's version counted its effective events get the index of the other events.
-- This reads each event of the history; readers go on meanwhile, processors wait.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.task_events_by_task') is not null then  -- or else its indexes are yet to be built
            execute format(
                'create index if not exists task_events_without_effect on %I.task_events (task_id)'
                ' where effect <> ''applied''', made_in);
        end if;
    end loop;
end $$;
