"""What both dialects do: submit, cancel, and read with the promise that a reader sees what was done before."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from pulp_events.decisions import request_cancel
from pulp_events.errors import BadInput, LogError, ReadError, TaskAlreadyFinal, TaskNotCancellable, TaskNotFound
from pulp_events.events import Accepted, Event
from pulp_events.ids import derived_id, new_id
from pulp_events.log import Log
from pulp_events.task import FINAL, Position, Reason, State
from pulp_events.topics import partition_of
from pulp_projections import queries, store
from pulp_projections.positions import Positions
from pulp_projections.queries import TaskRow

from pulp_api import submission
from pulp_api.submission import Submission

FRESH_S = 1.0
"""How long a read of one task waits for the projection to pass what was in the log when it came."""
CANCEL_S = 2.0
"""How long a cancel waits for its own effect, and then for the end of the task."""


class KeyReused(BadInput):
    """An Idempotency-Key came before with another submission."""


@dataclass(frozen=True, slots=True)
class Accepted202:
    """A submission that is durable."""

    task_id: UUID
    position: Position


@dataclass(frozen=True, slots=True)
class Reading:
    """A task as it was read. `lag` is by how many events it may be old, None if it is not."""

    task: TaskRow
    lag: str | None


class Service:
    """The API's one way to Kafka and Postgres."""

    def __init__(
        self,
        *,
        log: Log,
        pool: AsyncConnectionPool,
        positions: Positions,
        partitions: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.log = log
        self.positions = positions
        self.partitions = partitions
        self._pool = pool
        self._clock = clock

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool; raises `psycopg_pool.PoolTimeout` or `psycopg.OperationalError`."""
        async with self._pool.connection() as connection:
            yield connection

    async def submit(
        self, body: Submission, *, actor: str, correlation_id: str | None, key: str | None = None
    ) -> Accepted202:
        """Append `accepted`; returns once it is durable. With a `key` the same submission makes one task, once.

        Raises `BadInput`, `KeyReused`, `LogUnavailable`, `AppendOutcomeUnknown`.
        """
        data = await self._accepted(body)
        task_id = new_id() if key is None else derived_id(actor, key)
        partition = partition_of(task_id, data.resources, self.partitions)
        if key is not None:
            task_id = derived_id(actor, key, partition)
            known = await self._known(actor, key)
            if known is not None:
                if not submission.is_same(data, known):
                    raise KeyReused(f"the Idempotency-Key came before with another submission, task {known.task_id}")
                return Accepted202(known.task_id, Position(known.partition, known.accepted_offset))
        event = Event(
            id=derived_id(task_id, "accepted") if key is not None else new_id(),
            task_id=task_id,
            time=self._clock(),
            actor=actor,
            data=data,
            correlation_id=correlation_id,
        )
        return Accepted202(task_id, await self.log.append(event, partition))

    async def read(self, task_id: UUID, *, least: Mapping[int, int] | None = None) -> Reading:
        """One task. Raises `TaskNotFound`; `PositionNotReached` if `least` was asked for and is not reached in time."""
        lag = await self._catch_up(least)
        async with self.connection() as connection:
            task = await queries.task(connection, task_id)
        if task is None:
            raise TaskNotFound(task_id)
        return Reading(task, lag)

    async def cancel(
        self, task_id: UUID, *, actor: str, reason: str | None, correlation_id: str | None
    ) -> tuple[TaskRow, Position | None]:
        """Ask a task to stop: the task after that, and the position of the request if one was appended.

        Returns when the task has ended, or after `CANCEL_S`. Raises `TaskNotFound`, `TaskAlreadyFinal`,
        `TaskNotCancellable`, and the log's errors. The decision rests on the effect that was recorded for the request,
        never on a projection that lags.
        """
        await self._catch_up(None)
        async with self.connection() as connection:
            task = (await store.load_tasks(connection, [task_id])).get(task_id)
        if task is None:
            raise TaskNotFound(task_id)
        position = None
        for event in request_cancel(
            task, event_id=new_id(), now=self._clock(), actor=actor, reason=reason, correlation_id=correlation_id
        ):
            position = await self.log.append(event, task.partition)
            await self._check_effect(task_id, position)
        return await self._ended(task_id), position

    async def _check_effect(self, task_id: UUID, position: Position) -> None:
        await self.positions.reach({position.partition: position.offset + 1}, CANCEL_S)
        async with self.connection() as connection:
            effect = await queries.effect_of(connection, position)
        if effect == Reason.NOT_CANCELLABLE:
            raise TaskNotCancellable(task_id)
        if effect == Reason.FINAL:
            raise TaskAlreadyFinal(task_id)

    async def _ended(self, task_id: UUID) -> TaskRow:
        """The task once it has ended, or as it is after `CANCEL_S`."""
        seen = 0
        clock = asyncio.get_running_loop()
        ends = clock.time() + CANCEL_S
        while True:
            async with self.connection() as connection:
                task = await queries.task(connection, task_id)
            if task is None:
                raise TaskNotFound(task_id)
            left = ends - clock.time()
            if State(task.state) in FINAL or left <= 0:
                return task
            seen = await self.positions.changed(seen, left)

    async def _accepted(self, body: Submission) -> Accepted:
        async with self.connection() as connection:
            operation = await queries.operation(connection, body.operation)
            if operation is None:
                names = ", ".join(row.name for row in await queries.operations(connection)) or "none: is a worker up?"
                raise BadInput(f"unknown operation {body.operation!r}; known are: {names}")
        data = submission.accepted(body, operation)
        if data.parent_id is not None or data.depends_on:
            await self._check_relatives(data)
        return data

    async def _check_relatives(self, data: Accepted) -> None:
        await self._catch_up(None)
        wanted = [*data.depends_on, *([] if data.parent_id is None else [data.parent_id])]
        async with self.connection() as connection:
            known = await queries.known_tasks(connection, wanted)
            parent = None if data.parent_id is None else await queries.task(connection, data.parent_id)
        missing = [str(task_id) for task_id in wanted if task_id not in known]
        if missing:
            raise BadInput(f"no such task: {', '.join(missing)}")
        if parent is not None and State(parent.state) not in FINAL:
            submission.check_parent(data, parent)

    async def _known(self, actor: str, key: str) -> TaskRow | None:
        await self._catch_up(None)
        ids: Sequence[UUID] = [derived_id(actor, key, partition) for partition in range(self.partitions)]
        async with self.connection() as connection:
            condition = queries.Condition("t.task_id = any (%(ids)s)", {"ids": list(ids)})
            found = await queries.tasks(connection, [condition], limit=1)
        return found[0] if found else None

    async def _catch_up(self, least: Mapping[int, int] | None) -> str | None:
        """Wait until the projection has passed the log as it is now (or `least`); how far behind it still is."""
        if least is not None:
            await self.positions.reach(least, FRESH_S * 5)
            return None
        try:
            async with asyncio.timeout(FRESH_S):
                ends = await self.log.end_offsets()
                await self.positions.reach(ends, FRESH_S)
        except TimeoutError:
            return "unknown"
        except ReadError:
            now = self.positions.current()
            return str(sum(max(0, end - now.get(partition, 0)) for partition, end in ends.items()))
        except LogError:
            return "unknown"  # Kafka is away: what is known is told all the same, and that it may be old
        return None
