"""Builders of schedules' events, and their log in memory."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Raw
from pulp_events.ids import new_id
from pulp_events.reader import Record
from pulp_events.schedule_codec import encode_schedule_event, schedule_key
from pulp_events.schedule_events import (
    Definition,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleData,
    ScheduleEvent,
    TaskTemplate,
    TickDue,
)

SCHEDULE = UUID("0d6c51e7-5b0e-4f39-9c26-6a5cbb3a8f10")
OTHER_SCHEDULE = UUID("7c2f6f0b-0f0a-4b7e-8f0e-1f3a52b1a7d2")
MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC)
MIDNIGHT_MS = 1_780_272_000_000
"""The same as the broker says it: 20,605 days after 1970-01-01."""


def definition(name: str = "nightly", **given: object) -> Definition:
    """A definition; every hour unless it says otherwise."""
    times = {} if {"cron", "interval_seconds", "at"} & given.keys() else {"cron": "0 * * * *"}
    task = TaskTemplate(operation="sync", arguments=Raw(b'{"repo_id":"zoo"}'))
    return Definition(name=name, **{"task": task, **times, **given})  # type: ignore[arg-type]  # fields by name


def schedule_event(
    data: ScheduleData, *, schedule_id: UUID = SCHEDULE, actor: str = "user:jo", event_id: UUID | None = None
) -> ScheduleEvent:
    """The data in an envelope."""
    return ScheduleEvent(id=event_id or new_id(), schedule_id=schedule_id, time=MIDNIGHT, actor=actor, data=data)


def created(name: str = "nightly", *, schedule_id: UUID = SCHEDULE, **given: object) -> ScheduleEvent:
    """A schedule is created."""
    return schedule_event(ScheduleCreated(definition=definition(name, **given)), schedule_id=schedule_id)


def changed(version: int = 1, *, schedule_id: UUID = SCHEDULE, **given: object) -> ScheduleEvent:
    """Its definition is replaced."""
    return schedule_event(ScheduleChanged(version=version, definition=definition(**given)), schedule_id=schedule_id)  # type: ignore[arg-type]  # fields by name


def due(tick: datetime, *, version: int = 1, missed: int = 0) -> ScheduleEvent:
    """A tick is to be run."""
    return schedule_event(TickDue(version=version, tick=tick, missed=missed), actor="scheduler")


class MemoryScheduleLog:
    """A `ScheduleLog` in memory; `after_append` is called with each record."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.records: list[Record] = []
        self._now_ms = now_ms

    async def append(self, event: ScheduleEvent) -> int:
        """See `ScheduleLog.append`."""
        value = encode_schedule_event(event)
        offset = len(self.records)
        self.records.append(Record(0, offset, self._now_ms(), schedule_key(event.schedule_id), value))
        return offset
