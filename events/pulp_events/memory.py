"""A log in memory for tests, under the same contract as the Kafka log (`tests/contract/test_log.py`)."""

import asyncio
from collections.abc import Callable

from pulp_events.codec import HEADERS, encode, key_of
from pulp_events.errors import LogUnavailable
from pulp_events.events import Event
from pulp_events.reader import Record
from pulp_events.task import Position


class MemoryLog:
    """A `TimedLog` whose partitions are lists. `clock_ms` gives the broker's time of each append."""

    def __init__(self, partitions: int, clock_ms: Callable[[], int]) -> None:
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self.away = False
        """While true, every call raises `LogUnavailable`."""
        self._clock_ms = clock_ms

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        await asyncio.sleep(0)
        return self.put(event, partition)

    def put(self, event: Event, partition: int) -> Position:
        """`append` without waiting."""
        value = encode(event)
        self._check(partition)
        log = self.records[partition]
        headers = tuple((name, data.encode() if isinstance(data, str) else data) for name, data in HEADERS)
        log.append(Record(partition, len(log), self._clock_ms(), key_of(event.task_id), value, headers))
        return Position(partition, len(log) - 1)

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        await asyncio.sleep(0)
        self._check(0)
        return {partition: len(records) for partition, records in enumerate(self.records)}

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """See `TimedLog.offsets_since`."""
        ends = await self.end_offsets()
        since = {
            partition: [record.offset for record in records if record.timestamp_ms >= timestamp_ms]
            for partition, records in enumerate(self.records)
        }
        return {partition: min(since[partition], default=end) for partition, end in ends.items()}

    def _check(self, partition: int) -> None:
        if self.away:
            raise LogUnavailable("the log is away")
        if not 0 <= partition < len(self.records):
            raise LogUnavailable(f"there is no partition {partition}")
