"""The log of a site on a real Kafka: each event is appended there, and projected as it is read back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pulp_events.events import Event
from pulp_events.kafka import Servers
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.task import Position

from tests.support.site import PARTITIONS, SiteLog

_LIMIT_S = 30


class KafkaSiteLog(SiteLog):
    """The records of the topic, with the broker's times. For one test, which appends from one event loop."""

    def __init__(self, log: KafkaLog, reader: Reader) -> None:
        super().__init__()
        self._log, self._reader = log, reader
        self._reading = asyncio.Lock()

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`; the record is among `records` then."""
        position = await self._log.append(event, partition)
        async with self._reading, asyncio.timeout(_LIMIT_S):
            while len(self.records[partition]) <= position.offset:
                for number, found in (await asyncio.to_thread(self._reader.poll, 1.0)).items():
                    self.records[number] += found
        self.appended.set()
        return position

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return await self._log.end_offsets()

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """See `TimedLog.offsets_since`."""
        return await self._log.offsets_since(timestamp_ms)


@asynccontextmanager
async def kafka_site_log(servers: Servers, topic: str) -> AsyncIterator[KafkaSiteLog]:
    """A log on a new topic, which has the partitions of a site."""
    log = KafkaLog(servers, topic, PARTITIONS)
    try:
        await log.start()
        with Reader(servers, topic, dict.fromkeys(range(PARTITIONS), 0)) as reader:
            yield KafkaSiteLog(log, reader)
    finally:
        await log.close()
