"""Events of detached months, read from an archive in the form in which the history would return them.

The archive has the records, Postgres their effects: an event had an effect unless `detached_effects` says why not.
Memory holds one file of the archive and one page.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.codec import decode, key_of, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Event, UnknownEvent
from pulp_events.reader import Record
from pulp_events.task import Position

from pulp_projections.detached import Detached
from pulp_projections.sql import load
from pulp_projections.times import clamped_ms, moment

SQL_OF_ARCHIVED: Final = load("pulp_projections.reading", "archived.sql")
APPLIED: Final = "applied"
_LOOKED_AT: Final = 5000
"""How many offsets back to look first for the last event before a place."""


class RecordArchive(Protocol):
    """Records by partition and offset, as an archive has them."""

    def read(
        self, partition: int, start: int, end: int, *, keys: Collection[bytes] | None = None
    ) -> Iterator[list[Record]]:
        """The records of a partition from an offset on, and perhaps some after `end`; with `keys`, only records with
        these keys."""
        ...

    def times(self, partition: int, start: int, end: int) -> Iterator[list[tuple[int, int]]]:
        """Offset and broker's time of the records of a partition between two offsets, in order."""
        ...

    def count(self, partition: int, start: int, end: int) -> int:
        """The most records that `read` examines."""
        ...

    def first_after(self, partition: int, start: int, end: int, time_ms: int, slack_ms: int) -> int | None:
        """The offset of the first record after a time; None if there is none.

        It looks between `start` and `end`, but may find one elsewhere.
        """
        ...


class ArchivedEvent(NamedTuple):
    """An event of a detached month."""

    record: Record
    event: Event | UnknownEvent
    effect: str

    @property
    def type(self) -> str:
        """The event's wire type."""
        return type_of(self.event)


class Effects:
    """The effects of the records of a span of a partition."""

    def __init__(self, effects: Mapping[int, str | None]) -> None:
        self._effects = effects

    @classmethod
    async def of(cls, connection: AsyncConnection, partition: int, first: int, last: int) -> "Effects":
        """Those between two offsets, both included."""
        values = {"partition": partition, "first": first, "last": last}
        return cls(dict(await (await connection.execute(SQL_OF_ARCHIVED["effects"], values)).fetchall()))

    def is_event(self, offset: int) -> bool:
        """Whether the record at an offset is not among the dead letters."""
        return self._effects.get(offset, APPLIED) is not None

    def event(self, record: Record) -> ArchivedEvent | None:
        """The event of a record; None if it is among the dead letters."""
        effect = self._effects.get(record.offset, APPLIED)
        if effect is None:
            return None
        try:
            return ArchivedEvent(record, decode(record.key, record.value), effect)
        except UndecodableRecord:
            return None


async def next_records(batches: Iterator[list[Record]]) -> list[Record]:
    """The next records of an archive; [] at the end. The event loop runs other tasks meanwhile."""
    found: list[Record] = await asyncio.to_thread(next, batches, [])
    return found


async def events_of_task(
    connection: AsyncConnection,
    archive: RecordArchive,
    detached: Detached,
    task_id: UUID,
    after: Position | None = None,
) -> AsyncIterator[ArchivedEvent]:
    """The detached events of a task in log order, after a position."""
    rows = await (await connection.execute(SQL_OF_ARCHIVED["where"], {"task_id": task_id})).fetchall()
    for partition, begin, end in rows:
        is_behind = after is not None and partition == after.partition
        first = max(begin, after.offset + 1) if after is not None and is_behind else begin
        last = min(end, detached.last(partition))
        if first > last or (after is not None and partition < after.partition):
            continue
        async for event in events_of_tasks(connection, archive, detached, [task_id], partition, first, last):
            yield event


async def events_of_tasks(
    connection: AsyncConnection,
    archive: RecordArchive,
    detached: Detached,
    task_ids: Collection[UUID],
    partition: int,
    first: int,
    last: int,
) -> AsyncIterator[ArchivedEvent]:
    """The detached events of some tasks between two offsets of a partition, both included, in log order."""
    first = max(first, detached.first(partition))
    if first > last:
        return

    def decoded(records: Iterable[Record], effects: Effects) -> list[ArchivedEvent]:
        wanted = (each for each in records if each.offset <= last and detached.has(each))
        return [event for each in wanted if (event := effects.event(each)) is not None]

    batches = archive.read(partition, first, last + 1, keys={key_of(each) for each in task_ids})
    while records := await next_records(batches):
        # Of these records alone: a span may be the whole archive, and its effects would all be in memory.
        effects = await Effects.of(connection, partition, records[0].offset, records[-1].offset)
        for event in await asyncio.to_thread(decoded, records, effects):
            yield event


class TimedPlace(NamedTuple):
    """Where an event is, and when it came."""

    offset: int
    time: datetime


async def last_before(
    connection: AsyncConnection, archive: RecordArchive, detached: Detached, partition: int, stop: int
) -> TimedPlace | None:
    """The last detached event of a partition before an offset."""
    begin, end, width = detached.first(partition), min(stop, detached.last(partition) + 1), _LOOKED_AT
    while begin < end:
        start = max(begin, end - width)
        found: TimedPlace | None = None
        async for place in _places(connection, archive, detached, partition, start, end):
            found = place
        if found is not None:
            return found
        end, width = start, width * 10
    return None


async def first_from(
    connection: AsyncConnection, archive: RecordArchive, detached: Detached, partition: int, stop: int
) -> TimedPlace | None:
    """The first detached event of a partition from an offset on."""
    start = max(stop, detached.first(partition))
    async for place in _places(connection, archive, detached, partition, start, detached.last(partition) + 1):
        return place
    return None


async def _places(
    connection: AsyncConnection, archive: RecordArchive, detached: Detached, partition: int, start: int, end: int
) -> AsyncIterator[TimedPlace]:
    if start >= end:
        return
    batches = archive.times(partition, start, end)
    while found := await asyncio.to_thread(next, batches, None):
        effects = await Effects.of(connection, partition, found[0][0], found[-1][0])
        for offset, time_ms in found:
            if detached.has_at(partition, offset, time_ms) and effects.is_event(offset):
                yield TimedPlace(offset, moment(clamped_ms(time_ms)))
