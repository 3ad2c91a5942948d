-- Generations that were created before tasks could be purged get the two columns, and indexes without purged tasks in
-- place of those with all. Stop the processors of older releases first. They do not know the events of purges and of
-- failed attempts: what they project of them is lost until the read model is rebuilt, and a task that seemed to have
-- failed would then wait again. Readers wait meanwhile: some seconds for a million tasks.

do $$
declare
    made_in text;
begin
    if exists (select from pg_stat_activity
                where datname = current_database()
                  and (application_name like 'pulp-processor/%' or application_name = 'pulp-reactor')) then
        raise exception 'processors of the earlier release are running, and would project the events of this one without effect: stop them first, then try again';
    end if;
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        execute format(
            'alter table %I.tasks add column if not exists purged_at timestamptz,'
            ' add column if not exists purged_by text', made_in);
        if to_regclass(made_in || '.tasks_by_time') is not null         -- or else its indexes are yet to be built
           and to_regclass(made_in || '.tasks_purged') is null then
            execute format('drop index %1$I.tasks_by_time, %1$I.tasks_by_state, %1$I.tasks_by_operation', made_in);
            execute format('create index tasks_by_time on %I.tasks (accepted_at, task_id) where purged_at is null', made_in);
            execute format(
                'create index tasks_by_state on %I.tasks (state, accepted_at, task_id) where purged_at is null', made_in);
            execute format(
                'create index tasks_by_operation on %I.tasks (operation, accepted_at, task_id) where purged_at is null',
                made_in);
            execute format(
                'create index tasks_purged on %I.tasks (accepted_at, task_id) where purged_at is not null', made_in);
        end if;
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.tasks as select * from %I.tasks', made_in);
    end loop;
end $$;
