-- Generations that were created before a task could be retried get the columns for that. There is nothing to fill them
-- from: no event mentioned it before this release. Stop the processors and rebuilds of older releases first, as for
-- 0006_resources.sql: a retry that they project is an unknown event to them, until the read model is rebuilt.

do $$
declare
    made_in text;
begin
    lock table active_generation in exclusive mode;  -- no batch is under way
    lock table generations in exclusive mode;        -- nor one of a rebuild
    for made_in in select 'generation_' || generation from generations order by generation loop
        execute format(
            'alter table %I.tasks'
            ' add column if not exists retry json,'
            ' add column if not exists deadline_seconds integer,'
            ' add column if not exists failed_attempts integer not null default 0,'
            ' add column if not exists retry_at timestamptz', made_in);
        execute format('alter table %I.tasks alter retry set storage external', made_in);
        if to_regclass(made_in || '.tasks_by_time') is not null then  -- or else its indexes are yet to be built
            execute format(
                'create index if not exists tasks_with_deadlines on %I.tasks (partition)'
                ' where deadline_seconds is not null and not public.is_final(state)', made_in);
        end if;
    end loop;
    for made_in in select 'generation_' || generation from active_generation loop
        execute format('create or replace view public.tasks as select * from %I.tasks', made_in);
    end loop;
end $$;

-- The defaults of a submission that sets neither.
alter table operations
    add column retry            json,        -- {"retries", "backoff_seconds", "max_backoff_seconds"}; null: a failure ends the task
    add column deadline_seconds integer;     -- over all attempts, from the acceptance; null: none
