-- The keys of subjects, whose personal data the arguments of tasks hold. They are in no event and in no generation, so
-- destroying one leaves the log and every rebuild as they are. Processors of an older release may go on: they read
-- none of these tables.

create table subject_index (
    singleton boolean primary key default true check (singleton),
    key       bytea not null,  -- of the hashes of subjects' names, wrapped as the keys of subjects are
    master    text             -- the master key that wraps it, and the keys that are created next; null: none
);

create table subjects (
    key_id         uuid primary key,  -- random
    name_hash      bytea not null,    -- HMAC-SHA-256 of the name
    key            bytea,             -- null once it was destroyed
    master         text,
    created_at     timestamptz not null default now(),
    erased_at      timestamptz,
    erased_by      text,
    reason         text,
    address        text,
    method         text,
    correlation_id text,
    tasks          bigint,            -- when it was erased
    unfinished     bigint,
    event_id       uuid,              -- of the erasure in the audit
    told_at        timestamptz,       -- since when it is there
    check ((key is null) = (erased_at is not null and erased_by is not null and reason is not null and event_id is not null))
) with (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);  -- what is left of a destroyed key goes soon

create unique index subjects_living on subjects (name_hash) where key is not null;
create index subjects_by_name on subjects (name_hash);
create index subjects_untold on subjects (erased_at) where erased_at is not null and told_at is null;

create table subject_uses (
    key_id    uuid not null references subjects,
    holder_id uuid not null,  -- a task, or a schedule
    primary key (key_id, holder_id)
);
