-- Months that were detached from the history: what they had, and where it is now. An event belongs to one if its
-- broker's time is in the month and its offset is before the position of the projection at that time; an event that a
-- clock dates back later is in the history.

create table detached_history (
    part        text primary key,            -- of the table, without task_events_: 2026_05
    since       timestamptz,                 -- null: from the beginning
    until       timestamptz not null,
    ends        bigint[] not null,           -- the position of each partition when it was detached
    places      json not null,               -- [{"partition", "first", "last", "events"}]: between which offsets its events are
    is_kept     boolean not null,            -- whether its rows are still in history_detached
    detached_at timestamptz not null default now()
);

-- The events of these months without an effect, with the reason: the log does not have it, and the version of a task does not count them.
create table detached_effects (
    part          text not null references detached_history on delete cascade,
    partition     integer not null,
    record_offset bigint not null,
    task_id       uuid not null,
    effect        text not null,
    primary key (partition, record_offset)
);
create index detached_effects_by_task on detached_effects (task_id);
create index detached_effects_by_part on detached_effects (part);

-- The tables that were detached.
create schema history_detached;

-- As before, but a detached month gets no part: what a clock dates back goes to the rest.
create or replace function make_history_month(of_generation integer, low timestamptz) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
    made_in text := format('generation_%s', of_generation);
    made text := 'task_events_' || to_char(low, 'YYYY_MM');
    high timestamptz := low + interval '1 month';
    there constant text :=
        'select exists (select from public.history_parts($1) p where not p.is_rest and coalesce(p.since < $3, true) and p.until > $2)'
        ' or exists (select from public.detached_history d where coalesce(d.since < $3, true) and d.until > $2)'
        ' or not exists (select from public.history_parts($1) p where p.is_rest)';
    is_there boolean;
begin
    execute there into is_there using of_generation, low, high;
    if is_there then
        return true;
    end if;
    execute format('lock table %I.task_events_rest in access exclusive mode', made_in);
    execute there into is_there using of_generation, low, high;
    if is_there then
        return true;  -- by another processor, meanwhile
    end if;
    execute format('create table %I.%I (like %I.task_events including defaults including storage)', made_in, made, made_in);
    if to_regclass(format('%I.task_events_by_task', made_in)) is not null then  -- or else its indexes are yet to be built
        execute format('alter table %I.%I add primary key (partition, record_offset)', made_in, made);
    end if;
    execute format('with moved as (delete from %I.task_events_rest where broker_time >= $1 and broker_time < $2 returning *)'
                   ' insert into %I.%I select * from moved', made_in, made_in, made) using low, high;
    execute format('alter table %I.task_events attach partition %I.%I for values from (%L) to (%L)',
                   made_in, made_in, made, low, high);
    return true;
exception when lock_not_available then
    return false;
end $$;
