"""Reading the workers: what each offers and runs, and which of their slots are free."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL

from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections", "workers.sql")
_PIECES: Final = {name: SQL(_SQL[name]) for name in ("registered", "takes_a_slot")}
_MOST_QUEUED: Final = 5_000
"""Waiting tasks whose queues are looked at."""


class WorkerRow(NamedTuple):
    """One worker, running or not."""

    name: str
    instance_id: UUID
    host: str
    pid: int
    queues: list[str]
    operations: list[str] | None
    """What it offers; None if it did not say, being of an older release."""
    concurrency: int
    versions: dict[str, str]
    started_at: datetime
    heartbeat_at: datetime
    stopped_at: datetime | None
    online: bool
    current_tasks: list[UUID]
    """The tasks that take its slots, in the order of their claims."""

    @property
    def busy_slots(self) -> int:
        """Slots that are taken."""
        return min(self.concurrency, len(self.current_tasks))


class Slots(NamedTuple):
    """The live workers, the tasks that they can run at once, and how many more they could run now."""

    live: int
    slots: int
    free: int


class WorkerPage(NamedTuple):
    """Some workers, and how many match in all."""

    rows: list[WorkerRow]
    total: int


async def workers(
    connection: AsyncConnection, conditions: Sequence[Condition] = (), *, limit: int | None = None, offset: int = 0
) -> WorkerPage:
    """The registered workers `w` for which every condition holds, youngest first."""
    values = {**parameters_of(conditions), "limit": limit, "skip": offset}
    where: LiteralString = " and ".join([condition.sql for condition in conditions] or ["true"])
    rows = [WorkerRow(*row) for row in await _rows(connection, "workers", values, where)]
    if limit is None or (len(rows) < limit and (rows or not offset)):
        return WorkerPage(rows, offset + len(rows))
    [(total,)] = await _rows(connection, "count", values, where)
    return WorkerPage(rows, total)


async def slots(connection: AsyncConnection) -> Slots:
    """The slots of all live workers together."""
    [row] = await _rows(connection, "slots")
    return Slots(*row)


async def unserved_queues(connection: AsyncConnection) -> dict[str, int]:
    """Queue → waiting tasks, for queues that no live worker serves; of the first 5,000 tasks that wait."""
    return dict(await _rows(connection, "unserved_queues", {"most": _MOST_QUEUED}))


async def offers(connection: AsyncConnection) -> list[tuple[str, str]]:
    """Each queue and operation that a worker of the list can run, or could while it was there."""
    return [(queue, operation) for queue, operation in await _rows(connection, "offers")]


async def _rows(
    connection: AsyncConnection, name: str, values: Mapping[str, Any] | None = None, where: LiteralString = "true"
) -> list[tuple[Any, ...]]:
    statement = SQL(_SQL[name]).format(**_PIECES, where=SQL(where))
    cursor = await connection.execute(statement, values)
    return await cursor.fetchall()
