"""Reading schedules: those that are due, lists, and the outcomes of ticks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.schedule import Schedule
from pulp_events.schedule_codec import decode_schedule_event, schedule_key
from pulp_events.schedule_events import Definition, ScheduleCreated

from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.schedules.stored import COLUMNS, SQL, schedule_of

LATE_S: Final = 60.0
"""After how long a tick that nobody has run is overdue."""
_RECENT: Final = 100
"""How many of the latest ticks count for the failures of a schedule."""


class ToDecide(NamedTuple):
    """A schedule with a tick that has come and is undecided."""

    schedule: Schedule
    is_last_running: bool
    """Whether its last task has not ended."""


class ListedSchedule(NamedTuple):
    """A schedule of a list."""

    schedule: Schedule
    next_tick: datetime | None


class SchedulePage(NamedTuple):
    """One page of a list."""

    rows: list[ListedSchedule]
    total: int


class ScheduleRun(NamedTuple):
    """The outcome of a tick."""

    schedule_id: UUID
    tick: datetime
    outcome: str
    """`due`, `submitted`, `refused`, `missed`, `still-running`, or `dropped` by a change of the schedule."""
    missed: int
    """The number of earlier ticks that passed without a task."""
    task_id: UUID | None
    reason: str | None
    """Why the task was refused."""
    decided_at: datetime
    state: str | None
    """The state of the task; None before it is projected."""
    error: str | None
    """The error of the task, as JSON."""

    @property
    def has_failed(self) -> bool | None:
        """Whether it did not succeed: refused, failed, cancelled or skipped; None while that is open."""
        if self.outcome == "refused":
            return True
        if self.state in ("failed", "cancelled", "skipped"):
            return True
        return False if self.state == "successful" else None


class SchedulesHealth(NamedTuple):
    """The health of an installation's schedules."""

    total: int
    enabled: int
    overdue: int
    """How many have a tick that nobody has run in time."""
    overdue_s: float | None
    """How late the latest of them is."""


async def time_of(connection: AsyncConnection) -> datetime:
    """The time by the clock of Postgres, which is one for all processes."""
    [(now,)] = await (await connection.execute(SQL["time"])).fetchall()
    assert isinstance(now, datetime)
    return now


async def to_decide(connection: AsyncConnection, now: datetime, *, most: int) -> list[ToDecide]:
    """The schedules with an undecided tick up to now, the most overdue first.

    A schedule whose due tick has no task yet is not among them.
    """
    rows = await (await connection.execute(SQL["to_decide"], {"now": now, "most": most})).fetchall()
    return [ToDecide(schedule_of(row), bool(row[COLUMNS])) for row in rows]


async def to_submit(connection: AsyncConnection, *, most: int) -> list[Schedule]:
    """The schedules with a due tick whose task is to be submitted; the most overdue first."""
    rows = await (await connection.execute(SQL["to_submit"], {"most": most})).fetchall()
    return [schedule_of(row) for row in rows]


async def effect_of_schedule_event(connection: AsyncConnection, offset: int) -> str | None:
    """The effect of an event: `applied`, or the reason for none; None if it is not projected yet."""
    row = await (await connection.execute(SQL["effect"], {"record_offset": offset})).fetchone()
    return None if row is None else str(row[0])


async def created_as(connection: AsyncConnection, schedule_id: UUID) -> Definition | None:
    """How a schedule was created, even if it was changed or removed since; None if it never existed."""
    row = await (await connection.execute(SQL["creation"], {"schedule_id": schedule_id})).fetchone()
    if row is None:
        return None
    data = decode_schedule_event(schedule_key(schedule_id), row[0]).data
    assert isinstance(data, ScheduleCreated)  # the fold accepts no other event first
    return data.definition


async def list_schedules(
    connection: AsyncConnection,
    conditions: Sequence[Condition] = (),
    *,
    order: LiteralString = "s.created_at desc, s.schedule_id desc",
    limit: int,
    offset: int = 0,
) -> SchedulePage:
    """A page of the schedules that are not removed."""
    where: LiteralString = " and ".join(["(" + each.sql + ")" for each in conditions] or ["true"])
    values = parameters_of(conditions)
    query = _filled("list", where, order)
    rows = await (await connection.execute(query, {**values, "limit": limit, "offset": offset})).fetchall()
    if rows or offset == 0:
        total = rows[0][COLUMNS + 1] if rows else 0
    else:
        [(total,)] = await (await connection.execute(_filled("count", where, order), values)).fetchall()
    return SchedulePage([ListedSchedule(schedule_of(row), row[COLUMNS]) for row in rows], total)


async def recent_runs(connection: AsyncConnection, schedule_ids: Sequence[UUID]) -> dict[UUID, list[ScheduleRun]]:
    """The latest ticks of each schedule, latest first."""
    values = {"schedule_ids": list(schedule_ids), "most": _RECENT}
    found: dict[UUID, list[ScheduleRun]] = {schedule_id: [] for schedule_id in schedule_ids}
    for row in await (await connection.execute(SQL["runs"], values)).fetchall():
        found[row[0]].append(ScheduleRun(*row))
    return found


async def page_of_runs(
    connection: AsyncConnection, schedule_id: UUID, *, limit: int, offset: int
) -> tuple[list[ScheduleRun], int]:
    """A page of the outcomes of a schedule's ticks, latest first, and how many there are."""
    values = {"schedule_id": schedule_id, "limit": limit, "offset": offset}
    rows = await (await connection.execute(SQL["page_of_runs"], values)).fetchall()
    [(total,)] = await (await connection.execute(SQL["count_runs"], values)).fetchall()
    return [ScheduleRun(*row) for row in rows], total


async def schedules_health(connection: AsyncConnection, *, late_s: float) -> SchedulesHealth:
    """The health of the schedules; a tick counts as overdue once it is this late."""
    [row] = await (await connection.execute(SQL["health"], {"late_s": late_s})).fetchall()
    return SchedulesHealth(*row)


def failures_in_a_row(runs: Sequence[ScheduleRun]) -> int:
    """How many of the latest tasks that have ended did not succeed, before the first that did."""
    count = 0
    for run in runs:
        if run.has_failed is None:
            continue
        if not run.has_failed:
            break
        count += 1
    return count


def _filled(name: str, where: LiteralString, order: LiteralString) -> LiteralString:
    return SQL[name].replace("{conditions}", where).replace("{order}", order)
