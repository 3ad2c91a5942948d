"""The tables of tasks, workers and claims that the reactor reads and clears."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.task import Task
from pulp_projections.plans import KeptPlans
from pulp_projections.sql import load
from pulp_projections.stored_tasks import load_tasks

from pulp_processor.dispatching.traces import contexts_of

_SQL: Final = load("pulp_processor.reacting", "reactor.sql")


class EndCandidate(NamedTuple):
    """A task that may have to end, and the facts that decide how."""

    task: Task
    has_failed_dependency: bool
    has_lost_lease: bool
    now: datetime
    """By the database's clock."""


class ReactorView(Protocol):
    """`known` holds the parameters of the statements in reactor.sql, by name. Raises `psycopg.Error`."""

    async def timeline_and_positions(self) -> tuple[str, dict[int, int]]:
        """The database's timeline, and the positions of the active generation."""
        ...

    async def end_candidates(self, known: Mapping[str, object]) -> list[EndCandidate]:
        """Tasks that may have to end, all from one snapshot."""
        ...

    async def contexts(self, task_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """The trace contexts with which the tasks were accepted, for those that are traced."""
        ...

    async def sweep(self, known: Mapping[str, object]) -> None:
        """End or release claims that are no longer needed, and notify the dispatcher."""
        ...


class PostgresView:
    """A `ReactorView` over one connection in autocommit mode."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._plans = KeptPlans()

    async def timeline_and_positions(self) -> tuple[str, dict[int, int]]:
        """See `ReactorView.timeline_and_positions`."""
        await self._plans.renew(self._connection)
        row = await (await self._connection.execute(_SQL["timeline"])).fetchone()
        assert row is not None
        positions: dict[int, int] = dict(await (await self._connection.execute(_SQL["positions"])).fetchall())
        return str(row[0]), positions

    async def end_candidates(self, known: Mapping[str, object]) -> list[EndCandidate]:
        """See `ReactorView.end_candidates`."""
        async with self._connection.transaction():
            await self._connection.execute("set transaction isolation level repeatable read")
            cursor = await self._connection.execute(_SQL["end_candidates"], known)
            rows = {row[0]: row[1:] for row in await cursor.fetchall()}
            tasks = await load_tasks(self._connection, rows) if rows else {}
        return [EndCandidate(task, *rows[task_id]) for task_id, task in tasks.items()]

    async def contexts(self, task_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """See `ReactorView.contexts`."""
        return await contexts_of(self._connection, task_ids)

    async def sweep(self, known: Mapping[str, object]) -> None:
        """See `ReactorView.sweep`."""
        await self._connection.execute(_SQL["sweep"], known)
