"""Writing the events of schedules into Postgres: the rows and the position in one transaction, so each event once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import PulpError, TopicMismatch, UndecodableRecord
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
from pulp_events.ordered_topic import TopicRange

from pulp_projections.schedules.stored import SQL, schedule_of, tick_to_come, values_of
from pulp_projections.times import clamped_ms, moment

APPLIED: Final = "applied"
_MAX_REASON: Final = 300


class SchedulesMoved(PulpError):
    """The position in Postgres is not the one reached here; nothing was written. Locate, and read again."""

    def __init__(self) -> None:
        super().__init__("the position of the schedules in Postgres is another one")


class ScheduleProjector:
    """Projects the topic of schedules over one connection in autocommit mode. Call `locate` first, and after errors."""

    def __init__(self, connection: AsyncConnection, topic: str) -> None:
        self.next_offset = 0
        """The position: the offset of the next record."""
        self._connection, self._topic = connection, topic
        self._topic_id = ""

    async def locate(self, found: TopicRange) -> int:
        """Read the position. Raises `TopicMismatch` if the rows are of another topic, or go beyond its end."""
        values = {"name": self._topic, "topic_id": found.topic_id}
        await self._connection.execute(SQL["adopt"], values)
        row = await (await self._connection.execute(SQL["topic"])).fetchone()
        assert row is not None
        name, topic_id, next_offset = row
        if topic_id != found.topic_id:
            raise TopicMismatch(
                f"topic {self._topic} (id {found.topic_id}) is not the one that the schedules in Postgres are from"
                f" ({name}, id {topic_id}): no schedule runs. If it is the right one: pulp-tasks schedules rebuild"
            )
        if not found.begin <= next_offset <= found.end:
            raise TopicMismatch(
                f"topic {self._topic} holds the offsets {found.begin} to {found.end}, and {next_offset} comes next: no"
                " schedule runs. Restore the topic; or, if it is the right one: pulp-tasks schedules rebuild"
            )
        self._topic_id, self.next_offset = topic_id, next_offset
        return self.next_offset

    async def project(self, records: Sequence[Record]) -> int:
        """Write the records that are not written yet; returns the position after them. Raises `SchedulesMoved`."""
        rest = [record for record in records if record.offset >= self.next_offset]
        if not rest:
            return self.next_offset
        end = rest[-1].offset + 1
        async with self._connection.transaction():
            values = {"expected": self.next_offset, "end": end, "topic_id": self._topic_id}
            if not await (await self._connection.execute(SQL["fence"], values)).fetchall():
                raise SchedulesMoved
            for record in rest:
                await self._write(record)
        self.next_offset = end
        return end

    async def check_position(self) -> None:
        """Raises `SchedulesMoved` if the position in Postgres is another one, such as after a failover."""
        row = await (await self._connection.execute(SQL["topic"])).fetchone()
        if row is None or row[2] != self.next_offset:
            raise SchedulesMoved

    async def renew_next_ticks(self) -> None:
        """Calculate the next ticks of all schedules anew: the time zone database may have changed."""
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
    """Empty the tables of schedules: the elected dispatcher fills them anew from the start of the topic."""
    async with connection.transaction():
        await connection.execute(SQL["forget"])


async def find_schedule(connection: AsyncConnection, schedule_id: UUID) -> Schedule | None:
    """The schedule, removed or not; None if there was never one."""
    row = await (await connection.execute(SQL["one"], {"schedule_id": schedule_id})).fetchone()
    return None if row is None else schedule_of(row)
