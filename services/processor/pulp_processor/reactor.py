"""The reactor: ends tasks that no worker will end. Level-triggered: it reads state, and appends what is missing."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from pulp_events.decisions import Dependencies, Situation, react
from pulp_events.errors import LogError
from pulp_events.events import Event
from pulp_events.log import Log
from pulp_projections import store
from pulp_projections.sql import load

_SQL: Final = load("pulp_processor", "reactor.sql")
_PERIOD_S: Final = 1.0
_DEBOUNCE_S: Final = 0.02
_REPEAT_S: Final = 30.0
_SETTLE_S: Final = 6.0
_log = logging.getLogger("pulp.reactor")


class Reactor:
    """Reacts for the partitions that this processor owns, in the active generation.

    Reacting twice, or by two owners, changes nothing: the ids of its events are derived, and the fold takes the first.
    """

    def __init__(
        self,
        log: Log,
        conninfo: str,
        owned: Callable[[], set[int]],
        *,
        cancel_grace_s: float,
        lease_margin_s: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._conninfo = conninfo
        self._owned = owned
        self._cancel_grace_ms = int(cancel_grace_s * 1000)
        self._lease_margin_s = lease_margin_s
        self._clock = clock
        self._wake = asyncio.Event()
        self._appended: dict[UUID, float] = {}
        self._connected_at = 0.0

    def wake(self) -> None:
        """Something was committed: look soon."""
        self._wake.set()

    async def run(self) -> None:
        """React for ever; waits while Kafka or Postgres is away."""
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._conninfo, autocommit=True, application_name="pulp-reactor"
                ) as connection:
                    self._connected_at = time.monotonic()
                    while True:
                        await self.react(connection)
                        await self._pause()
            except (psycopg.Error, LogError) as error:
                _log.warning("waiting: %s", str(error).strip())
                await asyncio.sleep(_PERIOD_S)

    async def react(self, connection: AsyncConnection) -> list[Event]:
        """One round: the events that it appended."""
        partitions = list(self._owned())
        if not partitions:
            return []
        appended: list[Event] = []
        for event, partition in await self._missing(connection, partitions):
            now = time.monotonic()
            # What was appended is on its way; after a while it is appended again, which changes nothing.
            if now - self._appended.get(event.id, -_REPEAT_S) >= _REPEAT_S:
                await self._log.append(event, partition)
                self._appended[event.id] = now
                appended.append(event)
        self._forget_old()
        await self._sweep(connection, partitions)
        return appended

    async def _missing(self, connection: AsyncConnection, partitions: list[int]) -> list[tuple[Event, int]]:
        async with connection.transaction():
            await connection.execute("set transaction isolation level repeatable read")
            cursor = await connection.execute(
                _SQL["situations"],
                {"partitions": partitions, "margin_s": self._lease_margin_s, "settle_s": _SETTLE_S},
            )
            rows = {row[0]: row for row in await cursor.fetchall()}
            tasks = await store.load_tasks(connection, rows) if rows else {}
        now = self._clock()
        found = []
        for task_id, task in tasks.items():
            _, has_failed_dependency, has_lost_lease = rows[task_id]
            event = react(task, self._situation(has_failed_dependency, has_lost_lease, now), now=now)
            if event is not None:
                found.append((event, task.partition))
        return found

    def _situation(self, has_failed_dependency: bool, has_lost_lease: bool, now: datetime) -> Situation:
        # After this process was cut off from Postgres it has not seen heartbeats either: workers get a lease's time.
        is_settled = time.monotonic() - self._connected_at > self._lease_margin_s
        return Situation(
            lease_lost=has_lost_lease and is_settled,
            dependencies=Dependencies.FAILED if has_failed_dependency else Dependencies.SUCCEEDED,
            now_ms=int(now.timestamp() * 1000),
            cancel_grace_ms=self._cancel_grace_ms,
        )

    async def _sweep(self, connection: AsyncConnection, partitions: list[int]) -> None:
        cursor = await connection.execute(_SQL["sweep"], {"partitions": partitions, "margin_s": self._lease_margin_s})
        row = await cursor.fetchone()
        if row is not None and row[0]:
            await connection.execute(_SQL["notify_claims"])

    def _forget_old(self) -> None:
        limit = time.monotonic() - _REPEAT_S
        self._appended = {event_id: at for event_id, at in self._appended.items() if at > limit}

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_PERIOD_S):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_DEBOUNCE_S)
        self._wake.clear()
