"""Reading the events topic in bulk: chosen partitions, from given offsets, without a consumer group."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from pulp_events.errors import LogError, LogUnavailable, OffsetOutOfRange
from pulp_events.kafka import client_settings


class Record(NamedTuple):
    """A record as it stands in the log. `timestamp_ms` is the broker's time of its append."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


_TRANSIENT: Final = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT}


class Reader:
    """Reads partitions from given offsets on, in order, for ever. Sync; one thread at a time.

    It never skips: an offset that is no longer in the log raises `OffsetOutOfRange`.
    """

    def __init__(self, bootstrap: str, topic: str, start: Mapping[int, int]) -> None:
        self._topic = topic
        self._next = dict(start)
        self._consumer = Consumer(
            client_settings(
                bootstrap,
                group_id="pulp-tasks-reader",  # never joined: partitions are assigned by hand, nothing is committed
                enable_auto_commit=False,
                enable_partition_eof=False,
                auto_offset_reset="error",
                isolation_level="read_committed",
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=32_768,
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
        batches: defaultdict[int, list[Record]] = defaultdict(list)
        for message in self._consumer.consume(most, timeout_s):
            error = message.error()
            if error is not None:
                self._check(error)
                continue
            record = record_of(message)
            batches[record.partition].append(record)
            self._next[record.partition] = record.offset + 1
        return dict(batches)

    def until(self, ends: Mapping[int, int], *, most: int = 5000) -> Iterator[tuple[int, list[Record]]]:
        """All records before `ends`, as (partition, records); returns when every partition is there."""
        while any(self._next[partition] < end for partition, end in ends.items()):
            for partition, records in self.poll(0.5, most=most).items():
                wanted = [record for record in records if record.offset < ends[partition]]
                if wanted:
                    yield partition, wanted

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise OffsetOutOfRange(
                f"{self._topic} no longer holds an offset that is needed ({error.str()}); next offsets: {self._next}."
                " Retention has cut the log, or the topic was made anew: nothing was skipped"
            )
        if error.code() not in _TRANSIENT:
            raise LogUnavailable(f"{self._topic} cannot be read: {error.str()}")


def record_of(message: Message) -> Record:
    """The record of a message without an error."""
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise LogError("a message has no position")
    return Record(
        partition,
        offset,
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(cast(list[tuple[str, bytes | None]], message.headers() or [])),
    )
