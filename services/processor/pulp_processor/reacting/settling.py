"""When a reactor has seen enough to judge by what it does not see."""

from collections.abc import Callable, Mapping

from pulp_events.log import Log


class Settling:
    """Begins anew with every connection to Postgres, and when another server has taken over from it.

    A server that took over may lack the last transactions of the one before, claims and heartbeats among them; one that
    could not be reached has heard nobody. So heartbeats must have had a lease's time to come in, and the
    projection must have reached the end of the log as it was after the change.
    """

    def __init__(self, log: Log, clock_s: Callable[[], float]) -> None:
        self._log = log
        self._clock_s = clock_s
        self._timeline: str | None = None
        self._since_s = 0.0
        self._ends: Mapping[int, int] | None = None

    def begin(self) -> None:
        """Connected to Postgres."""
        self._timeline = None

    async def look(self, timeline: str) -> None:
        """Take note of the database's timeline. Raises `LogError` if Kafka does not tell where the log ends."""
        if timeline != self._timeline:
            self._timeline, self._since_s, self._ends = timeline, self._clock_s(), None
        if self._ends is None:
            self._ends = await self._log.end_offsets()

    @property
    def seen_s(self) -> float:
        """Seconds for which heartbeats were seen."""
        return self._clock_s() - self._since_s

    def judged(self, positions: Mapping[int, int]) -> list[int]:
        """The partitions whose projection has reached what was in the log."""
        ends = self._ends or {}
        return [partition for partition, end in ends.items() if positions.get(partition, 0) >= end]
