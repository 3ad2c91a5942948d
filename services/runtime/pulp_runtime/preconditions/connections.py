"""How many connections to Postgres each kind of process opens, and whether enough are free."""

from dataclasses import dataclass
from typing import Final, Self

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from pulp_events.findings import Finding, Severity
from pulp_projections.sql import load

_SQL: Final = load("pulp_runtime.preconditions", "connections.sql")
_FULL: Final = 0.9
"""The fraction of connections in use beyond which there is a finding."""
_REFUSALS: Final = ("too many clients already", "connection slots are reserved", "too many connections for")
"""Postgres's message to a client for which it has no connection; libpq does not pass on the code of this error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """How many connections a process has open at once, without one for a moment at each check."""

    least: int
    """The minimum with which it works."""
    most: int
    a_partition: int = 0
    """How many more it opens for each partition; it may get all of them."""

    def for_partitions(self, partitions: int) -> Self:
        """The same, with this many partitions included in the maximum."""
        return type(self)(least=self.least, most=self.most + self.a_partition * partitions)


WORKER: Final = Needs(least=2, most=2)
"""Regardless of its slots: one connection listens and looks for assignments, one writes."""
PROCESSOR: Final = Needs(least=5, most=5, a_partition=1)
"""The reactor, dead letters, two for the dispatcher, one that keeps the instance's name, and a writer for each
partition. The process of the elected dispatcher has up to four more for schedules, two for subscriptions and one for
the topic of states, which the sum of `docs/operate/size.md` counts once."""
COMMAND: Final = Needs(least=1, most=1)
"""What a command needs, which ends by itself."""


def api(pool: int) -> Needs:
    """What an API process needs with a pool of at most this many (`PULP_API_CONNECTIONS`); one more connection follows
    the projection."""
    return Needs(least=min(2, pool) + 1, most=pool + 1)


@dataclass(frozen=True, slots=True)
class Limit:
    """One of the limits of Postgres on connections."""

    name: str
    raising: str
    """How to raise it to N."""
    most: int
    used: int

    @property
    def free(self) -> int:
        """How many more it allows."""
        return max(0, self.most - self.used)

    def __str__(self) -> str:
        return f"{self.used} of {self.most} connections are in use ({self.name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many connections Postgres allows, and how many are in use, without those reserved for superusers."""

    limits: tuple[Limit, ...] = ()
    workers: int = 0
    """How many are online."""
    workers_connections: int = 0
    """How many connections workers have, including those that are starting."""

    @property
    def tightest(self) -> Limit | None:
        """The limit that allows the fewest more."""
        return min(self.limits, key=lambda each: each.free, default=None)

    @property
    def missing(self) -> int:
        """How many connections the workers that are online still lack."""
        return max(0, self.workers * WORKER.most - self.workers_connections)


async def look(connection: AsyncConnection, *, may_read_workers: bool) -> Room:
    """What Postgres allows this connection's role in its database. Raises `psycopg.Error`."""
    [row] = await (await connection.execute(_SQL["limits"])).fetchall()
    most, used, role, role_most, role_used, database, database_most, database_used = row
    limits = [Limit("max_connections", "alter system set max_connections = N, and restart Postgres", most, used)]
    if role_most is not None:
        alter = SQL("alter role {} connection limit N").format(Identifier(role)).as_string()
        limits.append(Limit(f"the connection limit of {role}", alter, role_most, role_used))
    if database_most is not None:
        alter = SQL("alter database {} connection limit N").format(Identifier(database)).as_string()
        limits.append(Limit(f"the connection limit of {database}", alter, database_most, database_used))
    if not may_read_workers:
        return Room(limits=tuple(limits))
    [(workers, connections)] = await (await connection.execute(_SQL["workers"])).fetchall()
    return Room(limits=tuple(limits), workers=workers, workers_connections=connections)


def judge(room: Room) -> list[Finding]:
    """Whether the connections are too few, or nearly so."""
    limit = room.tightest
    if limit is None or limit.used + room.missing < _FULL * limit.most:
        return []
    lacking = f"; the {room.workers} workers that are online need {room.missing} more" if room.missing else ""
    return [
        Finding(
            "database-connections",
            "Postgres",
            Severity.WARNING,
            f"{limit}{lacking}",
            "processes that start or reconnect are refused; a worker that stays cut off loses its tasks",
            mend(limit),
        )
    ]


def refusal(room: Room, needs: Needs, *, held: int) -> Finding | None:
    """The fault of a process that cannot work with the free connections, given those that it already holds."""
    limit = room.tightest
    if limit is None or limit.free + held >= needs.least:
        return None
    return Finding(
        "database-room",
        "Postgres",
        Severity.FAULT,
        f"{limit}; this process needs {needs.least}",
        "it cannot do its work",
        mend(limit),
    )


def advice(message: str) -> str | None:
    """Advice for a client that Postgres refused for lack of connections; None for any other error."""
    if not any(words in message for words in _REFUSALS):
        return None
    return "raise max_connections (or the limit of the role or the database), or run fewer processes"


def mend(limit: Limit) -> str:
    """Advice for a limit that is too low."""
    return f"{limit.raising}; or run fewer processes, or set PULP_API_CONNECTIONS lower"
