"""Following the events: replay from a stored position, then live. For programs downstream."""

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
    """One record of the log. Store `position` (or `Subscription.positions`) when its effect is stored."""

    position: Position
    timestamp_ms: int
    """The broker's time of the append."""
    event: Event | UnknownEvent | None
    """None if the record is no event of the contract: then `error` says why."""
    error: str | None
    raw: bytes | None
    """The record's value as it stands in the log, unknown fields included."""


class Subscription:
    """An iterator over the events topic, in log order within each partition. Use it in a `with` statement.

    Each record comes exactly once for one cursor: store `positions` together with what you made of the events,
    give them to `subscribe` again, and the stream goes on with the next one.
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
        """The next offset of each partition: all that was handed out is before it, nothing else is."""
        return dict(self._positions)

    def poll(self, timeout_s: float) -> Received | None:
        """The next event, or None if there is none within the time. Raises `OffsetOutOfRange`, `LogUnavailable`."""
        if not self._ready:
            for records in self._reader.poll(timeout_s, most=1000).values():
                self._ready.extend(records)
        while self._ready:
            record = self._ready.popleft()
            if self._ends is not None and record.offset >= self._ends[record.partition]:
                continue  # written after it began: its position is not passed
            self._positions[record.partition] = record.offset + 1
            if self._key is None or record.key == self._key:
                return _receive(record)
        return None

    def close(self) -> None:
        """Let go of the connection; `positions` stay."""
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
    """Typed events with their positions, from the log's start, from stored positions, or from a broker time on.

    Without `bootstrap` (HOST:PORT of a broker) Kafka is that of PULP_KAFKA, else that of the local stack that runs
    (`pulp-tasks up`; PULP_DATA names its folder if it is not the usual one). Without `prefix` the topics are those of
    the same installation, or of `pulp.tasks`. How to connect is said by `security`, settings by their names such as
    PULP_KAFKA_SECURITY_PROTOCOL (docs/operate/kafka.md lists them); without it by the environment.

    `positions` are next offsets by partition, as `Subscription.positions` gave them; give the `topic_id` that came
    with them, and a topic made anew under the same name is refused (`TopicMismatch`) instead of read from a wrong
    place. A partition that they do not name is read from its first record. `task_id` picks one task's records. With
    `follow=False` it ends where the log ended when it began; else it waits for more, also while brokers are away.

    Raises `SettingsError` if no Kafka is named and no local stack runs, or a setting is wrong, `LogUnavailable` if
    Kafka is away or has no such topic, `LogRefused` if it refuses the login or a right, `OffsetOutOfRange` (now or from
    the iterator) if the log does not hold what is asked for, `BadInput` for a `since` without a time zone or together
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
    """Kafka, and the usual prefix of its topics."""
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
