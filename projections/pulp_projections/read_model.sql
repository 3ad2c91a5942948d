-- create --
-- The tables of one generation; run with the search path set to its schema.
create table positions (
    partition   integer primary key,
    next_offset bigint not null
);

create table tasks (
    task_id             uuid primary key,    -- from the start: the fold looks tasks up while a rebuild fills the table
    state               text not null,
    operation           text not null,
    arguments           json not null,
    resources           json not null,       -- [{"type", "id", "access"}] in the order of the request
    exclusive_resources text[] not null,     -- TYPE:ID
    shared_resources    text[] not null,
    tags                text[] not null,
    queue               text not null,
    priority            integer not null,
    group_id            uuid,
    parent_id           uuid,
    depends_on          uuid[] not null,
    timeout_seconds     integer,
    created_by          text not null,
    correlation_id      text,
    accepted_at         timestamptz not null,
    updated_at          timestamptz not null,
    started_at          timestamptz,
    cancel_requested_at timestamptz,
    finished_at         timestamptz,
    partition           integer not null,
    accepted_offset     bigint not null,
    last_offset         bigint not null,     -- of the last effective event
    version             integer not null,    -- number of effective events
    attempt             integer not null,
    attempt_id          uuid,
    worker              text,
    cancellable         boolean not null,
    sequence            bigint not null,
    progress            json not null,
    result              json not null,
    error               json
) with (fillfactor = 80);                    -- room for progress updates in the same page (HOT)

-- The tasks of a resource, in the order of acceptance: what is found by an array is in no order. Written once, when the
-- task is accepted; nothing of it changes. A task that names a use of a resource twice has one row of it.
create table task_resources (
    resource    text not null,               -- TYPE:ID
    access      "char" not null,             -- e: exclusive; s: shared; b: shared, and exclusive as well (so with a row of e)
    accepted_at timestamptz not null,        -- of the task
    task_id     uuid not null
) with (autovacuum_vacuum_insert_scale_factor = 0.02);  -- what is counted is then read in the index alone

-- Which task runs which other one again. Rows of their own, since few tasks do; they never change.
create table task_causes (
    task_id uuid primary key,
    cause   uuid not null                    -- the task that is run again
);

-- Uncompressed: so the size of a value is told without reading it (see bounded.py). Only large values would be compressed.
alter table tasks
    alter arguments set storage external, alter resources set storage external, alter progress set storage external,
    alter result set storage external, alter error set storage external, alter tags set storage external,
    alter exclusive_resources set storage external, alter shared_resources set storage external,
    alter depends_on set storage external;

create table task_events (
    partition     integer not null,
    record_offset bigint not null,
    task_id       uuid not null,
    event_id      uuid not null,
    type          text not null,
    event_time    timestamptz not null,      -- the author's clock
    broker_time   timestamptz not null,
    actor         text not null,
    effect        text not null,             -- `applied`, or the reason why not
    event         bytea not null             -- the record's value as received
);

-- How many tasks there are. By partition, since each partition has a writer of its own: no two wait for one row. A
-- counter that is back at zero stays.
create table task_counts (
    partition integer not null,
    state     text not null,
    operation text not null,
    tasks     bigint not null,
    primary key (partition, state, operation)
) with (fillfactor = 50);                    -- changed by nearly every batch (HOT)

create table dead_letters (
    partition     integer not null,
    record_offset bigint not null,
    broker_time   timestamptz not null,
    reason        text not null,
    key           bytea,
    value         bytea,
    headers       json not null,             -- [[name, base64 of the value or null]]
    sent          boolean not null,          -- is in the dead-letter topic
    primary key (partition, record_offset)
);

-- index --
-- Built last in a rebuild: those of the history first, which takes longest, while the other tables are analyzed.
alter table task_events add primary key (partition, record_offset);
-- In the order of the history, so that a page of a long one is read from it and nothing is sorted or passed over.
create index task_events_by_task on task_events (task_id, partition, record_offset);
-- Few: with the task's version they are the number of its events.
create index task_events_without_effect on task_events (task_id) where effect <> 'applied';
-- No index holds what a progress event changes.
create index tasks_by_time on tasks (accepted_at, task_id);
create index tasks_by_state on tasks (state, accepted_at, task_id);
create index tasks_by_operation on tasks (operation, accepted_at, task_id);
create index tasks_unfinished on tasks (priority desc, accepted_at, partition, accepted_offset)
    where state in ('waiting', 'running', 'cancelling');
create index tasks_with_dependencies on tasks (partition) where state = 'waiting' and depends_on <> '{}';
-- An empty array would be an entry of its own in GIN; a query has to say that it does not ask for one.
create index tasks_by_tag on tasks using gin (tags) with (fastupdate = off) where tags <> '{}';
create index tasks_by_parent on tasks (parent_id) where parent_id is not null;
create index tasks_by_group on tasks (group_id) where group_id is not null;
create index tasks_by_correlation on tasks (correlation_id) where correlation_id is not null;
-- Rows lie in the order of their times, nearly: a summary of each megabyte finds a span of time, and costs no write.
create index tasks_by_span on tasks using brin (started_at, finished_at) with (autosummarize = on);
create unique index task_resources_by_time on task_resources (resource, accepted_at, task_id, access);
create index task_causes_by_cause on task_causes (cause);
create index dead_letters_unsent on dead_letters (partition) where not sent;
