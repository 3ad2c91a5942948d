"""Moments of the past as positions in the log.

A moment is the next offset of every partition. A time means, in each partition, everything before its first event that
is later by the broker's clock: so events in the log's order are there or not, also where a clock ran backwards.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, LiteralString, NamedTuple, TypeAlias
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import BeforeHistory, HistoryIncomplete
from pulp_events.task import Position

from pulp_projections.detached import detached, incomplete
from pulp_projections.reading.audit import CLOCK_SLACK, offsets_at
from pulp_projections.reading.queries import positions
from pulp_projections.sql import load
from pulp_projections.times import instant

_SQL: Final = load("pulp_projections.reading", "moments.sql")
Asked: TypeAlias = datetime | Position | Mapping[int, int]
"""A time of the brokers; just after an event, and of other partitions by its time; or the next offset by partition."""


class Moment(NamedTuple):
    """A moment in the log."""

    stops: Mapping[int, int]
    """Partition → next offset; a missing partition had no events."""
    time: datetime
    """The time that was asked for, or the latest that an event before the moment has."""
    latest: datetime
    """No event before the moment is later, unless clocks were wrong by more than `CLOCK_SLACK` allows."""
    earliest_after: datetime
    """No event after it is earlier, with the same allowance, not even one that is still to come."""


async def moment_of(connection: AsyncConnection, asked: Asked) -> Moment:
    """The moment, within the positions of the read model.

    Raises `BeforeHistory` before the first event, and `HistoryIncomplete` where events before it are gone.
    """
    stops = await stops_of(connection, asked)
    if months := (await detached(connection)).between({}, stops):
        raise incomplete(months, "lists of the past need all that came before")
    if (gone := await missing_before(connection, stops)) is not None:
        raise HistoryIncomplete(
            f"the history before this moment is not whole: the event {gone} is no longer in the read model, because"
            " that part of the history was archived. A later moment does not help; the archive tells what was"
        )
    values = {"partitions": list(stops), "stops": list(stops.values())}
    rows = await (await connection.execute(_SQL["around"], values)).fetchall()
    last = [before for _, before, _ in rows if before is not None]
    following = [after for _, _, after in rows if after is not None]
    if not last:
        first = f": the first event came at {instant(min(following))}" if following else ", and has not since"
        raise BeforeHistory(f"nothing had happened at this moment yet{first}")
    # In a partition without a later event, the next one will follow the last event.
    earliest = min(before if after is None else after for _, before, after in rows if before or after) - CLOCK_SLACK
    time = asked if isinstance(asked, datetime) else max(last)
    return Moment(stops, time, max(last) + CLOCK_SLACK, earliest)


async def stops_of(connection: AsyncConnection, asked: Asked) -> dict[int, int]:
    """The next offset of each partition at that moment.

    For a time it reads up to a day of the history, because brokers' clocks may have run backwards by half a day.
    """
    if isinstance(asked, Position):
        event = {"partition": asked.partition, "offset": asked.offset}
        found = await (await connection.execute(_SQL["time_of"], event)).fetchone()
        others = {} if found is None else await stops_of(connection, found[0])
        return {**others, asked.partition: asked.offset + 1}
    if not isinstance(asked, datetime):
        return {**dict.fromkeys(await positions(connection), 0), **asked}
    lows = await offsets_at(connection, asked)
    values = {"time": asked, "partitions": list(lows), "lows": list(lows.values())}
    return dict(await (await connection.execute(_SQL["at_time"], values)).fetchall())


async def stops_of_task(connection: AsyncConnection, task_id: UUID, time: datetime) -> dict[int, int]:
    """Stops that cut the events of a task and of its children as those of `stops_of` do; elsewhere they say nothing.

    It reads the task's own events. Others are read only where they may come between: in the partitions of the own ones,
    and of those only what is before the last own one by less than `CLOCK_SLACK`.
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


async def missing_before(connection: AsyncConnection, stops: Mapping[int, int]) -> Position | None:
    """None if the history is complete from offset 0 up to these stops, else a missing event.

    The history is only ever cut at its beginning, so it looks at the events that made the oldest tasks.
    """
    rows = await (await connection.execute(_SQL["first"])).fetchall()
    for partition, offset, _, is_there in sorted(rows, key=lambda row: row[2]):
        if not is_there and offset < stops.get(partition, 0):
            return Position(partition, offset)
    return None


def stop_of(stops: Mapping[int, int], alias: LiteralString) -> LiteralString:
    """The SQL of the stop in the partition of a row."""
    cases = " ".join(f"when {partition:d} then {stop:d}" for partition, stop in sorted(stops.items()))
    return f"(case {alias}.partition {cases} else 0 end)" if cases else "0"
