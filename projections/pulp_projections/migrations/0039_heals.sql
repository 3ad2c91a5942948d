-- Earlier generations also count how often a task of a partition was healed, so that a processor notices. A processor
-- of an older release goes on, but does not notice: stop it before `pulp-tasks rebuild --task`.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        execute format('alter table %I.positions add column if not exists heals integer not null default 0', made_in);
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.positions as select * from %I.positions', made_in);
    end loop;
end $$;
