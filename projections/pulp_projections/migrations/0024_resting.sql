-- Of many idle workers most rest: they keep their lease, but listen to nothing, since Postgres wakes all that listen.
alter table workers
    add column if not exists resting   boolean not null default false,   -- the dispatcher lets it rest: it need not listen
    add column if not exists listening boolean not null default true;    -- it hears at once of what it is assigned
