-- Tables that are not a projection: nothing in the log would bring them back.

create extension if not exists btree_gist;

-- The read model's generations; the tables of generation N are in the schema generation_N.
create table generations (
    generation   integer primary key,
    status       text not null check (status in ('building', 'ready', 'active', 'retired')),
    created_at   timestamptz not null default now(),
    activated_at timestamptz
);

-- Names the one generation that the views in public show. Every batch takes a share lock on its row; activation
-- and rollback lock it exclusively.
create table active_generation (
    singleton  boolean primary key default true check (singleton),
    generation integer not null references generations
);

-- The topic that the positions belong to: offsets of another topic of the same name mean nothing.
create table event_topic (
    singleton  boolean primary key default true check (singleton),
    name       text not null,
    topic_id   text not null,
    partitions integer not null check (partitions > 0)
);

create table users (
    name          text primary key check (name <> ''),
    password_hash text not null,
    role          text not null check (role in ('viewer', 'operator', 'submitter', 'admin')),
    created_at    timestamptz not null default now()
);

create table workers (
    name          text primary key,
    instance_id   uuid not null,             -- of the process: a second one with this name is refused while the first lives
    host          text not null,
    pid           integer not null,
    queues        text[] not null,
    concurrency   integer not null check (concurrency > 0),
    versions      json not null,
    lease_seconds double precision not null check (lease_seconds > 0),
    started_at    timestamptz not null default now(),
    heartbeat_at  timestamptz not null default now(),
    stopped_at    timestamptz                -- set by a graceful stop: the lease has ended
);

-- What may be submitted: an operation is known once any worker has registered it.
create table operations (
    name          text primary key,
    cancellable   boolean not null,
    description   text not null,
    -- Defaults for a submission without its own. `{argument}` in a text stands for the argument of that name.
    resources     json not null,             -- [{"type": ..., "id": ..., "access": "exclusive" | "shared"}]
    tags          text[],                    -- null: pulp:TYPE:ID for each resource, then pulp:action:NAME
    registered_by text not null,
    registered_at timestamptz not null default now()
);

-- One row for each task that a worker has taken. It stays until the task is final in the projection and the worker has
-- released it (or is past its lease and a margin): until then the attempt number must not be reused.
create table claims (
    task_id     uuid primary key,
    attempt     integer not null check (attempt > 0),
    attempt_id  uuid not null unique,
    worker      text not null,
    instance_id uuid not null,               -- of the worker's process
    partition   integer not null,
    claimed_at  timestamptz not null default now(),
    released_at timestamptz                  -- the worker has released it: no operation of this attempt runs any more
);
create index claims_by_worker on claims (worker, instance_id) where released_at is null;

create sequence fencing_tokens;

-- Resources held by claims. `slot` makes the conflict a constraint: an exclusive reservation covers all slots, a
-- shared one a slot of its own.
create table reservations (
    task_id   uuid not null references claims on delete cascade,
    resource  text not null,
    exclusive boolean not null,
    token     bigint not null default nextval('fencing_tokens'),
    slot      int8range not null,
    primary key (task_id, resource),
    constraint reservations_conflict exclude using gist (resource with =, slot with &&)
);
