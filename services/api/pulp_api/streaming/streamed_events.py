"""A record of the log, prepared once for all streams of this process."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec
from fastapi.sse import format_sse_event
from msgspec import UNSET, Raw, Struct, UnsetType
from pulp_events.codec import decode, task_id_of, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Event
from pulp_events.filters import UNDECODABLE, Filter, Origin
from pulp_events.reader import Record

__all__ = ["UNDECODABLE", "Choice", "StreamedEvent", "size_of", "streamed"]


class StreamedEvent(Struct, kw_only=True):
    """One record. Every stream sends the same bytes, so these are encoded once."""

    partition: int
    offset: int
    type: str
    """The event's type, or `undecodable`."""
    task_id: UUID | None
    """The task that the record's key names."""
    accepted: Origin | None
    """The origin of the task, if this is its `accepted` event."""
    name: bytes
    """The line that names the server-sent event."""
    data: bytes
    """Its only other line but the id, which may differ by stream: one line of JSON with the record's position, the
    broker's time, and the event as it is in the log; and the blank line that ends it."""
    origin: Origin | UnsetType | None = UNSET
    """The task's origin, once somebody has asked for it."""
    place: bytes = b""
    """The id for all streams that have sent everything before it; empty if it was not read at the end of the log."""


class Choice(Struct, frozen=True):
    """What a stream sends: all streams with the same choice send the same bytes."""

    wanted: Filter
    is_named: bool = True
    """Whether server-sent events are named by the event's type; otherwise all are `message`."""

    def asks_for_origin(self, event: StreamedEvent) -> bool:
        """Whether the event can only be judged by its task's origin."""
        return self.wanted.asks_for_origin(event.type, event.task_id)

    def is_sent(self, event: StreamedEvent) -> bool:
        """Whether to send the event. Its origin must be known if the choice needs it."""
        origin = None if event.origin is UNSET else event.origin
        return self.wanted.matches(event.type, event.task_id, origin)

    def lines(self, event: StreamedEvent) -> tuple[bytes, ...]:
        """The server-sent event without its id, which comes first. Not joined: the data may be a megabyte."""
        return (event.name, event.data) if self.is_named else (event.data,)


def size_of(events: Iterable[StreamedEvent]) -> int:
    """Bytes of the frames."""
    return sum(len(event.data) for event in events)


def streamed(record: Record) -> StreamedEvent:
    """The record as streams send it."""
    value: bytes | None = record.value
    name, error, accepted = UNDECODABLE, None, None
    try:
        event = decode(record.key, record.value)
        name = type_of(event)
        accepted = Origin.of(event) if isinstance(event, Event) else None
    except UndecodableRecord as undecodable:
        value, error = None, undecodable.reason
    # JSON strings hold no raw newline, so any newline is insignificant whitespace. Subscribers get one line of data.
    line = (value or b"null").replace(b"\n", b" ").replace(b"\r", b" ")
    content: Mapping[str, object] = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "event": Raw(line),
        **({} if error is None else {"error": error}),
    }
    return StreamedEvent(
        partition=record.partition,
        offset=record.offset,
        type=name,
        task_id=task_id_of(record.key),
        accepted=accepted,
        # A type that this version does not know may be any text; a newline in it would begin a field of the stream.
        name=b"event: " + " ".join(name.splitlines()).encode() + b"\n",
        data=format_sse_event(data_str=msgspec.json.encode(content).decode()),
    )
