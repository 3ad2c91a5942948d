-- Schedules, as the topic of schedules has them. They belong to no generation: the topic has one partition and few
-- events, so these tables are filled again from its start if they are empty.

-- The topic, and how far it is projected. A topic that was deleted and created again has another id.
create table schedule_topic (
    singleton   boolean primary key default true check (singleton),
    name        text not null,
    topic_id    text not null,
    next_offset bigint not null
);

create table schedules (
    schedule_id    uuid primary key,
    name           text not null,
    operation      text not null,
    enabled        boolean not null,
    definition     bytea not null,                         -- JSON
    version        integer not null,                       -- of the definition
    created_by     text not null,
    created_at     timestamptz not null,
    updated_by     text not null,
    updated_at     timestamptz not null,
    since          timestamptz not null,                   -- ticks up to here do not count
    last_tick      timestamptz,
    pending        timestamptz,                            -- a due tick whose task is not submitted yet
    pending_missed integer not null,
    last_task      uuid,
    removed_at     timestamptz,
    next_tick      timestamptz,                            -- null: there is none any more
    last_offset    bigint not null
);
create unique index schedules_by_name on schedules (name) where removed_at is null;
create index schedules_to_run on schedules (next_tick) where enabled and removed_at is null;
create index schedules_pending on schedules (pending) where pending is not null;

-- The outcome of each tick.
create table schedule_runs (
    schedule_id   uuid not null,
    tick          timestamptz not null,
    outcome       text not null,                           -- due, submitted, refused, missed, still-running, dropped
    missed        integer not null,                        -- earlier ticks that passed without a task
    task_id       uuid,
    reason        text,                                    -- of a refusal
    decided_at    timestamptz not null,
    primary key (schedule_id, tick)
);

create table schedule_events (
    record_offset bigint primary key,
    schedule_id   uuid,                                    -- null: the record is not an event of a schedule
    event_id      uuid,
    type          text,
    broker_time   timestamptz not null,
    actor         text,
    effect        text not null,                           -- `applied`, or the reason why not
    event         bytea                                    -- the record's value as received
);
create index schedule_events_by_schedule on schedule_events (schedule_id, record_offset);
