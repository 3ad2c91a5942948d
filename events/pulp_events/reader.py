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
    """A record as it stands in the log. `timestamp_ms` is the broker's time of its append."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


_CHUNK: Final = 500
"""Messages that are taken at once: the client's own objects for them are as large as the records."""
_call_headers: Final = methodcaller("headers")
"""Not `message.headers()`: where a name is no UTF-8, that returns an error and a broken list both at once. Called like
this, Python looks at the two; called as usual, from 3.11 on, it does not, and crashes later on."""
_TRANSIENT: Final = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError.GROUP_AUTHORIZATION_FAILED,  # the client asks who coordinates its group, which it never joins
}


class Reader:
    """Reads partitions from given offsets on, in order, for ever. Sync; one thread at a time.

    It never skips: an offset that is no longer in the log raises `OffsetOutOfRange`. Memory is bounded: Kafka is
    asked for more only as records are taken.
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
                group_id="pulp-tasks-reader",  # never joined: partitions are assigned by hand, nothing is committed
                enable_auto_commit=False,
                enable_partition_eof=False,
                auto_offset_reset="error",
                isolation_level="read_committed",
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=1024,  # every reader has its own
                fetch_message_max_bytes=131_072,  # compressed; a record that is larger comes all the same
                fetch_queue_backoff_ms=10,  # once the queue was full; the default is a second
                max_poll_interval_ms=86_400_000,  # a slow reader is no dead one
                check_crcs=True,
            )
        )
        self._consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in start.items()])

    @property
    def positions(self) -> dict[int, int]:
        """The offset that comes next, of each partition."""
        return dict(self._next)

    def poll(self, timeout_s: float, *, most: int = 5000) -> dict[int, list[Record]]:
        """What has arrived: for each partition its records in order, together at most `most`; {} after the timeout.

        Raises `OffsetOutOfRange`, `LogUnavailable` for a lasting fault. Brokers that are away are waited for.
        """
        if self._fault is not None:
            raise self._fault
        batches: defaultdict[int, list[Record]] = defaultdict(list)
        for message in self._take(timeout_s, most):
            error = message.error()
            if error is not None:
                self._fault = self._fault or self._fault_of(error)
                continue
            record = record_of(message, self._headers)
            self._headers = record.headers
            batches[record.partition].append(record)
        for partition, records in batches.items():
            self._next[partition] = records[-1].offset + 1
        if self._fault is not None and not batches:
            raise self._fault  # what came before it goes first
        return dict(batches)

    def until(self, ends: Mapping[int, int], *, most: int = 5000) -> Iterator[tuple[int, list[Record]]]:
        """All records before `ends`, as (partition, records); returns when every partition is there.

        The reader then stands exactly at the ends. A partition that is there, or that `ends` does not name, is let
        go: it is not read any further.
        """
        for partition in self.positions:
            if self._next[partition] >= ends.get(partition, 0):
                self._let_go(partition)
        while self._held:
            for partition, records in self.poll(0.5, most=most).items():
                wanted = [record for record in records if record.offset < ends[partition]]
                self._next[partition] = wanted[-1].offset + 1 if wanted else records[0].offset
                if records[-1].offset + 1 >= ends[partition]:
                    self._let_go(partition)
                if wanted:
                    yield partition, wanted

    def _take(self, timeout_s: float, most: int) -> Iterator[Message]:
        """At least one message as soon as there is one, and what is there with it: `consume` alone waits for all."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return
        yield first
        left = most - 1
        while left and (messages := self._consumer.consume(min(left, _CHUNK), 0)):
            yield from messages
            left -= len(messages)

    def _let_go(self, partition: int) -> None:
        if partition in self._held:
            self._held.remove(partition)
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fault_of(self, error: KafkaError) -> LogError | None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return OffsetOutOfRange.lost(self._topic, f"{error.str()}; next offsets: {self._next}")
        if error.code() in _TRANSIENT:
            return None
        if (refused := refusal(self._kafka, error)) is not None:
            return refused
        return LogUnavailable(f"{self._topic} cannot be read: {error.str()}")


def record_of(message: Message, usual: Headers = ()) -> Record:
    """The record of a message without an error. Without its headers, if a name among them is no UTF-8.

    Headers that equal `usual` are that very tuple. Nearly all records have the same, a seventh of what they take.
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
    except SystemError:  # a name that is no UTF-8: the client then hands out none of them
        return ()
