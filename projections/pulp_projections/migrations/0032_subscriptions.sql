-- Subscriptions (webhooks), as their topic has them, and how far each has delivered. They belong to no generation: a rebuild of the
-- tasks' tables sends nothing.

-- The topic, and how far it is projected. A topic that was deleted and created again has another id.
create table subscription_topic (
    singleton   boolean primary key default true check (singleton),
    name        text not null,
    topic_id    text not null,
    next_offset bigint not null
);

create table subscriptions (
    subscription_id    uuid primary key,
    name               text not null,
    endpoint           bytea not null,                     -- JSON: name, URL and filter
    state              text not null check (state in ('active', 'paused', 'parked')),
    reason             text,                               -- why it is parked
    version            integer not null,
    secret_id          uuid not null,
    previous_secret_id uuid,
    previous_until     timestamptz,                        -- until then the previous secret signs as well
    created_by         text not null,
    created_at         timestamptz not null,
    updated_by         text not null,
    updated_at         timestamptz not null,
    removed_at         timestamptz,
    last_offset        bigint not null
);
create unique index subscriptions_by_name on subscriptions (name) where removed_at is null;

create table subscription_events (
    record_offset   bigint primary key,
    subscription_id uuid,                                  -- null: the record is not an event of a subscription
    event_id        uuid,
    type            text,
    broker_time     timestamptz not null,
    actor           text,
    effect          text not null,                         -- `applied`, or the reason why not
    event           bytea                                  -- the record's value as received
);
create index subscription_events_by_subscription on subscription_events (subscription_id, record_offset);

-- The API writes secrets and cannot read them; the processor signs with them.
create table subscription_secrets (
    secret_id       uuid primary key,
    subscription_id uuid not null,
    secret          bytea not null,
    created_at      timestamptz not null default now()
);
create index subscription_secrets_by_subscription on subscription_secrets (subscription_id);

-- How far each subscription has delivered. What follows cannot be filled again from the topic.
create table subscription_progress (
    subscription_id uuid primary key,
    topic_id        text not null,                         -- of the tasks' topic that the cursors belong to
    placed_by       bigint not null,                       -- the offset of the event that last set the cursors
    epoch           bigint not null default 0,             -- who has it now: an earlier deliverer, or place, writes nothing
    failures        integer not null default 0,            -- of the endpoint, in a row
    retry_at        timestamptz,
    delivered       bigint not null default 0,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    last_error      text
);

create table subscription_cursors (
    subscription_id uuid not null,
    partition       integer not null,
    next_offset     bigint not null,                       -- the first that is not settled
    ahead           bigint[] not null default '{}',        -- delivered beyond it
    primary key (subscription_id, partition)
);

-- Tasks whose events wait for a redelivery: an event of each was refused too often.
create table subscription_parked (
    subscription_id uuid not null,
    task_id         uuid not null,
    partition       integer not null,
    record_offset   bigint not null,                       -- of that event
    error           text,
    parked_at       timestamptz not null default now(),
    primary key (subscription_id, task_id)
);

-- The outcome of each event that was sent; older rows are deleted.
create table subscription_deliveries (
    delivery_id     uuid primary key default gen_random_uuid(),
    subscription_id uuid not null,
    partition       integer,                               -- null: a test
    record_offset   bigint,
    event_id        uuid not null,
    event_type      text not null,
    task_id         uuid,
    outcome         text not null check (outcome in ('pending', 'delivered', 'retried', 'parked', 'given-up', 'failed')),
    attempts        integer not null,
    status          integer,                               -- of HTTP, of the last answer
    error           text,
    took_ms         integer,
    first_at        timestamptz not null default now(),
    last_at         timestamptz not null default now(),
    next_at         timestamptz
);
create unique index subscription_deliveries_by_position on subscription_deliveries (subscription_id, partition, record_offset)
    where partition is not null;
create unique index subscription_deliveries_of_tests on subscription_deliveries (event_id) where partition is null;
create index subscription_deliveries_latest on subscription_deliveries (subscription_id, last_at desc, delivery_id desc);
create index subscription_deliveries_pending on subscription_deliveries (subscription_id) where outcome in ('pending', 'retried');
