"""The inputs of a dispatcher: tasks through a log and its projection, and workers as rows."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, LiteralString, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from pulp_events.events import Access, Event, Resource
from pulp_events.memory import MemoryLog
from pulp_projections.channels import DISPATCH, WORKERS
from pulp_projections.writing.projector import Projector

from tests.conftest import PARTITIONS
from tests.support.events import accepted

LIMIT_S = 60


class Assigned(NamedTuple):
    """A claim."""

    worker: str
    hold_id: UUID
    attempt: int
    attempt_id: UUID


class Stage:
    """A log in memory, and a real database whose projection is as far as `project` has brought it."""

    def __init__(
        self, database: str, connection: AsyncConnection, clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)
    ) -> None:
        """`clock_ms` is the broker's."""
        self.database, self.connection = database, connection
        self.log = MemoryLog(PARTITIONS, clock_ms)
        self._projectors = [Projector(database, partition) for partition in range(PARTITIONS)]

    async def worker(self, name: str = "w1", *, slots: int = 1, lease_s: float = 600) -> UUID:
        """A worker registers that can run `sync`; the process."""
        instance_id = uuid4()
        await self.rows(
            "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds)"
            " values (%s, %s, 'h', 1, '{default}', '{sync}', %s, '{}', %s)",
            name,
            instance_id,
            slots,
            lease_s,
        )
        await self.tell(WORKERS)
        return instance_id

    async def tell(self, payload: str) -> None:
        """Notify the dispatcher."""
        await self.rows("select pg_notify(%s, %s)", DISPATCH, payload)

    async def happens(self, *events: Event, partition: int = 0) -> None:
        """The events are in the log, and projected."""
        for event in events:
            await self.log.append(event, partition)
        await self.project(partition)

    async def submit(self, *exclusive: str, partition: int = 0, is_projected: bool = True) -> UUID:
        """A task that uses these resources alone; its id."""
        task_id = uuid4()
        uses = tuple(Resource("r", name, Access.EXCLUSIVE) for name in exclusive)
        await self.log.append(accepted(task_id, resources=uses), partition)
        if is_projected:
            await self.project(partition)
        return task_id

    async def project(self, partition: int = 0) -> None:
        """Bring the projection to the end of the partition."""
        projector = self._projectors[partition]
        start = await projector.locate()
        await projector.project(self.log.records[partition][start:])

    async def claim(self, task_id: UUID) -> Assigned | None:
        """The task's claim, if it has one that is not released."""
        found = await self.rows(
            "select worker, hold_id, attempt, attempt_id from claims where task_id = %s and released_at is null",
            task_id,
        )
        return Assigned(*found[0]) if found else None

    async def assigned(self, task_id: UUID, *, after: UUID | None = None) -> Assigned:
        """Its claim, once it has one, in another hold than the one before."""
        found: list[Assigned] = []

        async def is_so() -> bool:
            claim = await self.claim(task_id)
            if claim is not None and claim.hold_id != after:
                found.append(claim)
            return bool(found)

        await self.until(is_so)
        return found[0]

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Returns when the condition holds. It polls, since nothing announces changed rows."""
        async with asyncio.timeout(LIMIT_S):
            while not await is_so():  # noqa: ASYNC110  # rows
                await asyncio.sleep(0.01)

    async def epoch(self) -> int:
        """How often a dispatcher was elected."""
        [(found,)] = await self.rows("select epoch from dispatcher")
        return int(found)

    async def written(self) -> list[list[Any]]:
        """All that only the elected dispatcher writes."""
        return [
            await self.rows("select * from holds order by 1"),
            await self.rows("select * from claims order by 1"),
            await self.rows("select * from reservations order by 1, 2"),
            await self.rows("select epoch, holder, renewed_at::text from dispatcher"),
        ]

    async def rows(self, statement: LiteralString, *values: object) -> list[Any]:
        """Run a statement; its rows."""
        cursor = await self.connection.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        for projector in self._projectors:
            await projector.close()


@asynccontextmanager
async def dispatch_stage(database: str) -> AsyncIterator[Stage]:
    """A stage."""
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        stage = Stage(database, connection)
        try:
            yield stage
        finally:
            await stage.close()
