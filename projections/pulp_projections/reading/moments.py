"""Moments of the past as positions in the log.

A moment is the next offset of every partition. A time means, in each partition, everything before its first event that
is later by the broker's clock. So events are included strictly in the order of the log, even if a clock ran backwards.
"""

import asyncio
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final, LiteralString, NamedTuple, TypeAlias
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import BeforeHistory, HistoryIncomplete
from pulp_events.task import Position

from pulp_projections.detached import NOTHING, Detached, detached, incomplete
from pulp_projections.reading import archived
from pulp_projections.reading.archived import RecordArchive, TimedPlace
from pulp_projections.reading.audit import CLOCK_SLACK, offsets_at
from pulp_projections.reading.queries import positions
from pulp_projections.sql import load
from pulp_projections.times import instant

_SQL: Final = load("pulp_projections.reading", "moments.sql")
Asked: TypeAlias = datetime | Position | Mapping[int, int]
"""A time of the brokers; just after an event, with other partitions by its time; or the next offset by partition."""


class Moment(NamedTuple):
    """A moment in the log."""

    stops: Mapping[int, int]
    """Partition → next offset; a missing partition had no events."""
    time: datetime
    """The requested time, or the time of the latest event before the moment."""
    latest: datetime
    """No event before the moment is later, unless clocks were wrong by more than `CLOCK_SLACK` allows."""
    earliest_after: datetime
    """No event after it is earlier, with the same allowance, not even one that is still to come."""


async def moment_of(connection: AsyncConnection, asked: Asked, archive: RecordArchive | None = None) -> Moment:
    """The moment, within the positions of the read model.

    Raises `BeforeHistory` before the first event, and `HistoryIncomplete` if events before it are gone and `archive`
    does not have them either.
    """
    past = PastEvents(connection, await detached(connection), archive)
    stops = await past.stops_of(asked)
    if archive is None and (months := past.detached.between({}, stops)):
        raise incomplete(months, "lists of the past need all that came before")
    if (gone := await missing_before(connection, stops, past.detached)) is not None:
        raise HistoryIncomplete(
            f"the history before this moment is not whole: the event {gone} is no longer in the read model, because"
            " that part of the history was archived. A later moment does not help; the archive tells what was"
        )
    around = await past.around(stops)
    last = [each.before for each in around if each.before is not None]
    following = [each.after for each in around if each.after is not None]
    if not last:
        first = f": the first event came at {instant(min(following))}" if following else ", and has not since"
        raise BeforeHistory(f"nothing had happened at this moment yet{first}")
    # In a partition without a later event, the next one will follow the last event.
    earliest = min(time for each in around if (time := each.after or each.before) is not None) - CLOCK_SLACK
    time = asked if isinstance(asked, datetime) else max(last)
    return Moment(stops, time, max(last) + CLOCK_SLACK, earliest)


class Around(NamedTuple):
    """The times of the last event of a partition before a stop, and of the first one from it on."""

    before: datetime | None
    after: datetime | None


