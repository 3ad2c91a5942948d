"""Writing the events of schedules into Postgres."""

from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import UndecodableRecord
from pulp_events.reader import Record
from pulp_events.schedule import NoEffect, Schedule, evolve_schedule, name_given_by
from pulp_events.schedule_codec import SCHEDULE_TYPES, decode_schedule_event
from pulp_events.schedule_events import (
    ScheduleChanged,
    ScheduleEvent,
    ScheduleRemoved,
    TickDue,
    TickRefused,
    TickSkipped,
    TickSubmitted,
)

from pulp_projections.schedules.stored import SQL, schedule_of, tick_to_come, values_of
from pulp_projections.times import clamped_ms, moment
from pulp_projections.topic_projector import TopicProjector, Words

APPLIED: Final = "applied"
_MAX_REASON: Final = 300


class ScheduleProjector(TopicProjector):
    """Projects the topic of schedules."""

    def __init__(self, connection: AsyncConnection, topic: str) -> None:
        words = Words("schedules", "no schedule runs", "pulp-tasks schedules rebuild")
        super().__init__(connection, topic, SQL, words)

    async def renew_next_ticks(self) -> None:
        """Recalculate the next ticks of all schedules, because the time zone database may have changed."""
        for row in await (await self._connection.execute(SQL["enabled"])).fetchall():
            schedule = schedule_of(row)
            values = {
                "schedule_id": schedule.schedule_id,
                "last_offset": schedule.offset,
                "next_tick": tick_to_come(schedule),
            }
            await self._connection.execute(SQL["set_next"], values)

    async def _write(self, record: Record) -> None:
        at = moment(clamped_ms(record.timestamp_ms))
        values = {"record_offset": record.offset, "broker_time": at, "event": record.value}
        try:
            event = decode_schedule_event(record.key, record.value)
        except UndecodableRecord as error:  # it has no effect, and stays in the topic
            unknown = dict.fromkeys(("schedule_id", "event_id", "type", "actor"))
            effect = error.reason.replace("\0", "")[:_MAX_REASON]
            await self._connection.execute(SQL["event"], {**values, **unknown, "effect": effect})
            return
        at_ms = clamped_ms(record.timestamp_ms)
        known = await find_schedule(self._connection, event.schedule_id)
        found = evolve_schedule(known, event, record.offset, at_ms, is_name_taken=await self._is_name_taken(event))
        effect = str(found.reason) if isinstance(found, NoEffect) else APPLIED
        about = {"schedule_id": event.schedule_id, "event_id": event.id, "type": SCHEDULE_TYPES[type(event.data)]}
        await self._connection.execute(SQL["event"], {**values, **about, "actor": event.actor, "effect": effect})
        if not isinstance(found, NoEffect):
            await self._connection.execute(SQL["put"], values_of(found))
            await self._note_run(event, known, at)

    async def _is_name_taken(self, event: ScheduleEvent) -> bool:
        name = name_given_by(event.data)
        if name is None:
            return False
        values = {"name": name, "schedule_id": event.schedule_id}
        row = await (await self._connection.execute(SQL["is_name_taken"], values)).fetchone()
        return row is not None and bool(row[0])

    async def _note_run(self, event: ScheduleEvent, before: Schedule | None, at: datetime) -> None:
        run: dict[str, object] = {"missed": 0, "task_id": None, "reason": None}
        match event.data:
            case TickDue(tick=tick, missed=missed):
                run |= {"tick": tick, "outcome": "due", "missed": missed}
            case TickSkipped(tick=tick, missed=missed, reason=why):
                run |= {"tick": tick, "outcome": why.value, "missed": missed}
            case TickSubmitted(tick=tick, task_id=task_id):
                run |= {"tick": tick, "outcome": "submitted", "task_id": task_id}
            case TickRefused(tick=tick, reason=reason):
                run |= {"tick": tick, "outcome": "refused", "reason": reason}
            case ScheduleChanged() | ScheduleRemoved() if before is not None and before.pending is not None:
                run |= {"tick": before.pending, "outcome": "dropped"}
            case _:
                return
        run |= {"schedule_id": event.schedule_id, "decided_at": at}
        await self._connection.execute(SQL["run"], run)


async def forget_schedules(connection: AsyncConnection) -> None:
    """Empty the tables of schedules: the elected dispatcher fills them again from the start of the topic."""
    async with connection.transaction():
        await connection.execute(SQL["forget"])


async def find_schedule(connection: AsyncConnection, schedule_id: UUID) -> Schedule | None:
    """The schedule, removed or not; None if there was never one."""
    row = await (await connection.execute(SQL["one"], {"schedule_id": schedule_id})).fetchone()
    return None if row is None else schedule_of(row)
