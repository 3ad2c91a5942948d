-- A record that cannot be projected parks its task, and later records of the task wait behind it, among the dead
-- letters. Existing dead letters stay what they were: their tasks have gone on. Stop the processors and rebuilds of
-- older releases first: they would not let records wait. Batches wait for a moment; readers go on.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        execute format(
            'alter table %I.dead_letters'
            ' add column if not exists task_id uuid,'
            ' add column if not exists standing text not null default ''dead''', made_in);
        if to_regclass(made_in || '.task_events_by_task') is null then  -- its indexes are yet to be built
            continue;
        end if;
        execute format('drop index if exists %I.dead_letters_unsent', made_in);
        execute format(
            'create index if not exists dead_letters_unpublished on %I.dead_letters (partition)'
            ' where not sent and standing <> ''waits''', made_in);
        execute format(
            'create index if not exists dead_letters_parked on %I.dead_letters (task_id, partition)'
            ' where standing = ''parks''', made_in);
        execute format(
            'create index if not exists dead_letters_in_order on %I.dead_letters (partition, record_offset)'
            ' where standing in (''parks'', ''waits'')', made_in);
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.dead_letters as select * from %I.dead_letters', made_in);
    end loop;
end $$;
