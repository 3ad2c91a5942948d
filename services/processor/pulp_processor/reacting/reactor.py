"""The reactor: ends tasks that no worker will end. Level-triggered: it reads state, and appends what is missing."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from pulp_events.decisions import Dependencies, Situation, react
from pulp_events.defaults import WORKER_LEASE_S
from pulp_events.errors import LogError
from pulp_events.events import Event, Finished
from pulp_events.log import Log
from pulp_events.task import Position
from pulp_projections.away import ANY, keep_trying, reason_of
from pulp_projections.connection import connect

from pulp_processor.reacting.settling import Settling
from pulp_processor.reacting.view import PostgresView, View

_PERIOD_S: Final = 1.0
_DEBOUNCE_S: Final = 0.02
_REST: Final = 10
"""It reads state only a tenth of the time, however often something is committed."""
_REPEAT_S: Final = 5.0
_MOST: Final = 200
_log = logging.getLogger("pulp.reactor")


class Reactor:
    """Reacts for the partitions that this processor owns, in the active generation.

    Reacting twice, or by two owners, changes nothing: the ids of its events are derived, and the fold takes the first.
    Nobody is judged by heartbeats before the reactor has been connected for a lease's time, and the projection has
    reached what was in the log when it connected: a worker may only have been unable to tell, and a task's end
    may be in the log already.
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
    ) -> None:
        """`lease_s` is that of a worker whose row is gone."""
        self._log = log
        self._conninfo = conninfo
        self._owned = owned
        self._cancel_grace_s = cancel_grace_s
        self._lease_s = lease_s
        self._lease_margin_s = lease_margin_s
        self._clock_s = clock_s
        self._wake = asyncio.Event()
        self._settling = Settling(log, clock_s)
        self._under_way: dict[UUID, tuple[Position, float]] = {}

    def wake(self) -> None:
        """Something was committed: look soon."""
        self._wake.set()

    async def run(self) -> None:
        """React for ever; waits while Kafka or Postgres is away."""

        def warn(error: Exception, _: float) -> None:
            _log.warning("waiting for Postgres: %s", reason_of(error))

        await keep_trying(self._connect_and_run, warn, on=ANY, pauses_s=(_PERIOD_S,))

    async def _connect_and_run(self) -> None:
        async with await connect(self._conninfo, "pulp-reactor") as connection:
            self._settling.begin()
            await self._run(PostgresView(connection))

    async def _run(self, view: View) -> None:
        while True:
            began_s = self._clock_s()
            try:
                await self.react(view)
            except LogError as error:
                _log.warning("waiting for Kafka: %s", error)
                await asyncio.sleep(_PERIOD_S)
            await self._pause(max(_DEBOUNCE_S, _REST * (self._clock_s() - began_s)))

    async def react(self, view: View) -> list[Event]:
        """One round, bounded: the events that it appended. Raises `LogError` or `psycopg.Error`."""
        owned = list(self._owned())
        if not owned:
            return []
        timeline, positions = await view.standing()
        await self._settling.look(timeline)
        self._forget_what_arrived(positions)
        known = {
            "owned": owned,
            "judged": self._settling.judged(positions),
            "seen_s": self._settling.seen_s,
            "lease_s": self._lease_s,
            "margin_s": self._lease_margin_s,
        }
        appended = await self._append(await self._missing(view, known))
        await view.sweep(known)
        return appended

    async def _missing(self, view: View, known: Mapping[str, object]) -> list[tuple[Event, int]]:
        values = {**known, "grace_s": self._cancel_grace_s, "most": _MOST, "under_way": list(self._under_way)}
        missing = []
        for seen in await view.situations(values):
            situation = Situation(
                lease_lost=seen.has_lost_lease,
                dependencies=Dependencies.FAILED if seen.has_failed_dependency else Dependencies.SUCCEEDED,
                now_ms=int(seen.now.timestamp() * 1000),
                cancel_grace_ms=int(self._cancel_grace_s * 1000),
            )
            event = react(seen.task, situation, now=seen.now)
            if event is not None:
                missing.append((event, seen.task.partition))
        return missing

    async def _append(self, missing: list[tuple[Event, int]]) -> list[Event]:
        appending = [self._log.append(event, partition) for event, partition in missing]
        results = await asyncio.gather(*appending, return_exceptions=True)
        appended = []
        for (event, _), result in zip(missing, results, strict=True):
            if isinstance(result, Position):
                appended.append(event)
                self._under_way[event.task_id] = (result, self._clock_s())
                _log.info("ended a task", extra={"task_id": str(event.task_id), **_outcome(event)})
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return appended

    def _forget_what_arrived(self, positions: Mapping[int, int]) -> None:
        """What was appended is on its way until the projection has passed it: nothing is appended again meanwhile."""
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


def _outcome(event: Event) -> dict[str, str]:
    assert isinstance(event.data, Finished)
    error = event.data.error
    return {"outcome": event.data.outcome, **({} if error is None else {"error": error.code})}
