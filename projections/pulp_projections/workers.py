"""Reading the registered workers: what each offers and runs, and its free slots."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL

from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections", "workers.sql")
_PIECES: Final = {name: SQL(_SQL[name]) for name in ("registered", "holds")}
_MOST_QUEUED: Final = 5_000
"""How many waiting tasks are examined for their queues."""
DISPATCHER_S: Final = 10.0
"""How long nobody may assign tasks while one dispatcher takes over from another, in seconds."""


class WorkerRow(NamedTuple):
    """One registered worker, running or stopped."""

    name: str
    instance_id: UUID
    host: str
    pid: int
    queues: list[str]
    operations: list[str] | None
    """What it offers; None for a worker of an older release, which did not register them."""
    concurrency: int
    versions: dict[str, str]
    started_at: datetime
    heartbeat_at: datetime
    stopped_at: datetime | None
    online: bool
    draining: bool
    """It finishes its tasks, and gets no more."""
    holds: int
    """Its slots in use; more than `concurrency` if it came back with fewer slots."""
    current_tasks: list[UUID]
    """The current task of each of its holds, in the order of their claims."""

    @property
    def busy_slots(self) -> int:
        """How many slots are occupied."""
        return min(self.concurrency, self.holds)

    @property
    def free_slots(self) -> int:
        """How many tasks could be assigned to it now."""
        return self.concurrency - self.busy_slots if self.online and not self.draining else 0


class Slots(NamedTuple):
    """How many workers are live, how many tasks they can run at once, and how many more they could run now."""

    live: int
    slots: int
    free: int


class Unserved(NamedTuple):
    """Waiting tasks that no live worker can run."""

    queue: str
    operation: str | None
    """None if no live worker serves the queue at all."""
    waiting: int
    last_worker: str | None
    """The last worker that could run them; None if none is known."""
    until: datetime | None


class Dispatching(NamedTuple):
    """What the elected processor does; both are False if none is elected."""

    assigns: bool
    """It assigns tasks to workers."""
    settles: bool
    """It has taken over, and assigns nothing before the projection has passed the log as of then, and workers have had
    time to put back what a failover of Postgres lost."""


class WorkerPage(NamedTuple):
    """One page of workers, and how many match in total."""

    rows: list[WorkerRow]
    total: int


async def workers(
    connection: AsyncConnection,
    conditions: Sequence[Condition] = (),
    *,
    order: LiteralString = "w.started_at desc, w.name",
    limit: int | None = None,
    offset: int = 0,
) -> WorkerPage:
    """The registered workers `w` that meet every condition, the most recently started first."""
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    where: LiteralString = " and ".join([condition.sql for condition in conditions] or ["true"])
    rows = [WorkerRow(*row) for row in await _rows(connection, "workers", values, where, order)]
    if limit is None or (len(rows) < limit and (rows or not offset)):
        return WorkerPage(rows, offset + len(rows))
    [(total,)] = await _rows(connection, "count", values, where)
    return WorkerPage(rows, total)


async def slots(connection: AsyncConnection) -> Slots:
    """The slots of all live workers, added up."""
    [row] = await _rows(connection, "slots")
    return Slots(*row)


async def unserved(connection: AsyncConnection) -> list[Unserved]:
    """Of the 5,000 oldest tasks that wait and are not assigned, those that no live worker can run."""
    return [Unserved(*row) for row in await _rows(connection, "unserved", {"most": _MOST_QUEUED})]


async def dispatching(connection: AsyncConnection) -> Dispatching:
    """Whether a processor assigns tasks to workers."""
    [(is_elected, is_settling)] = await _rows(connection, "dispatcher", {"dispatcher_s": DISPATCHER_S})
    return Dispatching(is_elected and not is_settling, is_elected and is_settling)


async def offers(connection: AsyncConnection) -> list[tuple[str, str]]:
    """Each pair of queue and operation that some registered worker, live or stopped, offers."""
    return [(queue, operation) for queue, operation in await _rows(connection, "offers")]


async def _rows(
    connection: AsyncConnection,
    name: str,
    values: Mapping[str, Any] | None = None,
    where: LiteralString = "true",
    order: LiteralString = "",
) -> list[tuple[Any, ...]]:
    statement = SQL(_SQL[name]).format(**_PIECES, where=SQL(where), order=SQL(order))
    cursor = await connection.execute(statement, values)
    return await cursor.fetchall()
