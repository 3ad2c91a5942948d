"""The topic of checkpoints: for each partition of the events topic one of its own, whose last record is the newest.

The value is the signed checkpoint. A header says which record comes next: it is for monitoring, and nothing vouches
for it.
"""

import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AclOperation
from pulp_archive.writing import Covering
from pulp_events import admin
from pulp_events.audit_log import make_producer
from pulp_events.codec import MAX_EVENT_BYTES
from pulp_events.errors import AppendOutcomeUnknown, TopicNotFound
from pulp_events.kafka import Servers
from pulp_events.outcome import not_accepted, not_delivered
from pulp_events.reader import Reader, Record

from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.errors import NoteMalformed
from pulp_transparency.note import split

CONTENT_TYPE: Final = b"text/plain; charset=utf-8"
NEXT_OFFSET: Final = "next-offset"
_SEND_S: Final = 10.0
_log = logging.getLogger("pulp.transparency")


class Published(NamedTuple):
    """A checkpoint to publish, and the offset of the first record that it does not cover."""

    partition: int
    origin: str
    size: int
    note: str
    next_offset: int


class CheckpointTopic:
    """Appends checkpoints."""

    def __init__(self, servers: Servers, topic: str) -> None:
        self._servers, self._topic = servers, topic
        self._producer: Producer | None = None

    def append(self, published: Published) -> None:
        """Append one, and wait until it is there.

        Raises `TopicNotFound`, `LogRefused` or `LogUnavailable`, and nothing was written; or `AppendOutcomeUnknown`.
        """
        producer, self._producer = self._producer or self._connected(), None
        self._append(producer, published)
        self._producer = producer  # one that failed may never write again

    def _connected(self) -> Producer:
        """A producer for a topic that exists, since a broker may create a missing one itself."""
        admin.describe(self._servers, self._topic, rights=[AclOperation.WRITE], timeout_s=_SEND_S)
        return make_producer(self._servers, keep_s=_SEND_S, most=1000)

    def _append(self, producer: Producer, published: Published) -> None:
        value = published.note.encode()
        errors: list[KafkaError | None] = []

        def report(error: KafkaError | None, _: Message) -> None:
            errors.append(error)

        try:
            producer.produce(
                self._topic,
                partition=published.partition,
                key=published.origin.encode(),
                value=value,
                headers=[("content-type", CONTENT_TYPE), (NEXT_OFFSET, str(published.next_offset).encode())],
                on_delivery=report,
            )
            producer.flush(_SEND_S + 1)
        except KafkaException as error:
            raise not_accepted(error.args[0], len(value), MAX_EVENT_BYTES) from error
        except SystemError as error:  # of the client, for a fault after which the producer writes no more
            raise AppendOutcomeUnknown(f"Kafka did not confirm the checkpoint: {error.__cause__ or error}") from error
        if not errors:
            raise AppendOutcomeUnknown("Kafka did not confirm the checkpoint: no answer")
        if errors[0] is not None:
            raise not_delivered(errors[0], len(value), MAX_EVENT_BYTES)


class Covered(NamedTuple):
    """How far the log of a partition is, as its last published checkpoint says."""

    partition: int
    next_offset: int
    end: int
    """Of the events topic's partition."""
    checkpoint_ms: int
    """The broker's time of the checkpoint."""
    waiting_since_ms: int | None
    """The broker's time of the first record that is not covered; None if all are."""

    @property
    def lag(self) -> int:
        """How many records are not covered."""
        return max(0, self.end - self.next_offset)


def newest(servers: Servers, topic: str) -> dict[int, Covering]:
    """The newest checkpoint of each partition, for an archive. Raises `LogUnavailable`."""
    found = {}
    for partition, record in last_records(servers, topic).items():
        note = (record.value or b"").decode(errors="replace")
        try:
            size = Checkpoint.parse(split(note)[0]).size
        except NoteMalformed as error:
            _log.warning("what is in %s is no checkpoint, and is not archived: %s", topic, error)
            continue
        found[partition] = Covering(size, note, _next_offset(record))
    return found


def last_records(servers: Servers, topic: str) -> dict[int, Record]:
    """The last record of each partition of the topic of checkpoints; of no partition if there is no such topic.

    Raises `LogUnavailable`.
    """
    return {each.partition: each for each in _from(servers, topic, last=True)}


def all_records(servers: Servers, topic: str) -> Iterator[Record]:
    """All records of the topic of checkpoints, each partition in order; none if there is no such topic."""
    return _from(servers, topic, last=False)


def covered(servers: Servers, events: str, checkpoints: str) -> list[Covered]:
    """How far each log is, where a checkpoint was ever published. Raises `LogUnavailable`."""
    found = last_records(servers, checkpoints)
    if not found:
        return []
    count = admin.describe(servers, events).partitions
    ends = admin.end_offsets(servers, events, count)
    next_offsets = {partition: _next_offset(record) for partition, record in found.items() if partition in ends}
    waiting = {partition: offset for partition, offset in next_offsets.items() if offset < ends[partition]}
    since: dict[int, int] = {}
    if waiting:
        with Reader(servers, events, waiting) as reader:
            while len(since) < len(waiting):
                batches = reader.poll(2.0)
                if not batches:
                    break
                for partition, records in batches.items():
                    since.setdefault(partition, records[0].timestamp_ms)
    return [
        Covered(partition, offset, ends[partition], found[partition].timestamp_ms, since.get(partition))
        for partition, offset in sorted(next_offsets.items())
    ]


def _from(servers: Servers, topic: str, *, last: bool) -> Iterator[Record]:
    try:
        count = admin.describe(servers, topic, rights=[AclOperation.READ]).partitions
    except TopicNotFound:
        return
    begins = admin.begin_offsets(servers, topic, count)
    ends = admin.end_offsets(servers, topic, count)
    starts = {
        partition: max(begins[partition], end - 1) if last else begins[partition]
        for partition, end in ends.items()
        if end > begins[partition]
    }
    if not starts:
        return
    with Reader(servers, topic, starts) as reader:
        for _, records in reader.until({partition: ends[partition] for partition in starts}):
            yield from records


def _next_offset(record: Record) -> int:
    text = (dict(record.headers).get(NEXT_OFFSET) or b"").decode("ascii", errors="replace")
    return int(text) if text.isascii() and text.isdecimal() else 0
