-- A server that takes over from Postgres's primary begins another timeline. It may lack what the previous one committed
-- last: rows of the read model, whose positions go back with them, but also claims, which have no log behind them.

create function timeline() returns text language sql stable
    as $$select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)$$;

-- Each timeline, and when it was first seen: the first one was always there.
create table timelines (
    timeline text primary key,
    seen_at  timestamptz not null default now()
);
insert into timelines values (timeline(), '-infinity');
