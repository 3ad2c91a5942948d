-- Earlier generations get the index on the exclusive uses of a resource, which serves to compute when a task became
-- runnable. A generation whose indexes are yet to be built gets it with them.

do $$
declare
    made_in text;
begin
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.task_resources_by_time') is not null then
            execute format(
                'create index if not exists task_resources_exclusive'
                ' on %I.task_resources (resource, accepted_at, task_id) where access = ''e''', made_in);
        end if;
    end loop;
end $$;
