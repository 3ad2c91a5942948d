"""Bytes ↔ events of schedules: CloudEvents 1.0 in JSON, structured mode, as for the events of tasks."""

from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw

from pulp_events.codec import Envelope, check_text, one_line, written
from pulp_events.errors import UndecodableRecord
from pulp_events.schedule_events import (
    Definition,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleData,
    ScheduleEvent,
    ScheduleRemoved,
    TickDue,
    TickRefused,
    TickSkipped,
    TickSubmitted,
)

SCHEDULE_TYPES: Final[dict[type[ScheduleData], str]] = {
    ScheduleCreated: "org.pulpproject.schedule.created.v1",
    ScheduleChanged: "org.pulpproject.schedule.changed.v1",
    ScheduleRemoved: "org.pulpproject.schedule.removed.v1",
    TickDue: "org.pulpproject.schedule.due.v1",
    TickSkipped: "org.pulpproject.schedule.skipped.v1",
    TickSubmitted: "org.pulpproject.schedule.submitted.v1",
    TickRefused: "org.pulpproject.schedule.refused.v1",
}
"""The wire types: literals, which never change."""
_DECODERS: Final[dict[str, Callable[[Raw], ScheduleData]]] = {
    literal: msgspec.json.Decoder(kind).decode for kind, literal in SCHEDULE_TYPES.items()
}
_decode_envelope: Final = msgspec.json.Decoder(Envelope).decode


class UnknownScheduleEvent(UndecodableRecord):
    """A valid CloudEvent of a type that this version does not know. It has no effect."""


def schedule_key(schedule_id: UUID) -> bytes:
    """The record's key: the schedule's id as text."""
    return str(schedule_id).encode()


def encode_schedule_event(event: ScheduleEvent) -> bytes:
    """The value of the event's record. Raises `InvalidEvent` for one that breaks the contract, `EventTooLarge`."""
    key = schedule_key(event.schedule_id)
    return written(lambda: _encode_envelope(event), lambda value: decode_schedule_event(key, value))


def _encode_envelope(event: ScheduleEvent) -> bytes:
    envelope = Envelope(
        specversion="1.0",
        id=event.id,
        source="/pulp/tasks",
        type=SCHEDULE_TYPES[type(event.data)],
        subject=event.schedule_id,
        time=event.time,
        actor=event.actor,
        data=Raw(msgspec.json.encode(event.data)),
        datacontenttype="application/json",
        correlationid=UNSET if event.correlation_id is None else event.correlation_id,
    )
    return msgspec.json.encode(envelope)


def decode_schedule_event(key: bytes | None, value: bytes | None) -> ScheduleEvent:
    """The event of a record. Raises `UnknownScheduleEvent` for another type, else `UndecodableRecord`."""
    try:
        envelope = _decode_envelope(value or b"")
        decode = _DECODERS.get(envelope.type)
        data = None if decode is None else decode(envelope.data)
        check_text(value or b"")
        for time in (envelope.time, *_times_of(data)):
            if not MINYEAR < time.year < MAXYEAR:  # in every time zone
                raise ValueError(f"the time {time} is out of range")
        if isinstance(data, ScheduleCreated | ScheduleChanged):
            _check_definition(data.definition)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UndecodableRecord(f"no event of a schedule: {one_line(error)}") from error
    if key != schedule_key(envelope.subject):
        raise UndecodableRecord(f"the record's key is not the event's subject {envelope.subject}")
    if data is None:
        raise UnknownScheduleEvent(f"unknown type {envelope.type}")
    return ScheduleEvent(
        id=envelope.id,
        schedule_id=envelope.subject,
        time=envelope.time,
        actor=envelope.actor,
        data=data,
        correlation_id=envelope.correlationid or None,
    )


def _times_of(data: ScheduleData | None) -> list[datetime]:
    match data:
        case ScheduleCreated(definition=definition) | ScheduleChanged(definition=definition):
            return [time for time in (definition.at, definition.start) if time is not None]
        case TickDue(tick=tick) | TickSkipped(tick=tick) | TickSubmitted(tick=tick) | TickRefused(tick=tick):
            return [tick]
        case _:
            return []


def _check_definition(definition: Definition) -> None:
    if type(msgspec.json.decode(definition.task.arguments)) is not dict:
        raise ValueError("arguments are no JSON object")
    times = (definition.cron, definition.interval_seconds, definition.at)
    if sum(each is not None for each in times) != 1:
        raise ValueError("exactly one of cron, interval_seconds and at is expected")
    if definition.interval_seconds is not None and definition.start is None:
        raise ValueError("an interval has a start")
