"""The topic of checkpoints has one partition for each partition of the events topic; its last record is the newest.

The value is the signed checkpoint. A header has the next record's offset; it is for monitoring, and is not signed.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from confluent_kafka.admin import AclOperation

from pulp_events import admin
from pulp_events.errors import TopicNotFound
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record, first_times

NEXT_OFFSET: Final = "next-offset"


class Covered(NamedTuple):
    """How far the log of a partition is, according to its last published checkpoint."""

    partition: int
    next_offset: int
    end: int
    """The end offset of the partition of the events topic."""
    checkpoint_ms: int
    """The broker's time of the checkpoint."""
    waiting_since_ms: int | None
    """The broker's time of the first record that is not covered; None if all are."""

    @property
    def lag(self) -> int:
        """How many records are not covered."""
        return max(0, self.end - self.next_offset)


def last_records(servers: Servers, topic: str) -> dict[int, Record]:
    """The last record of each partition of the topic of checkpoints; {} if the topic does not exist.

    Raises `LogUnavailable`.
    """
    return {each.partition: each for each in _from(servers, topic, last=True)}


def all_records(servers: Servers, topic: str) -> Iterator[Record]:
    """All records of the topic of checkpoints, each partition in order; none if the topic does not exist."""
    return _from(servers, topic, last=False)


def spans(servers: Servers, topic: str) -> dict[int, tuple[int, int]]:
    """The first offset and the end of each partition of the topic of checkpoints that has records.

    Raises `LogUnavailable`.
    """
    starts, ends = _starts(servers, topic, last=False)
    return {partition: (start, ends[partition]) for partition, start in starts.items()}


def covered(servers: Servers, events: str, checkpoints: str) -> list[Covered]:
    """How far each log is that has published a checkpoint. Raises `LogUnavailable`."""
    found = last_records(servers, checkpoints)
    if not found:
        return []
    count = admin.describe(servers, events).partitions
    ends = admin.end_offsets(servers, events, count)
    next_offsets = {partition: next_offset_of(record) for partition, record in found.items() if partition in ends}
    waiting = {partition: offset for partition, offset in next_offsets.items() if offset < ends[partition]}
    since = first_times(servers, events, waiting)
    return [
        Covered(partition, offset, ends[partition], found[partition].timestamp_ms, since.get(partition))
        for partition, offset in sorted(next_offsets.items())
    ]


def _from(servers: Servers, topic: str, *, last: bool) -> Iterator[Record]:
    starts, ends = _starts(servers, topic, last=last)
    if not starts:
        return
    with Reader(servers, topic, starts) as reader:
        for _, records in reader.until({partition: ends[partition] for partition in starts}):
            yield from records


def _starts(servers: Servers, topic: str, *, last: bool) -> tuple[dict[int, int], dict[int, int]]:
    """From where to read each partition that has records, and the end of each."""
    try:
        count = admin.describe(servers, topic, rights=[AclOperation.READ]).partitions
    except TopicNotFound:
        return {}, {}
    begins = admin.begin_offsets(servers, topic, count)
    ends = admin.end_offsets(servers, topic, count)
    starts = {
        partition: max(begins[partition], end - 1) if last else begins[partition]
        for partition, end in ends.items()
        if end > begins[partition]
    }
    return starts, ends


def next_offset_of(record: Record) -> int:
    """The offset of the first record that the checkpoint does not cover; 0 if its record does not say."""
    text = (dict(record.headers).get(NEXT_OFFSET) or b"").decode("ascii", errors="replace")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
