"""A record of the log, prepared once for all streams of this process."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from fastapi.sse import format_sse_event
from msgspec import Raw
from pulp_events.codec import decode, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.reader import Record

UNDECODABLE: Final = "undecodable"


class StreamedEvent(NamedTuple):
    """One record. Every stream sends the same bytes, so these are encoded once."""

    partition: int
    offset: int
    timestamp_ms: int
    type: str
    """The event's type, or `undecodable`."""
    task_id: str | None
    frame: bytes
    """A server-sent event that lacks its id, which differs by stream. Its data is one line of JSON: the record's
    position, the broker's time, and the event as it is in the log."""


def size_of(events: Sequence[StreamedEvent]) -> int:
    """Bytes of the frames."""
    return sum(len(event.frame) for event in events)


def streamed(record: Record) -> StreamedEvent:
    """The record as streams send it."""
    value: bytes | None = record.value
    name, task_id, error = UNDECODABLE, None, None
    try:
        event = decode(record.key, value)
        name, task_id = type_of(event), str(event.task_id)
    except UndecodableRecord as undecodable:
        value, error = None, undecodable.reason
    # JSON strings hold no raw newline, so any newline is insignificant whitespace. Subscribers get one line of data.
    line = (value or b"null").replace(b"\n", b" ").replace(b"\r", b" ")
    content = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "event": Raw(line),
        **({} if error is None else {"error": error}),
    }
    # A type that this version does not know may be any text; a newline in it would begin a field of the stream.
    frame = format_sse_event(event=" ".join(name.splitlines()), data_str=msgspec.json.encode(content).decode())
    return StreamedEvent(record.partition, record.offset, record.timestamp_ms, name, task_id, frame)
