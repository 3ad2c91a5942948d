"""The watchdog: a partition that has lag and makes no progress ends the process.

Faust can look alive and read nothing. A process that ends is started again; one that hangs is not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Never

from pulp_events.errors import LogError, PulpError

_CHECKS: Final = 10
"""Within the stall time. Counting checks, not seconds, a process that was stopped as a whole is not to blame."""
_log = logging.getLogger("pulp.processor")


class PartitionStalled(PulpError):
    """A partition has lag and does not move."""


class Standing(NamedTuple):
    """Where a partition is."""

    next_offset: int
    is_waiting: bool
    """Postgres is away: a restart would not help."""


class Watchdog:
    """Judges by what it is shown, one look after another."""

    def __init__(self, stall_s: float) -> None:
        self.period_s = stall_s / _CHECKS
        """How much time is to pass between two looks."""
        self._stall_s = stall_s
        self._seen: dict[int, tuple[int, int]] = {}

    def look(self, partitions: Mapping[int, Standing], ends: Mapping[int, int]) -> None:
        """Raises `PartitionStalled` if a partition has lagged at one position in all looks of the stall time."""
        seen: dict[int, tuple[int, int]] = {}
        for partition, (next_offset, is_waiting) in partitions.items():
            end = ends.get(partition, 0)
            if is_waiting or next_offset >= end:
                continue
            before, looks = self._seen.get(partition, (-1, 0))
            seen[partition] = (next_offset, looks + 1 if before == next_offset else 1)
            if seen[partition][1] > _CHECKS:
                raise PartitionStalled(
                    f"partition {partition} is at offset {next_offset} of {end} and has not moved for"
                    f" {self._stall_s:g} s: this process must be started again"
                )
        self._seen = seen

    def forget(self) -> None:
        """Begin anew: nothing is known of the log."""
        self._seen = {}


async def watch(
    stall_s: float,
    partitions: Callable[[], Mapping[int, Standing]],
    ends: Callable[[], Awaitable[Mapping[int, int]]],
) -> Never:
    """Look for ever; raises `PartitionStalled`."""
    watchdog = Watchdog(stall_s)
    while True:
        await asyncio.sleep(watchdog.period_s)
        try:
            found = await ends()
        except LogError as error:
            _log.warning("Kafka does not tell how far the log goes: %s", error)
            watchdog.forget()
        else:
            watchdog.look(partitions(), found)
