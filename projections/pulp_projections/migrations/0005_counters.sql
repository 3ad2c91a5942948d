-- Generations that were created before tasks were counted get their counters. Stop the processors of releases that do
-- not count yet first: nobody counts what they write later (`pulp-tasks verify` reports it, a rebuild mends it).

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.task_counts') is not null then
            continue;
        end if;
        execute format(
            'create table %I.task_counts (partition integer not null, state text not null, operation text not null,'
            ' tasks bigint not null, primary key (partition, state, operation)) with (fillfactor = 50)', made_in);
        execute format(
            'insert into %1$I.task_counts select partition, state, operation, count(*) from %1$I.tasks group by 1, 2, 3',
            made_in);
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.task_counts as select * from %I.task_counts', made_in);
    end loop;
end $$;
