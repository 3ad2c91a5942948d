"""The schedule and its state machine: `evolve_schedule` is the only place where a schedule's state changes. Pure."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from pulp_events.ids import derived_id
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


class ScheduleReason(StrEnum):
    """Why an event of a schedule has no effect. Kept in the history, word for word."""

    DUPLICATE = "duplicate"
    UNKNOWN_SCHEDULE = "unknown schedule"
    NAME_TAKEN = "name is taken"
    REMOVED = "removed"
    STALE = "stale"
    DISABLED = "disabled"
    TICK_TAKEN = "tick is taken"
    NOT_DUE = "not due"


class NoEffect(NamedTuple):
    """The event changes nothing, and why."""

    reason: ScheduleReason


class Schedule(Struct, frozen=True, kw_only=True):
    """Everything known about a schedule: the fold of its events. Times are the broker's, in ms since the epoch."""

    schedule_id: UUID
    definition: Definition
    version: int = 1
    """The version of the definition; it counts the changes."""
    created_by: str
    created_at_ms: int
    updated_by: str
    updated_at_ms: int
    since_ms: int
    """Earlier ticks, up to this one, do not count: the definition is newer, or was disabled."""
    last_tick: datetime | None = None
    """The latest tick that was run or skipped; a change lowers one that is later than the change."""
    pending: datetime | None = None
    """A due tick whose task is not submitted yet."""
    pending_missed: int = 0
    last_task: UUID | None = None
    removed_at_ms: int | None = None
    offset: int
    """The offset of the last effective event."""


def task_id_of_tick(schedule_id: UUID, tick: datetime) -> UUID:
    """The id of the task that a tick submits: the same in every process, so that no tick makes two tasks."""
    return derived_id("schedule", schedule_id, int(tick.timestamp()))  # never change: logs hold such ids


def evolve_schedule(
    schedule: Schedule | None, event: ScheduleEvent, offset: int, at_ms: int, *, is_name_taken: bool
) -> Schedule | NoEffect:
    """The schedule after the event, or why the event changes nothing. Total; nothing raises.

    `at_ms` is the broker's time of the record. `is_name_taken` says whether another schedule has the name that the
    event gives this one.
    """
    data = event.data
    if schedule is None:
        if type(data) is not ScheduleCreated:
            return NoEffect(ScheduleReason.UNKNOWN_SCHEDULE)
        return NoEffect(ScheduleReason.NAME_TAKEN) if is_name_taken else _created(event, data, offset, at_ms)
    if type(data) is ScheduleCreated:
        return NoEffect(ScheduleReason.DUPLICATE)
    if schedule.removed_at_ms is not None:
        return NoEffect(ScheduleReason.REMOVED)
    if type(data) is ScheduleRemoved:
        return replace(
            schedule, removed_at_ms=at_ms, updated_by=event.actor, updated_at_ms=at_ms, pending=None, offset=offset
        )
    if type(data) is ScheduleChanged:
        if data.version != schedule.version:
            return NoEffect(ScheduleReason.STALE)
        return NoEffect(ScheduleReason.NAME_TAKEN) if is_name_taken else _changed(schedule, event, data, offset, at_ms)
    return _ticked(schedule, data, offset)


def name_given_by(data: ScheduleData) -> str | None:
    """The name that an event gives its schedule, if it gives one."""
    return data.definition.name if isinstance(data, ScheduleCreated | ScheduleChanged) else None


def _created(event: ScheduleEvent, data: ScheduleCreated, offset: int, at_ms: int) -> Schedule:
    return Schedule(
        schedule_id=event.schedule_id,
        definition=data.definition,
        created_by=event.actor,
        created_at_ms=at_ms,
        updated_by=event.actor,
        updated_at_ms=at_ms,
        since_ms=at_ms,
        offset=offset,
    )


def _changed(schedule: Schedule, event: ScheduleEvent, data: ScheduleChanged, offset: int, at_ms: int) -> Schedule:
    last_tick = schedule.last_tick
    if last_tick is not None:  # with a wrong clock it may be far ahead, and no tick would come before it
        last_tick = min(last_tick, datetime.fromtimestamp(at_ms / 1000, UTC))
    return replace(
        schedule,
        definition=data.definition,
        version=schedule.version + 1,
        updated_by=event.actor,
        updated_at_ms=at_ms,
        since_ms=at_ms,
        last_tick=last_tick,
        pending=None,  # it belongs to the previous definition
        offset=offset,
    )


def _ticked(
    schedule: Schedule, data: TickDue | TickSkipped | TickSubmitted | TickRefused, offset: int
) -> Schedule | NoEffect:
    if type(data) is TickSubmitted or type(data) is TickRefused:
        if schedule.pending != data.tick:
            return _submitted_meanwhile(schedule, data, offset)
        last_task = data.task_id if type(data) is TickSubmitted else schedule.last_task
        return replace(schedule, pending=None, last_task=last_task, offset=offset)
    if type(data) is TickDue or type(data) is TickSkipped:
        if data.version != schedule.version:
            return NoEffect(ScheduleReason.STALE)
        if not schedule.definition.enabled:
            return NoEffect(ScheduleReason.DISABLED)
        if schedule.last_tick is not None and data.tick <= schedule.last_tick:
            return NoEffect(ScheduleReason.TICK_TAKEN)
        if type(data) is TickSkipped:
            return replace(schedule, last_tick=data.tick, offset=offset)
        return replace(schedule, last_tick=data.tick, pending=data.tick, pending_missed=data.missed, offset=offset)
    assert_never(data)


def _submitted_meanwhile(schedule: Schedule, data: TickSubmitted | TickRefused, offset: int) -> Schedule | NoEffect:
    """The schedule was changed while its tick was submitted. The task exists nevertheless, and is its last one."""
    if type(data) is not TickSubmitted or data.task_id == schedule.last_task:
        return NoEffect(ScheduleReason.NOT_DUE)
    if schedule.last_tick is None or data.tick < schedule.last_tick:  # later, if the change has lowered the last tick
        return NoEffect(ScheduleReason.NOT_DUE)
    return replace(schedule, last_task=data.task_id, offset=offset)
