-- Earlier generations get an index in the order of deadlines, so that only those that have passed are read. Processors
-- of an older release may go on meanwhile: nothing that they write depends on it.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.tasks_by_time') is null then      -- its indexes are yet to be built
            continue;
        end if;
        execute format('drop index if exists %I.tasks_with_deadlines', made_in);
        execute format(
            'create index if not exists tasks_by_deadline'
            ' on %I.tasks (((accepted_at at time zone ''UTC'') + make_interval(secs => deadline_seconds)))'
            ' where deadline_seconds is not null and not public.is_final(state)', made_in);
    end loop;
end $$;
