"""What the reactor sees, and sweeps away: the tables between its decisions and everybody else."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from psycopg import AsyncConnection
from pulp_events.task import Task
from pulp_projections.sql import load
from pulp_projections.writing import store

_SQL: Final = load("pulp_processor.reacting", "reactor.sql")


class Seen(NamedTuple):
    """A task that may need an end, and what decides which."""

    task: Task
    has_failed_dependency: bool
    has_lost_lease: bool
    now: datetime
    """The database's clock."""


class View(Protocol):
    """`known` holds the parameters of the statements in reactor.sql, by name. Raises `psycopg.Error`."""

    async def standing(self) -> tuple[str, dict[int, int]]:
        """The database's timeline, and the positions of the active generation."""
        ...

    async def situations(self, known: Mapping[str, object]) -> list[Seen]:
        """Tasks that may need an end, all as of one moment."""
        ...

    async def sweep(self, known: Mapping[str, object]) -> None:
        """Let go of claims that nobody needs any more, and tell the workers."""
        ...


class PostgresView:
    """A `View` over one connection in autocommit mode."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def standing(self) -> tuple[str, dict[int, int]]:
        """See `View.standing`."""
        row = await (await self._connection.execute(_SQL["standing"])).fetchone()
        assert row is not None
        positions: dict[int, int] = dict(await (await self._connection.execute(_SQL["positions"])).fetchall())
        return str(row[0]), positions

    async def situations(self, known: Mapping[str, object]) -> list[Seen]:
        """See `View.situations`."""
        async with self._connection.transaction():
            await self._connection.execute("set transaction isolation level repeatable read")
            cursor = await self._connection.execute(_SQL["situations"], known)
            rows = {row[0]: row[1:] for row in await cursor.fetchall()}
            tasks = await store.load_tasks(self._connection, rows) if rows else {}
        return [Seen(task, *rows[task_id]) for task_id, task in tasks.items()]

    async def sweep(self, known: Mapping[str, object]) -> None:
        """See `View.sweep`."""
        row = await (await self._connection.execute(_SQL["sweep"], known)).fetchone()
        if row is not None and row[0]:
            await self._connection.execute(_SQL["notify_claims"])
