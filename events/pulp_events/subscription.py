"""Following events, for downstream programs: replay from a stored position, then live."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import NamedTuple, Self
from uuid import UUID

from pulp_events import admin
from pulp_events.codec import decode, key_of
from pulp_events.errors import BadInput, OffsetOutOfRange, SettingsError, TopicMismatch, UndecodableRecord
from pulp_events.events import Event, UnknownEvent
from pulp_events.kafka import Kafka, Servers
from pulp_events.local_stack import find_kafka
from pulp_events.reader import Reader, Record
from pulp_events.security import KEYS, read
from pulp_events.task import Position
from pulp_events.topics import Topics


class Received(NamedTuple):
    """One record of the log. Store `position` (or `Subscription.positions`) together with its effect."""

    position: Position
    timestamp_ms: int
    """The broker's time of the append."""
    event: Event | UnknownEvent | None
    """None if the record is not an event of the contract; `error` says why."""
    error: str | None
    raw: bytes | None
    """The record's value as it is in the log, unknown fields included."""


class Subscription:
    """An iterator over the events topic, in log order within each partition. Use it in a `with` statement.

    Store `positions` in one transaction with what you derive from the events, and pass them to `subscribe` later. It
    continues with the next record, so each one takes effect exactly once.
    """

    def __init__(self, reader: Reader, topic_id: str, ends: Mapping[int, int] | None, task_id: UUID | None) -> None:
        self.topic_id = topic_id
        self._reader = reader
        self._positions = reader.positions
        self._ends = ends
        self._key = None if task_id is None else key_of(task_id)
        self._ready: deque[Record] = deque()

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition: exactly the records before it were returned."""
        return dict(self._positions)

    def poll(self, timeout_s: float) -> Received | None:
        """The next event, or None after the timeout. Raises `OffsetOutOfRange`, `LogUnavailable`."""
        if not self._ready:
            for records in self._reader.poll(timeout_s, most=1000).values():
                self._ready.extend(records)
        while self._ready:
            record = self._ready.popleft()
            if self._ends is not None and record.offset >= self._ends[record.partition]:
                continue  # written after the subscription began: its position must not move past it
            self._positions[record.partition] = record.offset + 1
            if self._key is None or record.key == self._key:
                return _receive(record)
        return None

    def close(self) -> None:
        """Close the connection; `positions` stays readable."""
        self._reader.close()

    def __iter__(self) -> Iterator[Received]:
        while self._ends is None or any(self._positions[partition] < end for partition, end in self._ends.items()):
            received = self.poll(0.5)
            if received is not None:
                yield received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def subscribe(
    bootstrap: Servers | None = None,
    *,
    security: Mapping[str, str] | None = None,
    prefix: str | None = None,
    positions: Mapping[int, int] | None = None,
    topic_id: str | None = None,
    since: datetime | None = None,
    task_id: UUID | None = None,
    follow: bool = True,
) -> Subscription:
    """Typed events with their positions, from the start of the log, from stored positions, or from a broker time on.

    Without `bootstrap` (HOST:PORT of a broker) it reads the Kafka that PULP_KAFKA names, or that of the running local
    stack (`pulp-tasks up`; PULP_DATA names its folder if it is not the default). Without `prefix` it uses the topics of
    that installation, or `pulp.tasks`. `security` holds settings such as PULP_KAFKA_SECURITY_PROTOCOL, which
    docs/operate/kafka.md lists; without it they come from the environment.

    `positions` are next offsets by partition, as `Subscription.positions` returned them. Pass the `topic_id` that
    belongs to them, and a topic that was deleted and created again is refused (`TopicMismatch`) instead of read from a
    wrong offset. A partition that `positions` does not name is read from its first record. `task_id` selects one task's
    records. With `follow=False` it ends where the log ended when it began; otherwise it waits for more, also while
    brokers are away.

    Raises `SettingsError` if no Kafka is named and no local stack runs, or if a setting is wrong, `LogUnavailable` if
    Kafka is away or has no such topic, `LogRefused` if it refuses the login or a right, `OffsetOutOfRange` (now or from
    the iterator) if the log does not hold the wanted offset, `BadInput` for a `since` without a time zone or together
    with `positions`.
    """
    if since is not None and positions is not None:
        raise BadInput("a subscription starts from positions or from a time, not from both")
    if since is not None and since.tzinfo is None:
        raise BadInput(f"since={since.isoformat()}: a time with its zone is expected")
    kafka, usual = _installation(bootstrap, security)
    topic = Topics.named(prefix or usual).events
    connection = admin.connect(kafka)
    info = admin.describe(connection, topic)
    if topic_id is not None and topic_id != info.topic_id:
        raise TopicMismatch(f"topic {topic} was made anew (id {info.topic_id}, not {topic_id}): offsets start again")
    ends = admin.end_offsets(connection, topic, info.partitions)
    if since is not None:
        start = admin.offsets_since(connection, topic, info.partitions, max(0, int(since.timestamp() * 1000)))
    elif positions is not None:
        start = {**dict.fromkeys(ends, 0), **_checked(positions, ends, topic)}
    else:
        start = admin.begin_offsets(connection, topic, info.partitions)
    return Subscription(Reader(kafka, topic, start), info.topic_id, None if follow else ends, task_id)


def _installation(bootstrap: Servers | None, given: Mapping[str, str] | None) -> tuple[Kafka, str]:
    """Kafka, and the default prefix of its topics."""
    if isinstance(bootstrap, Kafka):
        return bootstrap, "pulp.tasks"
    if given is not None and (unknown := given.keys() - set(KEYS)):
        raise SettingsError(f"{min(unknown)} is no setting of how to connect to Kafka: these are {', '.join(KEYS)}")
    if bootstrap is not None:
        return Kafka(bootstrap, read(os.environ if given is None else given)), "pulp.tasks"
    kafka, prefix = find_kafka(os.environ)
    return (kafka, prefix) if given is None else (Kafka(kafka.bootstrap, read(given)), prefix)


def _checked(positions: Mapping[int, int], ends: Mapping[int, int], topic: str) -> Mapping[int, int]:
    if unknown := positions.keys() - ends.keys():
        raise TopicMismatch(f"topic {topic} has no partition {min(unknown)}: these positions belong to another one")
    for partition, offset in positions.items():
        if not 0 <= offset <= ends[partition]:
            raise OffsetOutOfRange(
                f"{topic}/{partition} ends at {ends[partition]}, before position {offset}:"
                " the log was cut at its end, or the topic was made anew"
            )
    return positions


def _receive(record: Record) -> Received:
    position = Position(record.partition, record.offset)
    try:
        event = decode(record.key, record.value)
    except UndecodableRecord as error:
        return Received(position, record.timestamp_ms, None, error.reason, record.value)
    return Received(position, record.timestamp_ms, event, None, record.value)
