"""Rows of schedules ↔ schedules."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

import msgspec
from pulp_events.schedule import Schedule
from pulp_events.schedule_events import Definition

from pulp_projections.schedules.ticks import BadTimes, next_tick
from pulp_projections.sql import load
from pulp_projections.times import moment

_PARTS: Final = load("pulp_projections.schedules", "schedules.sql")
SQL: Final[dict[str, LiteralString]] = load(
    "pulp_projections.schedules", "schedules.sql", {"columns": _PARTS["columns"]}
)
"""The statements; `{conditions}` and `{order}` of the lists are still to be filled in."""
COLUMNS: Final = 14
_definition: Final = msgspec.json.Decoder(Definition).decode


def schedule_of(row: Sequence[Any]) -> Schedule:
    """The schedule in the first `COLUMNS` values of a row."""
    schedule_id, definition, version, created_by, created_at, updated_by, updated_at, since = row[:8]
    last_tick, pending, pending_missed, last_task, removed_at, last_offset = row[8:COLUMNS]
    return Schedule(
        schedule_id=schedule_id,
        definition=_definition(definition),
        version=version,
        created_by=created_by,
        created_at_ms=_ms(created_at),
        updated_by=updated_by,
        updated_at_ms=_ms(updated_at),
        since_ms=_ms(since),
        last_tick=_utc(last_tick),
        pending=_utc(pending),
        pending_missed=pending_missed,
        last_task=last_task,
        removed_at_ms=None if removed_at is None else _ms(removed_at),
        offset=last_offset,
    )


def values_of(schedule: Schedule) -> dict[str, Any]:
    """The values of the row, by name."""
    definition = schedule.definition
    return {
        "schedule_id": schedule.schedule_id,
        "name": definition.name,
        "operation": definition.task.operation,
        "enabled": definition.enabled,
        "definition": msgspec.json.encode(definition),
        "version": schedule.version,
        "created_by": schedule.created_by,
        "created_at": moment(schedule.created_at_ms),
        "updated_by": schedule.updated_by,
        "updated_at": moment(schedule.updated_at_ms),
        "since": moment(schedule.since_ms),
        "last_tick": schedule.last_tick,
        "pending": schedule.pending,
        "pending_missed": schedule.pending_missed,
        "last_task": schedule.last_task,
        "removed_at": moment(schedule.removed_at_ms),
        "next_tick": tick_to_come(schedule),
        "last_offset": schedule.offset,
    }


def tick_to_come(schedule: Schedule) -> datetime | None:
    """The next tick; None also where this machine cannot read its times, such as without its time zone."""
    if schedule.removed_at_ms is not None:
        return None
    try:
        return next_tick(schedule)
    except BadTimes:
        return None


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC)
