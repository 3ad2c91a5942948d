"""The warm-up: how long a reactor waits before it trusts that a missing heartbeat means a dead worker."""

from collections.abc import Callable, Mapping

from pulp_events.log import Log


class WarmUp:
    """Starts over with every connection to Postgres, and after every failover to another server.

    A server that took over may lack the last transactions of its predecessor, claims and heartbeats among them; while
    Postgres was away, no worker could send a heartbeat. So the reactor judges a worker only after a lease's time, and a
    task only after the projection has reached what was the end of the log when the warm-up started.
    """

    def __init__(self, log: Log, clock_s: Callable[[], float]) -> None:
        self._log = log
        self._clock_s = clock_s
        self._timeline: str | None = None
        self._started_at_s = 0.0
        self._ends: Mapping[int, int] | None = None

    def restart(self) -> None:
        """A new connection to Postgres: the next `observe` starts over."""
        self._timeline = None

    async def observe(self, timeline: str) -> None:
        """Start over if the database's timeline has changed. Raises `LogError` if Kafka does not return end offsets."""
        if timeline != self._timeline:
            self._timeline, self._started_at_s, self._ends = timeline, self._clock_s(), None
        if self._ends is None:
            self._ends = await self._log.end_offsets()

    @property
    def elapsed_s(self) -> float:
        """For how many seconds heartbeats could arrive."""
        return self._clock_s() - self._started_at_s

    def trusted(self, positions: Mapping[int, int]) -> list[int]:
        """The partitions whose projection has reached the end of the log as it was when the warm-up started."""
        ends = self._ends or {}
        return [partition for partition, end in ends.items() if positions.get(partition, 0) >= end]
