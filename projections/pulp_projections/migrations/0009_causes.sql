-- Generations that were created before a task could be run again get the table of causes. There is nothing to fill it
-- from: no event named a cause before this release. Stop the processors and rebuilds of older releases first, as for
-- 0006_resources.sql: a rerun that they project has no row here, until the read model is rebuilt.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        execute format('create table if not exists %I.task_causes (task_id uuid primary key, cause uuid not null)', made_in);
        if to_regclass(made_in || '.task_events_by_task') is not null then  -- or else its indexes are yet to be built
            execute format('create index if not exists task_causes_by_cause on %I.task_causes (cause)', made_in);
        end if;
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.task_causes as select * from %I.task_causes', made_in);
    end loop;
end $$;
