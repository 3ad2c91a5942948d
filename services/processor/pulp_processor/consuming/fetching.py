"""How aiokafka fetches for batches: records that are ours at once, and no wait for idle partitions."""

import sys
from typing import Any, Final

from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition
from pulp_events.reader import Record

_SHORT_WAIT_MS: Final = 20


def fit_aiokafka() -> None:
    """Have the consumers of this process that are made from now on fetch so: they hand out `Record`s."""
    fetcher.PartitionRecords = _PartitionRecords
    fetcher.FetchResult = _FetchResult
    consumer.Fetcher = _Fetcher


class _Fetcher(fetcher.Fetcher):  # type: ignore[misc]  # aiokafka has no types
    """Asks a broker for partitions whose records are not all taken yet again soon after they are.

    A request leaves such partitions out, and there is one at a time for each broker. While that waits for events of the
    others, which may be idle, nothing more would come of the busy ones: with one busy partition of four, a fifth of
    what it can do.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._usual_wait_ms: int = kwargs["fetch_max_wait_ms"]
        self._fetch_max_wait_ms = self._usual_wait_ms

    def _get_actions_per_node(self, assignment: Any) -> Any:
        self._fetch_max_wait_ms = _SHORT_WAIT_MS if self._records else self._usual_wait_ms
        return super()._get_actions_per_node(assignment)


class _PartitionRecords:
    """The records of one fetch of a partition, made a record batch at a time as they are taken.

    In place of aiokafka's, which makes each on its own, behind two generators. It knows nothing of transactions: where
    the topic holds some, their markers leave gaps, and nobody goes on.
    """

    def __init__(self, tp: TopicPartition, batches: Any, _aborted: Any, fetch_offset: int, *_settings: Any) -> None:
        self.next_fetch_offset = fetch_offset
        """The offset after what was taken."""
        self._tp = tp
        self._batches = batches
        self._end = fetch_offset
        self._left: list[Record] = []
        self._usual: list[tuple[str, bytes | None]] = []
        self._headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def is_all_taken(self) -> bool:
        """Nothing is left."""
        return not self._left and not self._batches.has_next()

    def take(self, most: int) -> list[Record]:
        """The next ones: so many, or all that are left.

        Raises `CorruptRecordException`, or `UnicodeDecodeError` for the name of a header; then it is used up.
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
        partition, usual, shared = self._tp.partition, self._usual, self._headers
        records = []
        for record in batch:
            if record.headers != usual:  # most have the same, which are in memory once then
                usual = record.headers
                shared = tuple(usual)
            records.append(Record(partition, record.offset, record.timestamp, record.key, record.value, shared))
        self._usual, self._headers = usual, shared
        if records and records[0].offset < self.next_fetch_offset:  # a batch comes whole, whatever offset is asked for
            return [record for record in records if record.offset >= self.next_fetch_offset]
        return records


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka has no types
    """Hands out `_PartitionRecords`."""

    _partition_records: _PartitionRecords | None

    def getall(self, max_records: int | None = None) -> list[Record]:
        records = self._partition_records
        if records is None or not self.check_assignment(self._topic_partition):
            return []
        self._partition_records = None  # after an error they are fetched again
        taken = records.take(sys.maxsize if max_records is None else max_records)
        self._partition_records = records
        self._update_position()
        if records.is_all_taken:
            self._partition_records = None
        return taken
