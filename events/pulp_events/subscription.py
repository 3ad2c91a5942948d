"""Following events, for downstream programs: replay from a stored place, then live."""

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, NamedTuple, Self
from uuid import UUID

from pulp_events import admin
from pulp_events.cursor import Cursor, Start, checked_time, parse_start
from pulp_events.errors import BadInput, OffsetOutOfRange, SettingsError, TopicMismatch
from pulp_events.filters import EVERYTHING, Filter, Origins
from pulp_events.group_reader import GroupReader
from pulp_events.kafka import Kafka, Servers
from pulp_events.local_stack import find_kafka
from pulp_events.look_back import LookBack
from pulp_events.reader import Reader, Record
from pulp_events.security import KEYS, read
from pulp_events.selection import Received, Selection
from pulp_events.topics import Topics

__all__ = ["Received", "Subscription", "subscribe"]

_PAGE: Final = 1000
_WAIT_S: Final = 0.5
"""How long an iteration waits at a time, and so how soon it stops."""


class Source(NamedTuple):
    """The topic that a subscription reads, and how."""

    kafka: Kafka
    info: admin.TopicInfo
    reader: Reader | GroupReader
    ends: Mapping[int, int] | None
    """Where to stop; None to go on."""
    group: str | None


class Subscription:
    """An iterator over the events topic, in log order within each partition. Use it in a `with` statement.

    Store `cursor` in one transaction with what you derive from the events, and pass it to `subscribe` later as `since`.
    It continues with the next record, so each one takes effect exactly once. It reads no faster than you take: memory
    is bounded however slow you are. In a consumer group, an event counts as handled once you ask for the next one.
    """

    def __init__(self, connect: Callable[["Subscription"], Source], wanted: Filter) -> None:
        self._fetched: deque[list[Record]] = deque()
        """What the reader has returned, and is not judged yet: the reader does not return it again."""
        self._ready: deque[tuple[int, int, Received | None]] = deque()
        self._stopping = threading.Event()
        self._is_closed = False
        self._returned = 0
        self._last: tuple[int, int] | None = None
        source = connect(self)
        self.topic_id = source.info.topic_id
        self._source = source
        self._reader = source.reader
        self._positions = source.reader.positions
        memory = Origins()
        look_back = LookBack(source.kafka, source.info.name, source.info.partitions, memory)
        self._selection = Selection(wanted, memory, look_back.find)

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition: exactly the records before it were returned, or did not fit the filter.

        In a consumer group, only the partitions of this member.
        """
        return dict(self._positions)

    @property
    def cursor(self) -> Cursor:
        """The same as one text that all doors share: `str(events.cursor)`. Raises `BadInput` for a consumer group."""
        if self._source.group is not None:
            raise BadInput(f"the place of group {self._source.group} is in Kafka, and no member knows all of it")
        return Cursor.at(self.topic_id, self._positions)

    def poll(self, timeout_s: float) -> Received | None:
        """The next event, or None after the timeout. Raises `OffsetOutOfRange`, `LogUnavailable`."""
        self._need_open()
        if not self._ready:
            self._fill(timeout_s)
        return self._take()

    def commit(self) -> None:
        """In a consumer group: all returned events are handled, including the last one. Returns once Kafka has
        committed them.

        Without it, handled records are committed every second, and by `close`. Raises `LogUnavailable`, `LogRefused`.
        """
        self._pass_on()
        if isinstance(self._reader, GroupReader):
            self._reader.commit()

    def stop(self) -> None:
        """End the iteration after the current event. From any thread, or from a signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """End the iteration and close the connection; `positions` and `cursor` stay readable. Closing again does
        nothing.
        """
        self._stopping.set()
        if not self._is_closed:
            self._is_closed = True
            self._reader.close()

    def _fill(self, timeout_s: float) -> None:
        """Wait for a page of records. After any error, `_take` repeats no record and skips none."""
        self._pass_on()
        ends = self._source.ends
        if not self._fetched:
            page = self._reader.poll(timeout_s, most=_PAGE)  # a rebalance within it calls `_drop`
            self._fetched.extend(page.values())
        while self._fetched:
            # What was written after the subscription began is left out: the position must not move past it.
            wanted = [each for each in self._fetched[0] if ends is None or each.offset < ends[each.partition]]
            items = self._selection.of(wanted)
            self._fetched.popleft()
            self._ready.extend(
                (record.partition, record.offset + 1, item) for record, item in zip(wanted, items, strict=True)
            )

    def _take(self) -> Received | None:
        self._pass_on()
        while self._ready:
            partition, after, item = self._ready.popleft()
            self._positions[partition] = after
            self._last = partition, after
            if item is not None:
                self._returned += 1
                return item
            self._pass_on()
        return None

    def _pass_on(self) -> None:
        """The last returned event is handled, since the caller asks for more."""
        if self._last is not None and isinstance(self._reader, GroupReader):
            self._reader.done(*self._last)
        self._last = None

    def _drop(self, partitions: Collection[int]) -> None:
        """Another member of the group has these partitions now."""
        self._fetched = deque(each for each in self._fetched if each[0].partition not in partitions)
        self._ready = deque(each for each in self._ready if each[0] not in partitions)
        for partition in partitions:
            self._positions.pop(partition, None)

    @property
    def _is_over(self) -> bool:
        ends = self._source.ends
        if self._stopping.is_set():
            return True
        return ends is not None and all(self._positions[partition] >= end for partition, end in ends.items())

    def _need_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("the subscription is closed")

    def __iter__(self) -> Iterator[Received]:
        self._need_open()
        while not self._is_over:
            received = self.poll(_WAIT_S)
            if received is not None:
                yield received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._pass_on()  # an event whose handling failed is not done
        self.close()

    def __repr__(self) -> str:
        place = f"in group {self._source.group}" if self._source.group else f"at {self.cursor}"
        wanted = self._selection.wanted
        narrowed = "" if wanted == EVERYTHING else f", {wanted}"
        return (
            f"<Subscription to {self._source.info.name} on {self._source.kafka}, {place}{narrowed},"
            f" {self._returned} events so far>"
        )


