-- Generations that were created before the tasks of a resource had rows of their own get these, in place of two
-- indexes. Stop the processors and rebuilds of releases that do not write them yet first, as for 0005_counters.sql: the
-- tasks that those write later are not found by their resources.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.task_resources') is not null then
            continue;
        end if;
        execute format(
            'create table %I.task_resources (resource text not null, access "char" not null,'
            ' accepted_at timestamptz not null, task_id uuid not null)'
            ' with (autovacuum_vacuum_insert_scale_factor = 0.02)', made_in);
        execute format(
            'insert into %1$I.task_resources'
            ' select distinct e.resource, ''e''::"char", accepted_at, task_id'
            ' from %1$I.tasks, unnest(exclusive_resources) as e (resource)'
            ' union all'
            ' select distinct s.resource,'
            ' (case when s.resource = any (exclusive_resources) then ''b'' else ''s'' end)::"char", accepted_at, task_id'
            ' from %1$I.tasks, unnest(shared_resources) as s (resource)', made_in);
        if to_regclass(made_in || '.tasks_by_time') is not null then  -- or else its indexes are yet to be built
            execute format(
                'create unique index task_resources_by_time'
                ' on %I.task_resources (resource, accepted_at, task_id, access)', made_in);
        end if;
        execute format('analyze %I.task_resources', made_in);
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.task_resources as select * from %I.task_resources', made_in);
    end loop;
    -- Last, since readers wait from here on.
    for made_in in select 'generation_' || generation from generations order by generation loop
        execute format('drop index if exists %1$I.tasks_by_exclusive_resource, %1$I.tasks_by_shared_resource', made_in);
    end loop;
end $$;
