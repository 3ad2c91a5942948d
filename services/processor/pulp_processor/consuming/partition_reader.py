"""Reading one partition from an offset on, without a consumer group: for a rebuild, which reads all of it.

By aiokafka, as the live projection reads: a record takes half the processor time that `pulp_events.reader` needs.
"""

import asyncio
import logging
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from pulp_events.errors import LogUnavailable, OffsetOutOfRange
from pulp_events.kafka import Servers
from pulp_events.reader import Record

from pulp_processor.consuming.aiokafka_settings import aiokafka_settings, refusal
from pulp_processor.consuming.fetching import fit_aiokafka
from pulp_processor.consuming.undecodable_headers import read_with_librdkafka

_FETCHED_BYTES: Final = 256 * 1024
"""At once, compressed: a batch of some thousand events. One record that is larger comes all the same."""
_WAIT_MS: Final = 500
_RETRY_S: Final = 0.5
_log = logging.getLogger("pulp.processor")


class PartitionReader:
    """Reads a partition in order, for ever. One task at a time. It never skips, and memory is bounded by one fetch."""

    def __init__(self, servers: Servers, topic: str, partition: int, start: int) -> None:
        self.next_offset = start
        """The offset that comes next."""
        self._servers = servers
        self._at = TopicPartition(topic, partition)
        self._consumer: Any = None

    async def read(self, end: int, *, most: int) -> list[Record]:
        """What comes next before `end`: at least one record, at most `most`; [] at the end.

        Waits while Kafka is away. Raises `OffsetOutOfRange` if the log does not hold what comes next, `LogUnavailable`
        if that is damaged, or may not be read.
        """
        while self.next_offset < end:
            records = [record for record in await self._fetch(most) if record.offset < end]
            if records:
                self.next_offset = records[-1].offset + 1
                return records
        return []

    async def __aenter__(self) -> Self:
        """Connect; waits while Kafka is away."""
        fit_aiokafka()
        while True:
            self._consumer = AIOKafkaConsumer(
                **aiokafka_settings(self._servers),
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=_FETCHED_BYTES,
            )
            try:
                await self._consumer.start()
            except KafkaError as error:
                _log.warning("Kafka does not answer, asking again: %s", error)
                await self._consumer.stop()
                await asyncio.sleep(_RETRY_S)
            except asyncio.CancelledError:
                await self._consumer.stop()
                raise
            else:
                break
        self._consumer.assign([self._at])
        self._consumer.seek(self._at, self.next_offset)
        await asyncio.sleep(0)  # a task of aiokafka's that has not begun before `stop` would cancel who calls that
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def _fetch(self, most: int) -> list[Record]:
        try:
            found = await self._consumer.getmany(self._at, timeout_ms=_WAIT_MS, max_records=most)
        except OffsetOutOfRangeError as error:
            needed = f"partition {self._at.partition}, offset {self.next_offset}"
            raise OffsetOutOfRange.lost(self._at.topic, needed) from error
        except KafkaError as error:  # a damaged record, or no permission; a broker that is away is no error here
            raise refusal(error) or LogUnavailable(f"{self._at.topic} cannot be read: {error}") from error
        except UnicodeDecodeError:
            start = {self._at.partition: self.next_offset}
            found = await read_with_librdkafka(self._servers, self._at.topic, start, most)
            records: list[Record] = found.get(self._at.partition, [])
            if records:
                self._consumer.seek(self._at, records[-1].offset + 1)
            return records
        return list(found.get(self._at, ()))
