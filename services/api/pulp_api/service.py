"""What both dialects do: submit, cancel, and read with the promise that a reader sees what was done before."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from pulp_events.decisions import request_cancel
from pulp_events.errors import (
    BadInput,
    LogError,
    PositionNotReached,
    ReadError,
    TaskAlreadyFinal,
    TaskNotCancellable,
    TaskNotFound,
    TaskUnfinished,
)
from pulp_events.events import Accepted, Event
from pulp_events.ids import derived_id, new_id
from pulp_events.log import TimedLog
from pulp_events.settings import UNSERVED_S
from pulp_events.task import FINAL, Ignored, Position, Reason, State, evolve
from pulp_events.topics import partition_of
from pulp_projections.reading import queries
from pulp_projections.reading.as_of import row_of, task_as_of
from pulp_projections.reading.pages import Pages
from pulp_projections.reading.positions import Positions
from pulp_projections.reading.queries import HistoryEntry, TaskRow
from pulp_projections.reading.reruns import Reruns, reruns, task_and_reruns
from pulp_projections.writing import store

from pulp_api.fairness.connections import Connections
from pulp_api.submitting import remembering, submission
from pulp_api.submitting.known_operations import KnownOperations
from pulp_api.submitting.known_queues import KnownQueues
from pulp_api.submitting.remembering import behind
from pulp_api.submitting.rerun import Rerun, submission_of
from pulp_api.submitting.submission import Draft, Submission

FRESH_S: Final = 1.0
"""How long a read of one task waits for the projection to pass what was in the log when it came."""
LEAST_S: Final = 5.0
"""How long a read waits for the position that it asks for."""
CANCEL_S: Final = 2.0
"""How long a cancel waits for its own effect, and then for the end of the task."""
MAX_ARGUMENT_BYTES: Final = 256 * 1024
"""What the arguments of a task may have, unless the settings say otherwise: as much as its progress and its result."""
_UNKNOWN: Final = "unknown"
_NOT_READ: Final = (ReadError, psycopg.Error)
"""What a read raises while Postgres is away, or the projection behind."""


class KeyReused(BadInput):
    """An Idempotency-Key came before with another submission."""


class MissingTask(TaskNotFound):
    """No task has this id, as far as the projection is. `lag` is by how many events it is behind, None if it is not."""

    def __init__(self, task_id: UUID, lag: str | None) -> None:
        super().__init__(task_id)
        self.lag = lag


class CancelUndecided(PositionNotReached):
    """The request to cancel is durable, but what it did is not known: the projection is behind, or does not answer."""

    def __init__(self, task_id: UUID, position: Position) -> None:
        super().__init__(
            f"the request to cancel task {task_id} is written at {position} and cannot be"
            " lost, but the projection does not tell yet what it did. Look at the task in a moment; to repeat the"
            " request changes nothing"
        )
        self.position = position


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission that is durable. `task` is as far as it is known: waiting, if it was made by this request."""

    task: TaskRow
    position: Position
    warnings: Sequence[str] = ()
    """What keeps it from running now."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A task as it was read. `lag` is by how many events it may be old, None if it is not."""

    task: TaskRow
    reruns: Reruns
    lag: str | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A task after it was asked to stop, and where the request is; None if it was asked before."""

    task: TaskRow
    reruns: Reruns
    position: Position | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some of a task's events. `lag` is by how many events of the log it may be old, None if it is not."""

    entries: list[HistoryEntry]
    has_more: bool
    """There are more after these."""
    count: int
    """How many there are of the task in all."""
    lag: str | None


class Admitted(Protocol):
    """A submission that may be written. It is told what came of it."""

    def written(self, position: Position) -> None:
        """It is in the log."""

    def failed(self, error: Exception) -> None:
        """The write failed."""


Admit = Callable[[Accepted], Awaitable[Admitted]]
"""Asked just before a task is written; raises what refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and by which request."""

    actor: str
    correlation_id: str | None
    admit: Admit | None = None
    """Asks whether the caller's quotas allow a submission; None: there are none."""


