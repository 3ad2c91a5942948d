-- If many workers are idle, most of them rest: they keep their leases, but do not listen, since Postgres wakes every
-- listener.
alter table workers
    add column if not exists resting   boolean not null default false,   -- the dispatcher lets it rest: it need not listen
    add column if not exists listening boolean not null default true;    -- it hears of its assignments immediately
