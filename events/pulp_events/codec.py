"""Bytes ↔ events. CloudEvents 1.0, JSON, structured mode: https://github.com/cloudevents/spec (JSON event format).

The wire type is a literal in `TYPES`, or in `EARLIER` for an earlier version of an event. Every event ever written must
stay decodable: `upcasting` says how.
"""

import re
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, datetime
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any, Final, Literal, TypeAlias, assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, ValidationError, defstruct

from pulp_events.errors import EventTooLarge, InvalidEvent, UndecodableRecord
from pulp_events.events import (
    Accepted,
    AttemptFailed,
    CancelRequested,
    Data,
    Event,
    Finished,
    Name,
    Progress,
    Purged,
    Started,
    UnknownEvent,
    Unparked,
)
from pulp_events.upcasting import UPCASTERS, AcceptedV1, CancelRequestedV1

CONTENT_TYPE: Final = "application/cloudevents+json"
HEADERS: Final[list[tuple[str, str | bytes | None]]] = [("content-type", CONTENT_TYPE.encode())]
MAX_EVENT_BYTES: Final = 1_000_000
MAX_CARRIED_BYTES: Final = 256 * 1024
"""The largest progress object or result."""
_KEY_BYTES: Final = 36
_NO_TASK: Final = (None, None)
# As numbers, which `in` finds ten times as fast.
_BACKSLASH: Final = ord("\\")
_OPENING: Final = ord("[")
_MAX_REASON: Final = 300
"""The length of a reason, in characters."""
MAX_NESTING: Final = 128
"""How deep objects and arrays may nest in an event, envelope included: any JSON parser handles that."""
_SHALLOW_BYTES: Final = MAX_NESTING * len('{"":}')
"""A text without arrays that is not longer than this cannot nest too deep."""

TYPES: Final[dict[type[Data], str]] = {
    Accepted: "org.pulpproject.task.accepted.v2",
    Started: "org.pulpproject.task.started.v1",
    Progress: "org.pulpproject.task.progress.v1",
    AttemptFailed: "org.pulpproject.task.attempt-failed.v1",
    CancelRequested: "org.pulpproject.task.cancel-requested.v2",
    Finished: "org.pulpproject.task.finished.v1",
    Purged: "org.pulpproject.task.purged.v1",
    Unparked: "org.pulpproject.task.unparked.v1",
}
"""The newest version of each kind of event."""
EARLIER: Final[dict[type[Struct], str]] = {
    AcceptedV1: "org.pulpproject.task.accepted.v1",
    CancelRequestedV1: "org.pulpproject.task.cancel-requested.v1",
}
"""Earlier versions, which are read for ever."""
EVERY_TYPE: Final[dict[Any, str]] = {**EARLIER, **TYPES}
"""Every version that `decode` reads."""
NEEDED_IN: Final[dict[str, tuple[str, ...]]] = {
    TYPES[Accepted]: ("request",),
    TYPES[CancelRequested]: ("request",),
}
"""The fields that this version requires although earlier versions lack them."""
_WITHOUT_REQUEST: Final[dict[type[Data], str]] = {
    Accepted: EARLIER[AcceptedV1],
    CancelRequested: EARLIER[CancelRequestedV1],
}
_VERSION: Final = re.compile(r"(.+\.([a-z-]+))\.v([1-9][0-9]{0,8})", re.ASCII)
_DECODERS: Final[dict[str, Callable[[Raw], Any]]] = {
    literal: msgspec.json.Decoder(kind).decode for kind, literal in EVERY_TYPE.items()
}

_NEWEST: Final[dict[str, int]] = {
    found[1]: int(found[3]) for literal in TYPES.values() if (found := _VERSION.fullmatch(literal)) is not None
}
"""A kind of event as it is in wire types → its newest version."""

