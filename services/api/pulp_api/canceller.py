"""Cancelling a task: append the request, learn its effect, and wait a moment for the task's end."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pulp_events.decisions import request_cancel
from pulp_events.errors import PositionNotReached, TaskAlreadyFinal, TaskNotCancellable, TaskNotFound
from pulp_events.ids import new_id
from pulp_events.log import TimedLog
from pulp_events.task import FINAL, Position, Reason, State, Task
from pulp_projections.reading.positions import Positions
from pulp_projections.reading.queries import TaskRow
from pulp_projections.reading.reruns import Reruns, task_and_reruns
from pulp_projections.stored_tasks import load_tasks
from pulp_runtime.telemetry.catalog import CANCEL_SECONDS
from pulp_runtime.telemetry.metric import NO_METER, Meter

from pulp_api.caller import Caller
from pulp_api.freshness import UNREADABLE, Freshness, behind
from pulp_api.logins.auth import Connect
from pulp_api.recent_writes import RecentWrites
from pulp_api.task_reader import MissingTask

CANCEL_S: Final = 2.0
"""How long a cancel waits for the request's effect, and then again for the end of the task."""
_MOST_AT_ONCE: Final = 16
"""How many requests to cancel are under way at once for one client."""


class CancelUndecided(PositionNotReached):
    """The request to cancel is durable, but its effect is unknown: the projection is behind or does not answer."""

    def __init__(self, task_id: UUID, position: Position) -> None:
        super().__init__(
            f"the request to cancel task {task_id} is written at {position} and cannot be"
            " lost, but the projection does not tell yet what it did. Look at the task in a moment; to repeat the"
            " request changes nothing"
        )
        self.position = position


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A task that was asked to stop."""

    task: TaskRow
    reruns: Reruns
    position: Position | None
    """The position of the request in the log; None if an earlier request exists."""


class Canceller:
    """Decides by the effect that was recorded for the request, never by a projection that lags."""

    def __init__(
        self,
        log: TimedLog,
        positions: Positions,
        freshness: Freshness,
        connect: Connect,
        writes: RecentWrites,
        clock: Callable[[], datetime],
        *,
        meter: Meter = NO_METER,
    ) -> None:
        self._log = log
        self._positions = positions
        self._freshness = freshness
        self._connect = connect
        self._writes = writes
        self._clock = clock
        self._meter = meter

    async def cancel(self, task_id: UUID, caller: Caller, *, reason: str | None = None) -> Cancelled:
        """Ask a task to stop; returns when the task has ended, or after `CANCEL_S`.

        Raises `TaskNotFound`, `TaskAlreadyFinal`, `TaskNotCancellable`, `CancelUndecided`, and the log's errors.
        """
        began_s = time.monotonic()
        lag = await self._freshness.catch_up()
        async with self._connect() as connection:
            task = (await load_tasks(connection, [task_id])).get(task_id)
        if task is None:
            raise behind(lag) if lag is not None else MissingTask(task_id, None)
        position = await self._ask(task, caller, reason)
        try:
            cancelled = Cancelled(*await self._ended(task_id), position)
        except UNREADABLE as error:
            if position is None:
                raise
            raise CancelUndecided(task_id, position) from error
        self._meter.observe(CANCEL_SECONDS, time.monotonic() - began_s)
        return cancelled

    async def request(self, task_ids: Sequence[UUID], caller: Caller, *, reason: str | None = None) -> None:
        """Ask tasks to stop, and return once the outcome of each request is known. Some may have ended, or go on.

        Raises the log's errors, `CancelUndecided`.
        """
        async with self._connect() as connection:
            found = await load_tasks(connection, task_ids)
        turns = asyncio.Semaphore(_MOST_AT_ONCE)

        async def ask(task: Task) -> None:
            async with turns:
                with contextlib.suppress(TaskAlreadyFinal, TaskNotCancellable):
                    await self._ask(task, caller, reason)

        await asyncio.gather(*map(ask, found.values()))

    async def _ask(self, task: Task, caller: Caller, reason: str | None) -> Position | None:
        """Append the request unless there is one already, and return its place in the log."""
        position = None
        events = request_cancel(
            task,
            event_id=new_id(),
            now=self._clock(),
            actor=caller.actor,
            reason=reason,
            correlation_id=caller.correlation_id,
            request=caller.request,
        )
        for event in events:
            position = await self._log.append(event, task.partition)
            self._writes.note(caller.actor, position)
            await self._check_effect(task.task_id, position)
        return position

    async def _check_effect(self, task_id: UUID, position: Position) -> None:
        effect = await self._freshness.effect_of(position, CANCEL_S)
        if effect is None:
            raise CancelUndecided(task_id, position)
        if effect == Reason.NOT_CANCELLABLE:
            raise TaskNotCancellable(task_id)
        if effect == Reason.FINAL:
            raise TaskAlreadyFinal(task_id)

    async def _ended(self, task_id: UUID) -> tuple[TaskRow, Reruns]:
        """The task once it has ended, or as it is after `CANCEL_S`."""
        seen = 0
        clock = asyncio.get_running_loop()
        deadline = clock.time() + CANCEL_S
        while True:
            async with self._connect() as connection:
                found = await task_and_reruns(connection, task_id)
            if found is None:
                raise TaskNotFound(task_id)
            left = deadline - clock.time()
            if State(found[0].state) in FINAL or left <= 0:
                return found
            seen = await self._positions.changed(seen, left)
