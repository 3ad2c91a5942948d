-- create --
-- The tables of one generation; run with the search path set to its schema.
create table positions (
    partition   integer primary key,
    next_offset bigint not null,
    heals       integer not null default 0   -- how often a task of the partition was healed
);

-- The columns: see task_columns.py. The key is there from the start, because the fold looks tasks up while a rebuild
-- fills the table. The fill factor leaves room for progress updates in the same page (HOT).
create table tasks ({task_definitions}, primary key (task_id)) with (fillfactor = 80);
-- Values that can be large are stored uncompressed, so that their size is known without reading them (see bounded.py).
alter table tasks {task_storage};

-- The tasks of a resource in order of acceptance, which an index on an array could not give. Rows are written when the
-- task is accepted and never change. A task that lists the same use of a resource twice has one row for it.
create table task_resources (
    resource    text not null,               -- TYPE:ID
    access      "char" not null,             -- e: exclusive; s: shared; b: shared, and exclusive as well (so with a row of e)
    accepted_at timestamptz not null,        -- of the task
    task_id     uuid not null
) with (autovacuum_vacuum_insert_scale_factor = 0.02);  -- what is counted is then read in the index alone

-- Reruns: which task runs which other task again. A table of its own, since few tasks are reruns. Rows never change.
create table task_causes (
    task_id uuid primary key,
    cause   uuid not null                    -- the task that it runs again
);

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
) partition by range (broker_time);          -- by months, each with a key of its own: see make_history_months
-- Takes the rows of months for which there is no part: no clock, however wrong, stops the projection.
create table task_events_rest partition of task_events default;

-- The number of tasks that are not purged. Per partition, since each partition has its own writer: no two writers wait for
-- the same row. A counter that returns to zero stays.
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
    sent          boolean not null,          -- whether it has been published to the dead-letter topic
    task_id       uuid,                      -- the task that it belongs to; null: none, and nothing waits for it
    standing      text not null default 'dead',  -- dead; parks, of the record that parks its task; waits, of those behind it; discarded
    primary key (partition, record_offset)
);

-- index --
-- A rebuild creates these last. The history's come first, because they take longest: meanwhile the other tables are
-- analyzed.
-- Each part has its own key, since a key of all parts would have to include the time. A record that came twice has the
-- same time, so it conflicts with its own row.
do $$
declare
    part regclass;
begin
    for part in select inhrelid::regclass from pg_inherits where inhparent = 'task_events'::regclass loop
        execute format('alter table %s add primary key (partition, record_offset)', part);
    end loop;
end $$;
-- In the order of the history, so that reading one page of a long history neither sorts nor skips rows.
create index task_events_by_task on task_events (task_id, partition, record_offset);
-- Few rows. Added to the task's version, their number is the number of the task's events.
create index task_events_without_effect on task_events (task_id) where effect <> 'applied';
-- What the audit of all tasks reads. Workers write most of the history, and the frequent types are found without an
-- index, so both are left out: a query must repeat that. A batch adds to these indexes little more than what users and
-- the reactor wrote.
create index task_events_by_actor on task_events (actor, partition, record_offset) where actor not like 'worker:%';
create index task_events_rare on task_events (partition, record_offset)
    where type not in ('org.pulpproject.task.accepted.v1', 'org.pulpproject.task.accepted.v2',
                       'org.pulpproject.task.started.v1', 'org.pulpproject.task.progress.v1',
                       'org.pulpproject.task.finished.v1');
create index task_events_ignored on task_events (partition, record_offset) where effect <> 'applied';
-- No index contains a column that a progress event changes, so that such updates stay HOT. The indexes of lists. Purged
-- tasks are not in them, however many there are, so a query must repeat that they are left out. A list of purged tasks
-- has indexes of its own: no list reads rows that it does not show.
create index tasks_by_time on tasks (accepted_at, task_id) where purged_at is null;
create index tasks_by_state on tasks (state, accepted_at, task_id) where purged_at is null;
create index tasks_by_operation on tasks (operation, accepted_at, task_id) where purged_at is null;
create index tasks_purged on tasks (accepted_at, task_id) where purged_at is not null;
create index tasks_purged_by_state on tasks (state, accepted_at, task_id) where purged_at is not null;
create index tasks_purged_by_operation on tasks (operation, accepted_at, task_id) where purged_at is not null;
create index tasks_purged_by_user on tasks (created_by, accepted_at, task_id) where purged_at is not null;
create index tasks_purged_by_queue on tasks (queue, accepted_at, task_id) where purged_at is not null;
create index tasks_purged_by_worker on tasks (worker, accepted_at, task_id) where purged_at is not null;
create index tasks_unfinished on tasks (priority desc, accepted_at, partition, accepted_offset)
    where not public.is_final(state);
create index tasks_with_dependencies on tasks (partition) where state = 'waiting' and depends_on <> '{}';
-- In UTC, since an index accepts only expressions that no setting changes.
create index tasks_by_deadline on tasks (((accepted_at at time zone 'UTC') + make_interval(secs => deadline_seconds)))
    where deadline_seconds is not null and not public.is_final(state);
-- GIN would index every empty array; because they are left out, a query must repeat that tags are not empty.
create index tasks_by_tag on tasks using gin (tags) with (fastupdate = off) where tags <> '{}' and purged_at is null;
create index tasks_purged_by_tag on tasks using gin (tags) with (fastupdate = off)
    where tags <> '{}' and purged_at is not null;
-- In the order in which the tasks of a parent or a group are shown: the first ones of many are read without the others.
create index tasks_by_parent on tasks (parent_id, accepted_at, task_id) where parent_id is not null and purged_at is null;
create index tasks_purged_by_parent on tasks (parent_id, accepted_at, task_id)
    where parent_id is not null and purged_at is not null;
create index tasks_by_group on tasks (group_id, accepted_at, task_id) where group_id is not null and purged_at is null;
create index tasks_purged_by_group on tasks (group_id, accepted_at, task_id)
    where group_id is not null and purged_at is not null;
create index tasks_by_correlation on tasks (correlation_id) where correlation_id is not null and purged_at is null;
create index tasks_purged_by_correlation on tasks (correlation_id)
    where correlation_id is not null and purged_at is not null;
-- Rows are stored nearly in order of time, so a summary per megabyte finds a span of time and adds no cost to writes.
create index tasks_by_times on tasks using brin (accepted_at, started_at, finished_at) with (autosummarize = on);
create unique index task_resources_by_time on task_resources (resource, accepted_at, task_id, access);
-- Finds the exclusive use before another use, however many shared ones are between them.
create index task_resources_exclusive on task_resources (resource, accepted_at, task_id) where access = 'e';
create index task_causes_by_cause on task_causes (cause);
create index dead_letters_unpublished on dead_letters (partition) where not sent and standing <> 'waits';
create index dead_letters_parked on dead_letters (task_id, partition) where standing = 'parks';
create index dead_letters_in_order on dead_letters (partition, record_offset) where standing in ('parks', 'waits');
