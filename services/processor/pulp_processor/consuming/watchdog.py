"""The watchdog: it ends the process when a partition has lag and makes no progress.

Faust can look alive and read nothing. A process that ends is restarted; one that hangs is not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Never

from pulp_events.errors import LogError, PulpError

_CHECKS: Final = 10
"""How many checks the stall time spans. Checks are counted rather than seconds, so that a process that was suspended is
not judged for that time."""
_log = logging.getLogger("pulp.processor")


class PartitionStalled(PulpError):
    """A partition has lag and makes no progress."""


class PartitionProgress(NamedTuple):
    """How far a partition has been projected."""

    next_offset: int
    is_waiting_for_postgres: bool
    """Postgres is away, so a restart would not help."""


class Watchdog:
    """Judges the progress of the partitions, check by check."""

    def __init__(self, stall_s: float) -> None:
        self.period_s = stall_s / _CHECKS
        """The time between two checks."""
        self._stall_s = stall_s
        self._lagging: dict[int, tuple[int, int]] = {}

    def check(self, partitions: Mapping[int, PartitionProgress], ends: Mapping[int, int]) -> None:
        """Raises `PartitionStalled` if a partition lagged at the same position in all checks of the stall time."""
        lagging: dict[int, tuple[int, int]] = {}
        for partition, (next_offset, is_waiting_for_postgres) in partitions.items():
            end = ends.get(partition, 0)
            if is_waiting_for_postgres or next_offset >= end:
                continue
            before, checks = self._lagging.get(partition, (-1, 0))
            lagging[partition] = (next_offset, checks + 1 if before == next_offset else 1)
            if lagging[partition][1] > _CHECKS:
                raise PartitionStalled(
                    f"partition {partition} is at offset {next_offset} of {end} and has not moved for"
                    f" {self._stall_s:g} s: this process must be started again"
                )
        self._lagging = lagging

    def forget(self) -> None:
        """Start over: the end of the log is unknown."""
        self._lagging = {}


async def watch(
    stall_s: float,
    partitions: Callable[[], Mapping[int, PartitionProgress]],
    ends: Callable[[], Awaitable[Mapping[int, int]]],
) -> Never:
    """Check forever; raises `PartitionStalled`."""
    watchdog = Watchdog(stall_s)
    while True:
        await asyncio.sleep(watchdog.period_s)
        try:
            found = await ends()
        except LogError as error:
            _log.warning("cannot read end offsets from Kafka: %s", error)
            watchdog.forget()
        else:
            watchdog.check(partitions(), found)
