"""The lag of a processor's partitions, for its metrics."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from pulp_runtime.telemetry.catalog import LAG_EVENTS, LAG_SECONDS
from pulp_runtime.telemetry.metric import Reading


class InHand(NamedTuple):
    """What a writer has committed, and received."""

    next_offset: int
    oldest_ms: int | None
    """The broker's time of the oldest record received and not committed; None if there is none."""


class Lag:
    """The number of events that are not projected yet, and the age of the oldest."""

    def __init__(
        self,
        in_hand: Callable[[], Mapping[int, InHand]],
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        *,
        wall_clock_s: Callable[[], float] = time.time,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ends` reads the end offsets of the log; it raises `LogError`."""
        self._in_hand = in_hand
        self._ends = ends
        self._wall_clock_s = wall_clock_s
        self._clock_s = clock_s
        self._seen: dict[int, tuple[int, float]] = {}
        """Partition → the position at which it lagged, and when that was first seen."""

    async def readings(self) -> list[Reading]:
        """The gauges. Raises `LogError`."""
        before = self._in_hand()  # first, so that events projected while the ends are read do not count as lag
        ends = await self._ends()
        now = self._in_hand()
        found = []
        for partition in sorted(before.keys() & now.keys()):
            label = (str(partition),)
            events = max(0, ends.get(partition, 0) - now[partition].next_offset)
            found.append(Reading(LAG_EVENTS, events, label))
            found.append(Reading(LAG_SECONDS, self._seconds(partition, now[partition]) if events else 0.0, label))
        return found

    def _seconds(self, partition: int, now: InHand) -> float:
        position, seen_at_s = self._seen.get(partition, (-1, 0.0))
        if position != now.next_offset:
            seen_at_s = self._clock_s()
            self._seen[partition] = now.next_offset, seen_at_s
        if now.oldest_ms is not None:
            return max(0.0, self._wall_clock_s() - now.oldest_ms / 1000)
        return self._clock_s() - seen_at_s
