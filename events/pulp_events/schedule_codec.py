"""Bytes ↔ events of schedules: CloudEvents 1.0 in JSON, structured mode, as for the events of tasks."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from pulp_events.ordered_codec import OrderedCodec, key_of_subject
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


def schedule_key(schedule_id: UUID) -> bytes:
    """The record's key: the schedule's id as text."""
    return key_of_subject(schedule_id)


def encode_schedule_event(event: ScheduleEvent) -> bytes:
    """The value of the event's record. Raises `InvalidEvent` for one that breaks the contract, `EventTooLarge`."""
    return _CODEC.encode(event.id, event.schedule_id, event.time, event.actor, event.data, event.correlation_id)


def decode_schedule_event(key: bytes | None, value: bytes | None) -> ScheduleEvent:
    """The event of a record. Raises `UnknownType` for another type, else `UndecodableRecord`."""
    envelope, data = _CODEC.decode(key, value)
    return ScheduleEvent(
        id=envelope.id,
        schedule_id=envelope.subject,
        time=envelope.time,
        actor=envelope.actor,
        data=data,
        correlation_id=envelope.correlationid or None,
    )


def _check(data: ScheduleData) -> Iterator[datetime]:
    match data:
        case ScheduleCreated(definition=definition) | ScheduleChanged(definition=definition):
            _check_definition(definition)
            yield from (time for time in (definition.at, definition.start) if time is not None)
        case TickDue(tick=tick) | TickSkipped(tick=tick) | TickSubmitted(tick=tick) | TickRefused(tick=tick):
            yield tick
        case _:
            return


def _check_definition(definition: Definition) -> None:
    if type(msgspec.json.decode(definition.task.arguments)) is not dict:
        raise ValueError("arguments are no JSON object")
    times = (definition.cron, definition.interval_seconds, definition.at)
    if sum(each is not None for each in times) != 1:
        raise ValueError("exactly one of cron, interval_seconds and at is expected")
    if definition.interval_seconds is not None and definition.start is None:
        raise ValueError("an interval has a start")


_CODEC: Final = OrderedCodec[ScheduleData](SCHEDULE_TYPES, "a schedule", _check)
