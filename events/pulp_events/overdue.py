"""Ending appends that get no delivery report."""

import asyncio
from collections import deque

from pulp_events.errors import AppendOutcomeUnknown
from pulp_events.task import Position


class Overdue:
    """Ends appends that get no delivery report. One timer serves all, since nearly every report arrives."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_s: float) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._waiting: deque[tuple[float, asyncio.Future[Position]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, delivered: "asyncio.Future[Position]") -> None:
        """End this append if it has no report after the limit."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        self._waiting.append((self._loop.time() + self._limit_s, delivered))
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s, self._look)

    def _look(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._loop.time()):
            _, delivered = self._waiting.popleft()
            if not delivered.done():
                delivered.set_exception(
                    AppendOutcomeUnknown("Kafka did not confirm the event in time: no delivery report")
                )
        self._timer = self._loop.call_at(self._waiting[0][0], self._look) if self._waiting else None
