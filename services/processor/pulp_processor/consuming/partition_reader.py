"""Reading one partition from an offset on without a consumer group, for rebuilds.

It uses aiokafka, as the live projection does: a record takes less processor time than with `pulp_events.reader`.
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
from pulp_projections.away import keep_trying

from pulp_processor.consuming import internals
from pulp_processor.consuming.aiokafka_settings import aiokafka_settings, refusal
from pulp_processor.consuming.undecodable_headers import read_with_librdkafka

_FETCHED_BYTES: Final = 256 * 1024
"""Upper bound on one fetch, compressed: some thousand events. A larger single record still arrives."""
_WAIT_MS: Final = 500
_log = logging.getLogger("pulp.processor")


class PartitionReader:
    """Reads a partition in order and never skips a record. Memory is bounded by one fetch. Not for concurrent use.

    Raises `RuntimeError` if `internals.install` was not called in this process.
    """

    def __init__(self, servers: Servers, topic: str, partition: int, start: int) -> None:
        if not internals.is_installed():
            raise RuntimeError("call internals.install() when the process starts")
        self.next_offset = start
        """The offset of the next record."""
        self._servers = servers
        self._at = TopicPartition(topic, partition)
        self._consumer: Any = None

    async def read(self, end: int, *, most: int) -> list[Record]:
        """The next records before `end`: at least one, at most `most`; [] at the end.

        Waits while Kafka is away. Raises `OffsetOutOfRange` if the log does not hold the next offset, and
        `LogUnavailable` if that record is damaged or Kafka refuses to return it.
        """
        while self.next_offset < end:
            records = [record for record in await self._fetch(most) if record.offset < end]
            if records:
                self.next_offset = records[-1].offset + 1
                return records
        return []

    async def __aenter__(self) -> Self:
        """Connect; waits while Kafka is away."""
        self._consumer = await keep_trying(self._start, _warn, on=(KafkaError,))
        self._consumer.assign([self._at])
        self._consumer.seek(self._at, self.next_offset)
        await asyncio.sleep(0)  # lets aiokafka's tasks start: if one has not, `stop` would cancel its caller
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def _start(self) -> Any:
        consumer: Any = AIOKafkaConsumer(
            **aiokafka_settings(self._servers),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCHED_BYTES,
        )
        try:
            await consumer.start()
        except BaseException:  # a cancelled start leaves connections as well
            await consumer.stop()
            raise
        return consumer

    async def _fetch(self, most: int) -> list[Record]:
        try:
            found = await self._consumer.getmany(self._at, timeout_ms=_WAIT_MS, max_records=most)
        except OffsetOutOfRangeError as error:
            needed = f"partition {self._at.partition}, offset {self.next_offset}"
            raise OffsetOutOfRange.lost(self._at.topic, needed) from error
        except KafkaError as error:  # a damaged record or no permission; aiokafka waits for a broker that is away
            raise refusal(error) or LogUnavailable(f"{self._at.topic} cannot be read: {error}") from error
        except UnicodeDecodeError:
            start = {self._at.partition: self.next_offset}
            found = await read_with_librdkafka(self._servers, self._at.topic, start, most)
            records: list[Record] = found.get(self._at.partition, [])
            if records:
                self._consumer.seek(self._at, records[-1].offset + 1)
            return records
        return list(found.get(self._at, ()))


def _warn(error: Exception, _: float) -> None:
    _log.warning("Kafka does not answer, trying again: %s", error)
