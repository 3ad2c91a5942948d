"""Reading the events topic in bulk: chosen partitions, from given offsets, without a consumer group."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from operator import methodcaller
from types import TracebackType
from typing import Final, Self, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from msgspec import Struct

from pulp_events.errors import LogError, LogUnavailable, OffsetOutOfRange
from pulp_events.kafka import Kafka, Servers, client_settings
from pulp_events.refusals import refusal

Headers = tuple[tuple[str, bytes | None], ...]


class Record(Struct, frozen=True, gc=False):
    """A record of the log. `timestamp_ms` is the broker's time of its append."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


_CHUNK: Final = 500
"""Messages per call of the client, whose objects for them are as large as the records."""
_FIRST_S: Final = 2.0
"""How long to wait for the first records of further partitions."""
_call_headers: Final = methodcaller("headers")
"""Instead of `message.headers()`, which both raises and returns a broken list if a name is not UTF-8. Python notices
this in a call through `methodcaller`; in a direct call, from 3.11 on, it does not, and crashes later."""
_TRANSIENT: Final = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError.GROUP_AUTHORIZATION_FAILED,  # the client looks for the coordinator of a group that it never joins
}


class Reader:
    """Reads partitions in order from given offsets on, without end. Synchronous; for one thread at a time.

    It never skips: an offset that is no longer in the log raises `OffsetOutOfRange`. Memory is bounded, because it
    fetches more only as records are consumed.
    """

    def __init__(self, servers: Servers, topic: str, start: Mapping[int, int]) -> None:
        self._kafka = Kafka.of(servers)
        self._topic = topic
        self._next = dict(start)
        self._held = set(start)
        self._fault: LogError | None = None
        self._headers: Headers = ()
        self._consumer = Consumer(
            client_settings(
                self._kafka,
                group_id="pulp-tasks-reader",  # never joined: partitions are assigned manually, nothing is committed
                enable_auto_commit=False,
                enable_partition_eof=False,
                auto_offset_reset="error",
                isolation_level="read_committed",
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=1024,  # per reader
                fetch_message_max_bytes=131_072,  # compressed; a larger record still arrives
                fetch_queue_backoff_ms=10,  # after a full queue; the default is a second
                max_poll_interval_ms=86_400_000,  # a slow reader must not count as dead
                check_crcs=True,
            )
        )
        self._consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in start.items()])

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition."""
        return dict(self._next)

    def poll(self, timeout_s: float, *, most: int = 5000) -> dict[int, list[Record]]:
        """The records that have arrived, in order for each partition, at most `most` in all; {} after the timeout.

        Waits for brokers that are away. Raises `OffsetOutOfRange`, and `LogUnavailable` for a lasting fault.
        """
        if self._fault is not None:
            raise self._fault
        batches: defaultdict[int, list[Record]] = defaultdict(list)
        for message in self._take(timeout_s, most):
            error = message.error()
            if error is not None:
                self._fault = self._fault or fault_of(self._kafka, self._topic, error, self._next)
                continue
            record = record_of(message, self._headers)
            self._headers = record.headers
            batches[record.partition].append(record)
        for partition, records in batches.items():
            self._next[partition] = records[-1].offset + 1
        if self._fault is not None and not batches:
            raise self._fault  # records from before the fault are returned first
        return dict(batches)

    def until(self, ends: Mapping[int, int], *, most: int = 5000) -> Iterator[tuple[int, list[Record]]]:
        """All records before `ends`, as (partition, records); returns when every partition has reached its end.

        The reader's positions are then exactly the ends. A partition that has reached its end, or that `ends` does not
        name, is read no further.
        """
        for partition in self.positions:
            if self._next[partition] >= ends.get(partition, 0):
                self._unassign(partition)
        while self._held:
            for partition, records in self.poll(0.5, most=most).items():
                wanted = [record for record in records if record.offset < ends[partition]]
                self._next[partition] = wanted[-1].offset + 1 if wanted else records[0].offset
                if records[-1].offset + 1 >= ends[partition]:
                    self._unassign(partition)
                if wanted:
                    yield partition, wanted

    def _take(self, timeout_s: float, most: int) -> Iterator[Message]:
        """The first message as soon as it arrives, and all that arrived with it: `consume` would wait for `most`."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return
        yield first
        left = most - 1
        while left and (messages := self._consumer.consume(min(left, _CHUNK), 0)):
            yield from messages
            left -= len(messages)

    def _unassign(self, partition: int) -> None:
        if partition in self._held:
            self._held.remove(partition)
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def first_times(servers: Servers, topic: str, starts: Mapping[int, int]) -> dict[int, int]:
    """The broker's time of the record at each partition's offset, in ms; the log must have each record.

    Partitions that do not answer in time are left out. Raises what `Reader` raises.
    """
    found: dict[int, int] = {}
    if starts:
        with Reader(servers, topic, starts) as reader:
            while len(found) < len(starts) and (batches := reader.poll(_FIRST_S)):
                for partition, records in batches.items():
                    found.setdefault(partition, records[0].timestamp_ms)
    return found


def fault_of(kafka: Kafka, topic: str, error: KafkaError, positions: Mapping[int, int]) -> LogError | None:
    """The error to raise for an error that came in place of a message; None if the client recovers by itself."""
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        return OffsetOutOfRange.lost(topic, f"{error.str()}; next offsets: {dict(positions)}")
    if error.code() in _TRANSIENT:
        return None
    if (refused := refusal(kafka, error)) is not None:
        return refused
    return LogUnavailable(f"{topic} cannot be read: {error.str()}")


def record_of(message: Message, usual: Headers = ()) -> Record:
    """The record of a message without an error; it has no headers if the name of one is not UTF-8.

    Headers equal to `usual` become that very tuple. Nearly all records share them: this saves a seventh of the memory.
    """
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise LogError("a message has no position")
    headers = _headers_of(message)
    return Record(
        partition,
        offset,
        message.timestamp()[1],
        message.key(),
        message.value(),
        usual if headers == usual else headers,
    )


def _headers_of(message: Message) -> Headers:
    try:
        return tuple(cast(list[tuple[str, bytes | None]], _call_headers(message) or []))
    except SystemError:  # a name that is not UTF-8: the client then returns no header
        return ()