class Service:
    """The API's one way to Kafka and Postgres."""

    def __init__(
        self,
        *,
        log: TimedLog,
        connections: Connections,
        positions: Positions,
        partitions: int,
        max_argument_bytes: int = MAX_ARGUMENT_BYTES,
        queues: Collection[str] = (),
        unserved_s: float = UNSERVED_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.log = log
        self.positions = positions
        self.partitions = partitions
        self.pages = Pages()
        self.unserved_s = unserved_s
        self.connection = connections.connection
        self._operations = KnownOperations(self.connection)
        self._queues = KnownQueues(self.connection, queues)
        self._max_argument_bytes = max_argument_bytes
        self._clock = clock

    async def submit(
        self,
        body: Submission,
        caller: Caller,
        *,
        key: str | None = None,
        rerun_of: UUID | None = None,
        task_id: UUID | None = None,
    ) -> Submitted:
        """Append `accepted`; returns once it is durable. With a `key` the same submission makes one task, once.

        `rerun_of` is the task that this one runs again. Without a `key` the task gets `task_id`,
        if there is one. Raises `BadInput`, `KeyReused`, `LogUnavailable`, `AppendOutcomeUnknown`.
        """
        submission.check_size(body, self._max_argument_bytes)
        draft = submission.drafted(body, await self._operations.get(body.operation))
        if key is None:
            submitted = await self._submit_anew(draft, caller, rerun_of, task_id or new_id())
        else:
            submitted = await self._submit_once(draft, caller, key, rerun_of)
        return replace(submitted, warnings=submission.warnings_of(body, draft.operation))

    async def _submit_anew(self, draft: Draft, caller: Caller, rerun_of: UUID | None, task_id: UUID) -> Submitted:
        data = await self._completed(draft, rerun_of)
        return await self._append(data, caller, task_id, new_id(), self._partition_of(task_id, data), rerun_of)

    async def rerun(self, task_id: UUID, change: Rerun, caller: Caller, *, key: str | None = None) -> Submitted:
        """Submit a task that has ended again, with the change, as a new task that names it.

        Raises `MissingTask`, `TaskUnfinished`, `ReadModelUnavailable` where the projection is too far behind to tell,
        and what `submit` raises.
        """
        try:
            found = await self.read(task_id)
        except MissingTask as error:
            if error.lag is None:
                raise
            raise behind(error.lag) from error
        if found.task.state not in FINAL:
            raise TaskUnfinished(task_id) if found.lag is None else behind(found.lag)
        body = submission_of(found.task, change, await self._operations.get(found.task.operation))
        return await self.submit(body, caller, key=key, rerun_of=task_id)

    async def _submit_once(self, draft: Draft, caller: Caller, key: str, rerun_of: UUID | None) -> Submitted:
        await self.catch_up()
        known = await self._known(caller.actor, key)
        if known is None:
            data = await self._completed(draft, rerun_of)
            partition = self._partition_of(derived_id(caller.actor, key), data)
            task_id = derived_id(caller.actor, key, partition)
            mine = await self._append(data, caller, task_id, derived_id(task_id, "accepted"), partition, rerun_of)
            if await self._effect_of(mine.position, FRESH_S) != Reason.DUPLICATE:
                return mine
            try:
                known = await self._known(caller.actor, key)  # another request with the key came first
            except _NOT_READ:
                return mine  # it is durable: no error may say otherwise
            if known is None:
                return mine
        if rerun_of is None:
            draft = await remembering.with_options(draft, self.connection, self.catch_up)
        if (
            not submission.is_same(remembering.as_then(draft, known), known)
            or await self._cause_of(known.task_id) != rerun_of
        ):
            raise KeyReused(f"the Idempotency-Key came before with another submission, task {known.task_id}")
        return Submitted(known, Position(known.partition, known.accepted_offset))

    async def _completed(self, draft: Draft, rerun_of: UUID | None) -> Accepted:
        await self._queues.check(draft.submission.queue, draft.operation.name)
        if rerun_of is None:  # a rerun has what the task had, whatever its repository says by now
            draft = await remembering.with_options(draft, self.connection, self.catch_up)
        data = await remembering.completed(draft, self.connection, self.catch_up)
        await self._check_relatives(data)
        return data

    async def read(
        self, task_id: UUID, *, least: Mapping[int, int] | None = None, as_of: datetime | Position | None = None
    ) -> Reading:
        """One task, with what was in the log when the call came, or else with how much may be missing.

        With `as_of` as it was at that time, or just after the event at that position. Raises `MissingTask`;
        `PositionNotReached` if `least` is not reached in time.
        """
        async with self._caught_up(least) as (connection, lag):
            if as_of is None:
                found = await task_and_reruns(connection, task_id)
            else:
                found = await _as_it_was(connection, task_id, as_of)
        if found is None:
            raise MissingTask(task_id, lag)
        return Reading(*found, lag)

    async def history(
        self, task_id: UUID, *, least: Mapping[int, int] | None = None, after: Position | None = None, limit: int
    ) -> HistoryPage:
        """Up to `limit` events of a task in log order, after a position, in at most `queries.HISTORY_BYTES`.

        Like `read`, and raises what that does.
        """
        async with self._caught_up(least) as (connection, lag):
            found = await queries.history(connection, task_id, after=after, limit=limit + 1)
            count = await queries.count_history(connection, task_id)
        if count is None:
            raise MissingTask(task_id, lag)
        page = _fitting(found, limit)
        return HistoryPage(page, len(found) > len(page), count, lag)

    @asynccontextmanager
    async def _caught_up(self, least: Mapping[int, int] | None) -> AsyncIterator[tuple[AsyncConnection, str | None]]:
        """A connection for a read that shows what was in the log when the call came, and how much it may lack."""
        if least is not None:
            await self.positions.reach(least, LEAST_S)
        lag = await self.catch_up()
        async with self.connection() as connection:
            if least is not None:
                check_shown(await queries.positions(connection), least)
            yield connection, lag

    async def cancel(self, task_id: UUID, caller: Caller, *, reason: str | None = None) -> Cancelled:
        """Ask a task to stop.

        Returns when the task has ended, or after `CANCEL_S`. The decision rests on the effect that was recorded for the
        request, never on a projection that lags. Raises `TaskNotFound`, `TaskAlreadyFinal`, `TaskNotCancellable`,
        `CancelUndecided`, and the log's errors.
        """
        lag = await self.catch_up()
        async with self.connection() as connection:
            task = (await store.load_tasks(connection, [task_id])).get(task_id)
        if task is None:
            raise behind(lag) if lag is not None else MissingTask(task_id, None)
        position = None
        events = request_cancel(
            task,
            event_id=new_id(),
            now=self._clock(),
            actor=caller.actor,
            reason=reason,
            correlation_id=caller.correlation_id,
        )
        for event in events:
            position = await self.log.append(event, task.partition)
            await self._check_effect(task_id, position)
        try:
            return Cancelled(*await self._ended(task_id), position)
        except _NOT_READ as error:
            if position is None:
                raise
            raise CancelUndecided(task_id, position) from error

    async def _check_effect(self, task_id: UUID, position: Position) -> None:
        effect = await self._effect_of(position, CANCEL_S)
        if effect is None:
            raise CancelUndecided(task_id, position)
        if effect == Reason.NOT_CANCELLABLE:
            raise TaskNotCancellable(task_id)
        if effect == Reason.FINAL:
            raise TaskAlreadyFinal(task_id)

    async def _effect_of(self, position: Position, timeout_s: float) -> str | None:
        """What an event did, once the projection has passed it; None if it has not in time, or does not answer."""
        try:
            await self.positions.reach({position.partition: position.offset + 1}, timeout_s)
            async with self.connection() as connection:
                return await queries.effect_of(connection, position)
        except _NOT_READ:
            return None

    async def _ended(self, task_id: UUID) -> tuple[TaskRow, Reruns]:
        """The task once it has ended, or as it is after `CANCEL_S`."""
        seen = 0
        clock = asyncio.get_running_loop()
        ends = clock.time() + CANCEL_S
        while True:
            async with self.connection() as connection:
                found = await task_and_reruns(connection, task_id)
            if found is None:
                raise TaskNotFound(task_id)
            left = ends - clock.time()
            if State(found[0].state) in FINAL or left <= 0:
                return found
            seen = await self.positions.changed(seen, left)

    async def _append(
        self, data: Accepted, caller: Caller, task_id: UUID, event_id: UUID, partition: int, rerun_of: UUID | None
    ) -> Submitted:
        event = Event(
            id=event_id,
            task_id=task_id,
            time=self._clock(),
            actor=caller.actor,
            data=data,
            correlation_id=caller.correlation_id,
            causation_id=None if rerun_of is None else str(rerun_of),
        )
        position = await self._write(event, partition, caller, data)
        # As it will be read; only the broker's time is not known yet, and ours stands for it.
        task = evolve(None, event, position, int(event.time.timestamp() * 1000))
        assert not isinstance(task, Ignored)
        return Submitted(row_of(task, version=1, children=[]), position)

    async def _write(self, event: Event, partition: int, caller: Caller, data: Accepted) -> Position:
        if caller.admit is None:
            return await self.log.append(event, partition)
        admitted = await caller.admit(data)
        try:
            position = await self.log.append(event, partition)
        except Exception as error:
            admitted.failed(error)
            raise
        admitted.written(position)
        return position

    def _partition_of(self, task_id: UUID, data: Accepted) -> int:
        return partition_of(task_id, data.resources, self.partitions)

    async def _check_relatives(self, data: Accepted) -> None:
        wanted = [*data.depends_on, *([] if data.parent_id is None else [data.parent_id])]
        if not wanted:
            return
        lag = await self.catch_up()
        async with self.connection() as connection:
            known = await queries.known_tasks(connection, wanted)
            ancestors = [] if data.parent_id is None else await queries.unfinished_ancestors(connection, data.parent_id)
        missing = [str(task_id) for task_id in wanted if task_id not in known]
        if missing:
            raise behind(lag) if lag is not None else BadInput(f"no such task: {', '.join(missing)}")
        for ancestor in ancestors:
            submission.check_ancestor(data, ancestor)

    async def _known(self, actor: str, key: str) -> TaskRow | None:
        ids: Sequence[UUID] = [derived_id(actor, key, partition) for partition in range(self.partitions)]
        async with self.connection() as connection:
            condition = queries.Condition("t.task_id = any (%(ids)s)", {"ids": list(ids)})
            found = await queries.tasks(connection, [condition], limit=1)
        return found[0] if found else None

    async def _cause_of(self, task_id: UUID) -> UUID | None:
        async with self.connection() as connection:
            return (await reruns(connection, task_id)).rerun_of

    async def catch_up(self) -> str | None:
        """Wait until the projection has passed the log as it is now; by how much it is still behind after `FRESH_S`."""
        clock = asyncio.get_running_loop()
        ends_at = clock.time() + FRESH_S
        try:
            async with asyncio.timeout_at(ends_at):
                ends = await self.log.end_offsets()
        except (LogError, TimeoutError):
            return _UNKNOWN  # Kafka is away: what is known is told all the same, and that it may be old
        try:
            await self.positions.reach(ends, max(0.0, ends_at - clock.time()))
        except ReadError:
            now = self.positions.current()
            return str(sum(max(0, end - now.get(partition, 0)) for partition, end in ends.items()))
        return None


def check_shown(shown: Mapping[int, int], least: Mapping[int, int] | None) -> None:
    """Raises `PositionNotReached` if a read of these positions is older than `least`.

    What the process has heard of is not enough: a server that took over may lack the last commits of the one before.
    """
    if any(shown.get(partition, 0) < offset for partition, offset in (least or {}).items()):
        raise PositionNotReached(f"the projection is at {dict(shown)}, before {dict(least or {})}: try again later")


def _fitting(found: Sequence[HistoryEntry], limit: int) -> list[HistoryEntry]:
    """The entries that a page has room for, by their number and their bytes: at least one, if there is one."""
    page: list[HistoryEntry] = []
    left = queries.HISTORY_BYTES
    for entry in found[:limit]:
        left -= len(entry.event)
        if page and left < 0:
            break
        page.append(entry)
    return page


async def _as_it_was(
    connection: AsyncConnection, task_id: UUID, as_of: datetime | Position
) -> tuple[TaskRow, Reruns] | None:
    task = await task_as_of(connection, task_id, as_of)
    if task is None:
        return None
    until = as_of if isinstance(as_of, datetime) else task.updated_at
    return task, await reruns(connection, task_id, until=until)