def subscribe(
    bootstrap: Servers | None = None,
    *,
    security: Mapping[str, str] | None = None,
    prefix: str | None = None,
    since: Start | str | None = None,
    positions: Mapping[int, int] | None = None,
    topic_id: str | None = None,
    filter: Filter = EVERYTHING,
    task_id: UUID | None = None,
    group: str | None = None,
    follow: bool = True,
) -> Subscription:
    """Typed events with their positions, from the start of the log, from a stored place, or from a broker time on.

    Without `bootstrap` (HOST:PORT of a broker) it reads the Kafka that PULP_KAFKA names, or that of the running local
    stack (`pulp-tasks up`; PULP_DATA names its folder if it is not the default). Without `prefix` it uses the topics of
    that installation, or `pulp.tasks`. `security` holds settings such as PULP_KAFKA_SECURITY_PROTOCOL, which
    docs/operate/kafka.md lists; without it they come from the environment.

    `since` is `beginning`, `now`, a time with its zone, or a cursor: the text or the value that `Subscription.cursor`
    gave, or another door. Without it everything is read. A cursor of a topic that was deleted and created again is
    refused (`TopicMismatch`) instead of read from a wrong offset. `positions` with `topic_id` say the same by
    partition; a partition that they do not name is read from its first record.

    `filter` narrows what is returned, and `task_id` is short for a filter on one task. If a filter needs something that
    only a task's `accepted` event has, that event is looked up further back in the log if necessary.

    `group` names a consumer group: its members share the events, each event goes to one of them at least once, and
    Kafka keeps the offsets. `since` then says where a new group begins. An event counts as done when the next one is
    requested; after a crash, events that were not committed yet come again.

    With `follow=False` it ends where the log ended when it began; otherwise it waits for more, even while brokers are
    away.

    Raises `SettingsError` if no Kafka is named and no local stack runs, or if a setting is wrong, `LogUnavailable` if
    Kafka is away or has no such topic, `LogRefused` if it refuses the login or a right, `OffsetOutOfRange` (now or from
    the iterator) if the log does not hold the wanted offset, `BadInput` for arguments that exclude each other, a text
    that is not a `since`, or a time without a zone.
    """
    start = _checked_start(since, positions, group, follow=follow)
    if task_id is not None:
        filter = _narrowed(filter, task_id)
    kafka, usual = _installation(bootstrap, security)
    topic = Topics.named(prefix or usual).events

    def connect(subscription: Subscription) -> Source:
        connection = admin.connect(kafka)
        info = admin.describe(connection, topic)
        if topic_id is not None and topic_id != info.topic_id:
            raise TopicMismatch(
                f"topic {topic} was created again (id {info.topic_id}, not {topic_id}): offsets start again"
            )
        ends = admin.end_offsets(connection, topic, info.partitions)
        places = _places(connection, info, ends, start, positions)
        if group is None:
            return Source(kafka, info, Reader(kafka, topic, places()), None if follow else ends, None)
        reader = GroupReader(kafka, topic, info.topic_id, group, places, subscription._drop)
        return Source(kafka, info, reader, None, group)

    return Subscription(connect, filter)


