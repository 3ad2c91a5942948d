"""The reactor: it ends tasks, and attempts, that no worker will end.

It is level-triggered: it reads the current state and appends the events that are missing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from msgspec.structs import replace
from pulp_events.decisions import Dependencies, Situation, react
from pulp_events.defaults import WORKER_LEASE_S
from pulp_events.errors import LogError
from pulp_events.events import AttemptFailed, Event, Finished, TaskError
from pulp_events.log import Log
from pulp_events.task import Position
from pulp_projections.away import ANY, keep_trying, reason_of
from pulp_projections.connection import connect
from pulp_projections.plans import ONLY_BY_KEYS

from pulp_processor.reacting.view import PostgresView, ReactorView
from pulp_processor.reacting.warm_up import WarmUp

_PERIOD_S: Final = 1.0
_DEBOUNCE_S: Final = 0.02
_REST_RATIO: Final = 10
"""After each round it rests this many times as long, so that it reads state at most a tenth of the time."""
_REPEAT_S: Final = 5.0
"""After the reactor has appended an event, the task gets no other one for this long, and until it is projected."""
_MOST_CANDIDATES: Final = 200
_log = logging.getLogger("pulp.reactor")


class Reactor:
    """Reacts for the partitions that this processor owns, in the active generation.

    Reacting twice, or in two processors, is harmless: event ids are derived, and the fold applies the first one only.
    Missing heartbeats count only after the warm-up (see `WarmUp`): until then a worker may just have been unable to
    send one, and a task's end may already be in the log.
    """

    def __init__(
        self,
        log: Log,
        conninfo: str,
        owned: Callable[[], set[int]],
        *,
        cancel_grace_s: float,
        lease_margin_s: float,
        lease_s: float = WORKER_LEASE_S,
        clock_s: Callable[[], float] = time.monotonic,
        is_tracing: bool = False,
    ) -> None:
        """`lease_s` is the lease of a worker that has no row in Postgres any more.

        With `is_tracing` events carry the context with which their tasks were accepted, for a log that makes spans.
        """
        self._log = log
        self._is_tracing = is_tracing
        self._conninfo = conninfo
        self._owned = owned
        self._cancel_grace_s = cancel_grace_s
        self._lease_s = lease_s
        self._lease_margin_s = lease_margin_s
        self._clock_s = clock_s
        self._wake = asyncio.Event()
        self._warm_up = WarmUp(log, clock_s)
        self._under_way: dict[UUID, tuple[Position, float]] = {}

    def wake(self) -> None:
        """A batch was committed: start the next round soon."""
        self._wake.set()

    async def run(self) -> None:
        """React forever; waits while Kafka or Postgres is away."""

        def warn(error: Exception, _: float) -> None:
            _log.warning("waiting for Postgres: %s", reason_of(error))

        await keep_trying(self._connect_and_run, warn, on=ANY, pauses_s=(_PERIOD_S,))

    async def _connect_and_run(self) -> None:
        async with await connect(self._conninfo, "pulp-reactor", settings=ONLY_BY_KEYS) as connection:
            self._warm_up.restart()
            await self._run(PostgresView(connection))

    async def _run(self, view: ReactorView) -> None:
        while True:
            began_s = self._clock_s()
            try:
                await self.react(view)
            except LogError as error:
                _log.warning("waiting for Kafka: %s", error)
                await asyncio.sleep(_PERIOD_S)
            await self._pause(max(_DEBOUNCE_S, _REST_RATIO * (self._clock_s() - began_s)))

    async def react(self, view: ReactorView) -> list[Event]:
        """Do one bounded round and return the events that it appended. Raises `LogError` or `psycopg.Error`."""
        owned = list(self._owned())
        if not owned:
            return []
        timeline, positions = await view.timeline_and_positions()
        await self._warm_up.observe(timeline)
        self._forget_projected(positions)
        known = {
            "owned": owned,
            "trusted": self._warm_up.trusted(positions),
            "warm_up_s": self._warm_up.elapsed_s,
            "lease_s": self._lease_s,
            "margin_s": self._lease_margin_s,
        }
        appended = await self._append(await self._in_traces(view, await self._missing(view, known)))
        await view.sweep(known)
        return appended

    async def _missing(self, view: ReactorView, known: Mapping[str, object]) -> list[tuple[Event, int]]:
        values = {
            **known,
            "grace_s": self._cancel_grace_s,
            "most": _MOST_CANDIDATES,
            "under_way": list(self._under_way),
        }
        missing = []
        for found in await view.end_candidates(values):
            situation = Situation(
                lease_lost=found.has_lost_lease,
                dependencies=Dependencies.FAILED if found.has_failed_dependency else Dependencies.SUCCEEDED,
                now_ms=int(found.now.timestamp() * 1000),
                cancel_grace_ms=int(self._cancel_grace_s * 1000),
            )
            event = react(found.task, situation, now=found.now)
            if event is not None:
                missing.append((event, found.task.partition))
        return missing

    async def _in_traces(self, view: ReactorView, missing: list[tuple[Event, int]]) -> list[tuple[Event, int]]:
        if not (self._is_tracing and missing):
            return missing
        contexts = await view.contexts([event.task_id for event, _ in missing])
        return [(replace(event, traceparent=contexts.get(event.task_id)), partition) for event, partition in missing]

    async def _append(self, missing: list[tuple[Event, int]]) -> list[Event]:
        appending = [self._log.append(event, partition) for event, partition in missing]
        results = await asyncio.gather(*appending, return_exceptions=True)
        appended = []
        for (event, _), result in zip(missing, results, strict=True):
            if isinstance(result, Position):
                appended.append(event)
                self._under_way[event.task_id] = (result, self._clock_s())
                text, fields = _logged(event)
                _log.info(text, extra=fields)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return appended

    def _forget_projected(self, positions: Mapping[int, int]) -> None:
        """Forget events that were appended some time ago and are projected: their tasks are judged again."""
        limit = self._clock_s() - _REPEAT_S
        self._under_way = {
            task_id: (where, at)
            for task_id, (where, at) in self._under_way.items()
            if at > limit or positions.get(where.partition, 0) <= where.offset
        }

    async def _pause(self, debounce_s: float) -> None:
        try:
            async with asyncio.timeout(_PERIOD_S):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(debounce_s, _PERIOD_S))
        self._wake.clear()


def _logged(event: Event) -> tuple[str, dict[str, str]]:
    """The line of the log, and its fields."""
    task_id = str(event.task_id)
    match event.data:
        case Finished(outcome=outcome, error=error):
            return "ended a task", {"task_id": task_id, "outcome": outcome, **_code(error)}
        case AttemptFailed(error=error):
            return "ended an attempt", {"task_id": task_id, **_code(error)}
        case _:
            raise AssertionError("the reactor appends nothing else")


def _code(error: TaskError | None) -> dict[str, str]:
    return {} if error is None else {"error": error.code}
