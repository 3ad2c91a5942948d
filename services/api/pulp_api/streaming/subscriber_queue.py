"""The events that this process holds: those that one subscriber has still to take, and the newest ones."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from pulp_api.streaming.streamed_events import StreamedEvent, size_of

_QUEUED_EVENTS: Final = 1000
_QUEUED_BYTES: Final = 1_000_000
_RECENT_EVENTS: Final = 2_000
_RECENT_BYTES: Final = 4_000_000


class SubscriberQueue:
    """One subscriber's queue, from the offsets in `start` on. After an overflow it takes no more: the subscriber reads
    the rest from the log."""

    def __init__(self, start: Mapping[int, int]) -> None:
        self.start = dict(start)
        self.has_overflowed = False
        self._events: list[StreamedEvent] = []
        self._bytes = 0
        self._wake = asyncio.Event()

    def put(self, events: Sequence[StreamedEvent]) -> None:
        """Queue the events, or overflow."""
        self._bytes += size_of(events)
        is_full = len(self._events) + len(events) > _QUEUED_EVENTS or self._bytes > _QUEUED_BYTES
        self.has_overflowed = self.has_overflowed or is_full
        if not self.has_overflowed:
            self._events += events
        self._wake.set()

    def wake(self) -> None:
        """Make `take` return."""
        self._wake.set()

    async def take(self, timeout_s: float) -> list[StreamedEvent]:
        """Everything queued. Waits for an event until the timeout; returns [] at once after an overflow."""
        if not self._events and not self.has_overflowed:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return []
        events, self._events, self._bytes = self._events, [], 0
        return events


class RecentEvents:
    """The newest events, so that a subscriber who was away for a moment needs no reader of its own."""

    def __init__(self, start: Mapping[int, int]) -> None:
        self._first = dict(start)
        """By partition, the offset from which on every event is here."""
        self._events: deque[StreamedEvent] = deque()
        self._bytes = 0

    def add(self, events: Sequence[StreamedEvent]) -> None:
        """Keep these, and drop the oldest beyond the limits."""
        self._events.extend(events)
        self._bytes += size_of(events)
        while len(self._events) > _RECENT_EVENTS or self._bytes > _RECENT_BYTES:
            dropped = self._events.popleft()
            self._bytes -= len(dropped.frame)
            self._first[dropped.partition] = dropped.offset + 1

    def since(self, offsets: Mapping[int, int]) -> list[StreamedEvent] | None:
        """All events from the offsets on; None if some of them were dropped."""
        if any(offset < self._first[partition] for partition, offset in offsets.items()):
            return None
        return [event for event in self._events if event.offset >= offsets.get(event.partition, event.offset + 1)]