Time: TypeAlias = Annotated[datetime, Meta(tz=True)]


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The CloudEvents attributes on the wire. Unknown ones are allowed, and stay in the stored bytes."""

    type: Name  # first, so that a reader knows at once what follows
    specversion: Literal["1.0"]
    id: UUID
    source: Annotated[str, Meta(min_length=1)]
    subject: UUID
    time: Time
    actor: Name
    data: Raw
    datacontenttype: Literal["application/json"] | UnsetType = UNSET
    correlationid: str | UnsetType = UNSET
    causationid: (
        Annotated[str, Meta(description="In an accepted event: the id of the task that this one runs again.")]
        | UnsetType
    ) = UNSET
    traceparent: str | UnsetType = UNSET


def _with_data(kind: type[Struct], literal: str) -> Any:
    """`Envelope` for one kind of event: `data` is decoded in the same step, and `subject` stays text."""
    types: dict[str, Any] = {"subject": str, "data": kind}
    fields = [
        (field.name, types.get(field.name, field.type), field.default)
        for field in msgspec.structs.fields(Envelope)
        if field.name != "type"
    ]
    return defstruct(f"{kind.__name__}Envelope", fields, tag_field="type", tag=literal, kw_only=True, gc=False)


_decode_known: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(
    reduce(or_, (_with_data(kind, literal) for kind, literal in EVERY_TYPE.items()))
).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def type_of(event: Event | UnknownEvent) -> str:
    """The wire type of an event."""
    return event.type if isinstance(event, UnknownEvent) else wire_type(event.data)


@lru_cache(maxsize=64)
def newer_version(wire: str) -> str | None:
    """The message that only a later release knows this version of a known kind; None for any other type."""
    found = _VERSION.fullmatch(wire)
    if found is None or (newest := _NEWEST.get(found[1])) is None or int(found[3]) <= newest:
        return None
    return f"version {found[3]} of {found[2]} is newer than this release: it knows those up to {newest}"


def wire_type(data: Data) -> str:
    """The type under which data is written: that of an earlier version if a field of the newest one is missing."""
    if (type(data) is Accepted or type(data) is CancelRequested) and data.request is UNSET:
        return _WITHOUT_REQUEST[type(data)]
    return TYPES[type(data)]


def encode(event: Event) -> bytes:
    """The value of the event's record; `decode` accepts everything that this returns.

    Raises `InvalidEvent` for an event that breaks the contract, `EventTooLarge` over `MAX_EVENT_BYTES`.
    """
    return written(lambda: _encode_envelope(event), lambda value: decode(key_of(event.task_id), value))


def written(make: Callable[[], bytes], read: Callable[[bytes], object]) -> bytes:
    """The bytes that `make` returns, after checking that `read` decodes them and that they are not too long.

    Raises `InvalidEvent`, `EventTooLarge`.
    """
    try:
        value = make()
    except UnicodeEncodeError as error:  # a lone surrogate, as in file names that are not UTF-8
        raise InvalidEvent(f"the event may not be written: {error}") from error
    if len(value) > MAX_EVENT_BYTES:
        raise EventTooLarge(len(value), MAX_EVENT_BYTES)
    try:
        read(value)
    except UndecodableRecord as error:
        raise InvalidEvent(f"the event may not be written: {error.reason}") from error
    return value


def _encode_envelope(event: Event) -> bytes:
    data = Raw(_encode(event.data))
    envelope = Envelope(
        specversion="1.0",
        id=event.id,
        source=event.source,
        type=wire_type(event.data),
        subject=event.task_id,
        time=event.time,
        actor=event.actor,
        data=data,
        datacontenttype="application/json",
        correlationid=_or_unset(event.correlation_id),
        causationid=_or_unset(event.causation_id),
        traceparent=_or_unset(event.traceparent),
    )
    return _encode(envelope)


def decode(key: bytes | None, value: bytes | None) -> Event | UnknownEvent:
    """The event of a record. For any other bytes it raises `UndecodableRecord` with the reason, and nothing else."""
    if value is None:
        raise UndecodableRecord("the record has no value")
    # The task id as text and as a UUID, cached because building a UUID takes a tenth of the time to decode an event.
    text, task_id = _subject_of(key) if key is not None and len(key) == _KEY_BYTES else _NO_TASK
    try:
        # Few events need this check.
        if len(value) > _SHALLOW_BYTES or not value.isascii() or _OPENING in value or _BACKSLASH in value:
            check_text(value)
        try:
            envelope: Any = _decode_known(value)
            data: Any = envelope.data
        except ValidationError:
            envelope, data = _parts_of(value)
        else:
            if envelope.subject != text:
                envelope, data = _parts_of(value)
        if data is not None:
            data = _as_today(data)
        _check_parts(envelope, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UndecodableRecord(f"no event: {one_line(error)}") from error
    if task_id is None or (envelope.subject != text and envelope.subject != task_id):
        raise UndecodableRecord(f"the record's key is not the event's subject {envelope.subject}")
    if data is None:
        return UnknownEvent(
            id=envelope.id, task_id=task_id, time=envelope.time, actor=envelope.actor, type=envelope.type
        )
    return Event(
        id=envelope.id,
        task_id=task_id,
        time=envelope.time,
        actor=envelope.actor,
        data=data,
        source=envelope.source,
        correlation_id=envelope.correlationid or None,
        causation_id=envelope.causationid or None,
        traceparent=envelope.traceparent or None,
    )


def _as_today(data: Any) -> Data:
    """The data as today's class. Raises `ValueError` for a field that its version needs."""
    upcast = UPCASTERS.get(type(data))
    if upcast is not None:
        return upcast(data)
    if (type(data) is Accepted or type(data) is CancelRequested) and data.request is UNSET:
        raise ValueError("Object missing required field `request` - at `$.data`")
    known: Data = data
    return known