class PastEvents:
    """The places and times of events, in the history and in what was detached from it."""

    def __init__(
        self, connection: AsyncConnection, missing: Detached = NOTHING, archive: RecordArchive | None = None
    ) -> None:
        """Without an archive it covers only the history."""
        self._connection = connection
        self.detached = missing
        self._archive = archive if missing.months else None

    async def stops_of(self, asked: Asked) -> dict[int, int]:
        """The next offset of each partition at that moment.

        For a time it reads up to a day of the history, because brokers' clocks may have run backwards by half a day.
        """
        if isinstance(asked, Position):
            time = await self._time_of(asked)
            others = {} if time is None else await self.stops_of(time)
            return {**others, asked.partition: asked.offset + 1}
        if not isinstance(asked, datetime):
            return {**dict.fromkeys(await positions(self._connection), 0), **asked}
        lows = await offsets_at(self._connection, asked)
        values = {"time": asked, "partitions": list(lows), "lows": list(lows.values())}
        stops: dict[int, int] = dict(await (await self._connection.execute(_SQL["at_time"], values)).fetchall())
        return await self._archived_stops(asked, stops)

    async def around(self, stops: Mapping[int, int]) -> list[Around]:
        """What is on either side of each stop."""
        values = {"partitions": list(stops), "stops": list(stops.values())}
        rows = await (await self._connection.execute(_SQL["around"], values)).fetchall()
        return [await self._around(*row) for row in rows]

    async def _time_of(self, asked: Position) -> datetime | None:
        event = {"partition": asked.partition, "offset": asked.offset}
        row = await (await self._connection.execute(_SQL["time_of"], event)).fetchone()
        place = None if row is None else TimedPlace(*row)
        found = await self._last_before(asked.partition, asked.offset + 1, place)
        return None if found is None else found.time

    async def _archived_stops(self, asked: datetime, stops: dict[int, int]) -> dict[int, int]:
        """The stops of a time that may be in a detached month, whose events the history does not have."""
        if self._archive is None or asked >= max(each.until for each in self.detached.months) + CLOCK_SLACK:
            return stops
        slack_ms, at_ms = round(CLOCK_SLACK.total_seconds() * 1000), math.floor(asked.timestamp() * 1000)
        found = dict(stops)
        for partition, stop in stops.items():
            first, end = self.detached.first(partition), self.detached.last(partition) + 1
            if first < min(end, stop):
                later = await asyncio.to_thread(self._archive.first_after, partition, first, end, at_ms, slack_ms)
                found[partition] = stop if later is None else min(stop, later)
        return found

    async def _around(
        self,
        partition: int,
        stop: int,
        before: int | None,
        before_time: datetime | None,
        after: int | None,
        after_time: datetime | None,
    ) -> Around:
        place = None if before is None or before_time is None else TimedPlace(before, before_time)
        last = await self._last_before(partition, stop, place)
        if self._archive is not None and self.detached.last(partition) >= stop:
            first = await archived.first_from(self._connection, self._archive, self.detached, partition, stop)
            if first is not None and (after is None or first.offset < after):
                after_time = first.time
        return Around(None if last is None else last.time, after_time)

    async def _last_before(self, partition: int, stop: int, known: TimedPlace | None) -> TimedPlace | None:
        """The last event before a stop, given the history's as `known`."""
        if self._archive is None or (known is not None and self.detached.last(partition) <= known.offset):
            return known
        found = await archived.last_before(self._connection, self._archive, self.detached, partition, stop)
        return max((each for each in (known, found) if each is not None), default=None)


async def stops_of_task(connection: AsyncConnection, task_id: UUID, time: datetime) -> dict[int, int]:
    """Stops that cut the events of a task and of its children as those of `stops_of` do, but mean nothing for other
    tasks.

    It reads the task's own events. It reads others only where they may come between: in the partitions of the task's
    own events, and only less than `CLOCK_SLACK` before the last one.
    """
    own = {"task_id": task_id, "time": time}
    lasts: dict[int, int] = dict(await (await connection.execute(_SQL["own"], own)).fetchall())
    if not lasts:
        return {}
    lows = await offsets_at(connection, time)
    values = {
        "time": time,
        "partitions": list(lasts),
        "lows": [lows.get(partition, 0) for partition in lasts],
        "lasts": list(lasts.values()),
    }
    return dict(await (await connection.execute(_SQL["cut"], values)).fetchall())


async def missing_before(
    connection: AsyncConnection, stops: Mapping[int, int], missing: Detached = NOTHING
) -> Position | None:
    """None if the history is complete from offset 0 up to these stops, but for detached months, else a missing event.

    The history is only ever cut at its beginning, so it checks the events that created the oldest tasks.
    """
    rows = await (await connection.execute(_SQL["first"])).fetchall()
    for partition, offset, time, is_there in sorted(rows, key=lambda row: row[2]):
        is_detached = missing.has_at(partition, offset, round(time.timestamp() * 1000))
        if not is_there and not is_detached and offset < stops.get(partition, 0):
            return Position(partition, offset)
    return None


def stop_of(stops: Mapping[int, int], alias: LiteralString) -> LiteralString:
    """The SQL of the stop in the partition of a row."""
    cases = " ".join(f"when {partition:d} then {stop:d}" for partition, stop in sorted(stops.items()))
    return f"(case {alias}.partition {cases} else 0 end)" if cases else "0"
