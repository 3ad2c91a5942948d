"""How aiokafka fetches here: it returns our `Record`s, a batch at a time, and does not wait for idle partitions."""

import sys
from typing import Any

from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition
from pulp_events.reader import Record

from pulp_processor.consuming.flow import broker_wait_ms


def install() -> None:
    """Make all consumers that this process creates from now on fetch this way."""
    fetcher.PartitionRecords = _PartitionRecords
    fetcher.FetchResult = _FetchResult
    consumer.Fetcher = _Fetcher


def is_installed() -> bool:
    """Whether `install` was called in this process."""
    return bool(consumer.Fetcher is _Fetcher)


class _Fetcher(fetcher.Fetcher):  # type: ignore[misc]  # aiokafka has no types
    """Sends short requests while fetched records wait to be taken (see `flow.broker_wait_ms`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._usual_wait_ms: int = kwargs["fetch_max_wait_ms"]
        self._fetch_max_wait_ms = self._usual_wait_ms

    def _get_actions_per_node(self, assignment: Any) -> Any:
        self._fetch_max_wait_ms = broker_wait_ms(self._usual_wait_ms, leaves_out=bool(self._records))
        return super()._get_actions_per_node(assignment)


class _PartitionRecords:
    """The records that one fetch returned for a partition, decoded one record batch at a time as they are taken.

    It replaces aiokafka's class, which decodes each record on its own behind two generators. It does not support Kafka
    transactions: their markers would leave gaps in the offsets, and the projection stops at a gap.
    """

    def __init__(self, tp: TopicPartition, batches: Any, _aborted: Any, fetch_offset: int, *_settings: Any) -> None:
        self.next_fetch_offset = fetch_offset
        """The offset after the last record taken."""
        self._tp = tp
        self._batches = batches
        self._end = fetch_offset
        self._left: list[Record] = []
        self._last_headers: list[tuple[str, bytes | None]] = []
        self._shared_headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def is_exhausted(self) -> bool:
        """Whether all records have been taken."""
        return not self._left and not self._batches.has_next()

    def take(self, most: int) -> list[Record]:
        """The next `most` records, or all that are left.

        Raises `CorruptRecordException`, or `UnicodeDecodeError` for the name of a header; it cannot be used after that.
        """
        records = self._left
        while len(records) < most and self._batches.has_next():
            records += self._records_of(self._batches.next_batch())
        self._left = records[most:]
        self.next_fetch_offset = self._left[0].offset if self._left else self._end
        return records[:most]

    def _records_of(self, batch: Any) -> list[Record]:
        if not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {self._tp}")
        self._end = batch.next_offset
        if batch.is_control_batch:
            return []
        partition, last, shared = self._tp.partition, self._last_headers, self._shared_headers
        records = []
        for record in batch:
            if record.headers != last:  # most records have equal headers: keep one tuple for all of them
                last = record.headers
                shared = tuple(last)
            records.append(Record(partition, record.offset, record.timestamp, record.key, record.value, shared))
        self._last_headers, self._shared_headers = last, shared
        if records and records[0].offset < self.next_fetch_offset:  # a broker sends whole batches, whatever the offset
            return [record for record in records if record.offset >= self.next_fetch_offset]
        return records


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka has no types
    """Returns records from `_PartitionRecords`."""

    _partition_records: _PartitionRecords | None

    def getall(self, max_records: int | None = None) -> list[Record]:
        records = self._partition_records
        if records is None or not self.check_assignment(self._topic_partition):
            return []
        self._partition_records = None  # stays None after an error, so that they are fetched again
        taken = records.take(sys.maxsize if max_records is None else max_records)
        self._partition_records = records
        self._update_position()
        if records.is_exhausted:
            self._partition_records = None
        return taken