def _parts_of(value: bytes) -> tuple[Envelope, Any]:
    """The envelope and its data, decoded in two steps; the data is None for an unknown type.

    The slow path: for unknown types, for subjects in other spellings, and to find out what is wrong.
    """
    envelope = _decode_envelope(value)
    decode_data = _DECODERS.get(envelope.type)
    return envelope, None if decode_data is None else decode_data(envelope.data)


def key_of(task_id: UUID) -> bytes:
    """The record's key: the task id as text."""
    return str(task_id).encode()  # never change: existing records have this key


def task_id_of(key: bytes | None) -> UUID | None:
    """The task whose events have this key; None if no event has it."""
    return _subject_of(key)[1] if key is not None and len(key) == _KEY_BYTES else None


@lru_cache(maxsize=1024)  # a task's events follow each other closely
def _subject_of(key: bytes) -> tuple[str, UUID] | tuple[None, None]:
    """The task with this key, as text and as a UUID."""
    try:
        text = key.decode()
        task_id = msgspec.convert(text, UUID)  # three times as fast as `UUID`
    except (UnicodeDecodeError, ValidationError):
        return _NO_TASK
    return (text, task_id) if text == text.lower() else _NO_TASK


def _check_parts(envelope: Any, data: Data | None) -> None:
    """Raise `ValueError` for JSON of the wrong type, or with a number that strict parsers reject."""
    if not MINYEAR < envelope.time.year < MAXYEAR:  # in another time zone it would be out of Python's range
        raise ValueError(f"the time {envelope.time} is out of range")
    if type(data) is Progress:  # four times as fast as `match`
        if type(_decode_any(data.progress)) is not dict:
            raise ValueError("progress is no JSON object")
    elif type(data) is Accepted:
        if type(_decode_any(data.arguments)) is not dict:
            raise ValueError("arguments are no JSON object")
    elif type(data) is Finished:
        _decode_any(data.result)
    elif type(data) is Purged:
        if type(_decode_any(data.filter)) is not dict:
            raise ValueError("filter is no JSON object")
    elif type(data) is AttemptFailed:
        if not MINYEAR < data.retry_at.year < MAXYEAR:
            raise ValueError(f"the time {data.retry_at} is out of range")
    elif (
        data is not None
        and type(data) is not Started
        and type(data) is not CancelRequested
        and type(data) is not Unparked
    ):
        assert_never(data)


def one_line(error: Exception) -> str:
    """The message on one line, truncated in the middle: it may quote most of the record, and ends with the place."""
    text = " ".join(str(error).split())
    return text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 60]} … {text[-57:]}"


def check_text(value: bytes) -> None:
    """Raise `ValueError` for U+0000, which Postgres cannot store, and for nesting too deep for some parsers."""
    if not value.isascii():
        value.decode()
    may_be_deep = _OPENING in value or len(value) > _SHALLOW_BYTES
    if may_be_deep and _opened(value) > MAX_NESTING and _depth(_decode_any(value)) > MAX_NESTING:
        raise ValueError(f"objects and arrays are nested more than {MAX_NESTING} deep")
    if _BACKSLASH in value and b"\\u0000" in value and _holds_nul(_decode_any(value)):
        raise ValueError("a string holds U+0000")


def _opened(value: bytes) -> int:
    """An upper bound on the number of objects and arrays. `replace` is faster than `count` if there are few."""
    return len(value) - len(value.replace(b"{", b"").replace(b"[", b""))


def _depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
        case _:
            return 0


def _holds_nul(value: object) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
        case list():
            return any(_holds_nul(item) for item in value)
        case _:
            return False


def _or_unset(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text
