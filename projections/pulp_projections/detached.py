"""Months that were detached from the history. Only their events are elsewhere; the rows of all other tables stay."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import HistoryIncomplete
from pulp_events.reader import Record

from pulp_projections.sql import load
from pulp_projections.times import clamped_ms

SQL_OF_DETACHED: Final = load("pulp_projections", "detached.sql")


class Places(NamedTuple):
    """The first and last offset of a month's events in a partition, and their number."""

    partition: int
    first: int
    last: int
    events: int


class DetachedMonth(NamedTuple):
    """A month that was detached."""

    part: str
    since: datetime | None
    """None: from the beginning."""
    until: datetime
    ends: Mapping[int, int]
    """The position of each partition when it was detached."""
    places: tuple[Places, ...]
    is_kept: bool
    """Whether its rows are still in the database."""

    @property
    def name(self) -> str:
        """Its name in commands."""
        return self.part.replace("_", "-")


class Detached:
    """Which events are not in the history, because their month was detached."""

    def __init__(self, months: Collection[DetachedMonth] = ()) -> None:
        self.months = tuple(months)
        self._spans = [
            (0 if each.since is None else _ms(each.since), _ms(each.until), each.ends) for each in self.months
        ]
        self._newest_ms = max((until for _, until, _ in self._spans), default=0)

    def has(self, record: Record) -> bool:
        """Whether the record's event is one of them."""
        return self.has_at(record.partition, record.offset, record.timestamp_ms)

    def has_at(self, partition: int, offset: int, timestamp_ms: int) -> bool:
        """The same, for a record's place and time."""
        time_ms = clamped_ms(timestamp_ms)
        if time_ms >= self._newest_ms:
            return False
        return any(since <= time_ms < until and offset < ends.get(partition, 0) for since, until, ends in self._spans)

    def first(self, partition: int) -> int:
        """The first offset of a partition with a detached event; 0 if it has none."""
        return min(
            (place.first for month in self.months for place in month.places if place.partition == partition), default=0
        )

    def last(self, partition: int) -> int:
        """The last offset of a partition with a detached event; -1 if it has none."""
        return max(
            (place.last for month in self.months for place in month.places if place.partition == partition), default=-1
        )

    def between(
        self,
        starts: Mapping[int, int],
        stops: Mapping[int, int],
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[DetachedMonth]:
        """The months that have events between these offsets of the partitions and between these times."""
        return [
            month
            for month in self.months
            if (since is None or since < month.until)
            and (until is None or month.since is None or month.since < until)
            and any(
                starts.get(place.partition, 0) <= place.last and stops.get(place.partition, 0) > place.first
                for place in month.places
            )
        ]


NOTHING: Final = Detached()


def month_of(row: Any) -> DetachedMonth:
    """The month of a row of `months`."""
    part, since, until, ends, places, is_kept = row
    found = tuple(Places(**each) for each in places)
    return DetachedMonth(part, since, until, dict(enumerate(ends)), found, is_kept)


async def detached(connection: AsyncConnection) -> Detached:
    """The currently detached months."""
    rows = await (await connection.execute(SQL_OF_DETACHED["months"])).fetchall()
    return Detached([month_of(row) for row in rows]) if rows else NOTHING


async def detached_of(connection: AsyncConnection, task_id: UUID) -> Detached:
    """The detached months, if the task has events in one; else none."""
    found = await detached(connection)
    if not found.months:
        return NOTHING
    [(lacks,)] = await (await connection.execute(SQL_OF_DETACHED["lacks"], {"task_id": task_id})).fetchall()
    return found if lacks else NOTHING


async def check_whole(connection: AsyncConnection, task_id: UUID) -> None:
    """Raises `HistoryIncomplete` if events of a task were detached, so that no answer lacks them silently."""
    if months := (await detached_of(connection, task_id)).months:
        raise incomplete(months, f"task {task_id} has events of that time")


def incomplete(months: Collection[DetachedMonth], why: str) -> HistoryIncomplete:
    """The error for an answer that needs events of detached months; it says how to bring them back."""
    first, last = min(months, key=lambda each: each.until), max(months, key=lambda each: each.until)
    begin = "the events before" if first.since is None else f"the events from {first.since:%Y-%m-%d} to before"
    kept = [each.name for each in months if each.is_kept]
    lost = [each.name for each in months if not each.is_kept]
    ways = []
    if kept:
        ways.append(f"an administrator brings them back by pulp-tasks history attach {' '.join(kept)}")
    if lost:
        ways.append(
            f"the archive has those of {', '.join(lost)}, and an API that is started with PULP_ARCHIVE reads them"
        )
    return HistoryIncomplete(
        f"{begin} {last.until:%Y-%m-%d} were detached from the read model, and {why}: {'; '.join(ways)}"
    )


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