def _checked_start(
    since: Start | str | None, positions: Mapping[int, int] | None, group: str | None, *, follow: bool
) -> Start:
    if since is not None and positions is not None:
        raise BadInput("a subscription starts from positions or from since, not from both")
    if group is not None and positions is not None:
        raise BadInput(
            f"the place of group {group} is in Kafka: give no positions; since says where a new group begins"
        )
    if group is not None and not follow:
        raise BadInput(f"members of group {group} share the partitions, so none of them can tell where the log ends")
    if isinstance(since, datetime):
        return checked_time(since)
    if isinstance(since, str):
        return parse_start(since)
    if since is not None and not isinstance(since, Cursor):
        raise BadInput(f"since={since!r}: a text, a time or a cursor is expected")
    return "beginning" if since is None else since


def _narrowed(filter: Filter, task_id: UUID) -> Filter:
    if filter.tasks:
        raise BadInput("a subscription takes task_id or the tasks of a filter, not both")
    return Filter(
        types=filter.types,
        tasks=(task_id,),
        operations=filter.operations,
        resources=filter.resources,
        actors=filter.actors,
        groups=filter.groups,
    )


def _places(
    connection: admin.Connection,
    info: admin.TopicInfo,
    ends: Mapping[int, int],
    start: Start,
    positions: Mapping[int, int] | None,
) -> Callable[[], Mapping[int, int]]:
    """Where to begin, by partition; Kafka is asked when it is called."""
    topic, partitions = info.name, info.partitions
    if positions is not None:
        checked = {**dict.fromkeys(ends, 0), **_checked(positions, ends, topic)}
        return lambda: checked
    if isinstance(start, Cursor):
        start.check(info.topic_id, ends)
        return lambda: _remaining(connection, info, start)
    if isinstance(start, datetime):
        since_ms = max(0, int(start.timestamp() * 1000))
        return lambda: admin.offsets_since(connection, topic, partitions, since_ms)
    if start == "now":
        return lambda: ends
    return lambda: admin.begin_offsets(connection, topic, partitions)


def _remaining(connection: admin.Connection, info: admin.TopicInfo, start: Cursor) -> Mapping[int, int]:
    start.check_begin(admin.begin_offsets(connection, info.name, info.partitions))
    return start.positions


def _installation(bootstrap: Servers | None, given: Mapping[str, str] | None) -> tuple[Kafka, str]:
    """Kafka, and the default prefix of its topics."""
    if isinstance(bootstrap, Kafka):
        return bootstrap, "pulp.tasks"
    if given is not None and (unknown := given.keys() - set(KEYS)):
        raise SettingsError(f"{min(unknown)} is not a setting for connecting to Kafka: these are {', '.join(KEYS)}")
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
                f"{topic}/{partition} ends at {ends[partition]}, before position {offset}: the log was cut at its"
                " end, or the topic was created again"
            )
    return positions
