"""Whether one dispatcher at a time assigns: who wrote each hold, and whether the tables of dispatch fit together."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import psycopg

from tests.faults.ledger import Breach

PROMISE: Final = "dispatch"
_FIRST_TIMELINE: Final = "00000001"
_WORKER: Final = "pulp-worker/"
RECORD: Final = """
    create schema faults;
    create function faults.session() returns text language sql security definer as
        $$ select pid || ' since ' || backend_start from pg_stat_activity where pid = pg_backend_pid() $$;
    create table faults.elected (epoch bigint primary key, holder text not null, session text not null);
    create table faults.assigned (
        number   bigint generated always as identity primary key,
        epoch    bigint not null,
        session  text not null,
        writer   text not null,
        timeline text not null,
        holds    bigint not null
    );
    create function faults.record_elected() returns trigger
        language plpgsql security definer set search_path = public, pg_temp as $$
    begin
        insert into faults.elected values (new.epoch, new.holder, faults.session());
        return null;
    end $$;
    create function faults.record_assigned() returns trigger
        language plpgsql security definer set search_path = public, pg_temp as $$
    begin
        insert into faults.assigned (epoch, session, writer, timeline, holds)
        select d.epoch, faults.session(), current_setting('application_name'),
               substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), n.holds
          from dispatcher d, (select count(*) as holds from inserted) n
         where n.holds > 0;
        return null;
    end $$;
    create trigger record_elected after update on dispatcher
        for each row when (old.epoch <> new.epoch) execute function faults.record_elected();
    create trigger record_assigned after insert on holds
        referencing new table as inserted for each statement execute function faults.record_assigned();
    update dispatcher set epoch = epoch + 1, renewed_at = 'epoch';
"""
"""Makes Postgres write down which session each dispatcher was elected in, and which one inserts holds. Whoever is elected already has to be elected again."""
_BROKEN: Final = """
    with held as (
        select c.*, h.hold_id is not null as has_hold
          from claims c left join holds h using (hold_id, worker, instance_id)
         where c.released_at is null
    )
    select 'the claim of task ' || task_id || ' has no hold of its worker' from held where not has_hold
     union all
    select 'task ' || a.task_id || ' comes before ' || b.task_id || ' in hold ' || a.hold_id || ', with tokens '
           || a.tokens::text || ' and ' || b.tokens::text
      from held a join held b using (hold_id)
     where a.task_id <> b.task_id and a.place <= b.place
       and (a.place = b.place or exists (select from unnest(a.tokens, b.tokens) as t (one, other) where one >= other))
     union all
    select 'task ' || c.task_id || ' is claimed, and its hold does not have ' || u.resource
      from held c join tasks t using (task_id)
     cross join lateral (
           select unnest(t.exclusive_resources) as resource, true as exclusive
            union all
           select unnest(t.shared_resources), false) u
     where not exists (select from reservations r
                        where (r.hold_id, r.resource) = (c.hold_id, u.resource) and r.exclusive >= u.exclusive)
     union all
    select 'worker ' || w.name || ' has ' || count(*) || ' holds and ' || w.concurrency || ' slots'
      from workers w join holds h on (h.worker, h.instance_id) = (w.name, w.instance_id)
     group by w.name, w.concurrency
    having count(*) > w.concurrency
"""
"""One statement, so that it sees one moment."""
_ELECTED: Final = r"""
    select substring(holder from ':(\d+) ') from dispatcher where renewed_at > now() - interval '4 seconds'
"""
"""The holder is `HOST:PID` and what tells processes of one pid apart."""
_ASSIGNED: Final = """
    select a.epoch, e.session, a.session, a.writer, a.timeline, a.holds
      from faults.assigned a left join faults.elected e using (epoch) order by a.number
"""

Execute = Callable[[str], list[tuple[object, ...]]]
"""Executes a statement on the current server."""


class Assigned(NamedTuple):
    """Holds that one statement inserted, and the epoch at that moment."""

    epoch: int
    elected: str | None
    """The session in which the dispatcher of that epoch was elected; None if nobody was ever elected."""
    session: str
    """The one that inserted the holds."""
    writer: str
    """The name of its connection."""
    timeline: str
    """The server's timeline, as in the names of its WAL files."""
    holds: int


def elected(execute: Execute) -> int | None:
    """The pid of the process that is elected to dispatch, by its lease; None without one, or while Postgres is
    away."""
    try:
        found = execute(_ELECTED)
    except psycopg.OperationalError:
        return None
    return int(str(found[0][0])) if found else None


def broken_tables(execute: Execute) -> list[str]:
    """What does not fit together in the tables of dispatch at this moment."""
    return [str(what) for (what,) in execute(_BROKEN)]


def has_taken_over(execute: Execute) -> bool:
    """Whether the server is not the first one."""
    return execute("select timeline()") != [(_FIRST_TIMELINE,)]


def assigned(execute: Execute) -> list[Assigned]:
    """All that was recorded, in order."""
    return [Assigned(*row) for row in execute(_ASSIGNED)]  # type: ignore[arg-type]  # columns of these types


def judge_assigned(found: Iterable[Assigned]) -> Iterator[Breach]:
    """Each hold was written in the session that was elected last. After a failover workers put back their own."""
    latest = 0
    for row in found:
        where = f"epoch {row.epoch}"
        if row.writer.startswith(_WORKER):
            if row.timeline == _FIRST_TIMELINE:
                yield Breach(PROMISE, where, f"{row.writer} put back holds, and no other server had taken over")
            continue
        if row.session != row.elected:
            text = f"{row.writer} (session {row.session}) assigned, and session {row.elected} was elected"
            yield Breach(PROMISE, where, text)
        if row.epoch < latest:
            yield Breach(PROMISE, where, f"{row.writer} assigned after epoch {latest} had begun")
        latest = max(latest, row.epoch)
