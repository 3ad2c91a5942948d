"""Events of detached months, read from an archive in the form in which the history would return them.

The archive has the records, Postgres their effects: an event had an effect unless `detached_effects` says why not. In
memory are one file of the archive and one page.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
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

SQL_OF_ARCHIVED: Final = load("pulp_projections.reading", "archived.sql")
APPLIED: Final = "applied"


class RecordArchive(Protocol):
    """Records by partition and offset, as an archive has them."""

    def read(
        self, partition: int, start: int = 0, end: int | None = None, *, key: bytes | None = None
    ) -> Iterator[list[Record]]:
        """The records of a partition from an offset on, and perhaps some from `end` on; with `key` its own alone."""
        ...

    def first_after(self, partition: int, time_ms: int, slack_ms: int) -> int | None:
        """The offset of the first record that came after a time; None if there is none."""
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
    key = key_of(task_id)
    rows = await (await connection.execute(SQL_OF_ARCHIVED["where"], {"task_id": task_id})).fetchall()
    for partition, begin, end in rows:
        is_behind = after is not None and partition == after.partition
        first = max(begin, after.offset + 1) if after is not None and is_behind else begin
        last = min(end, detached.last(partition))
        if first > last or (after is not None and partition < after.partition):
            continue
        effects = await Effects.of(connection, partition, first, last)
        batches = archive.read(partition, first, last + 1, key=key)
        while records := await next_records(batches):
            for record in records:
                if record.offset <= last and detached.has(record) and (event := effects.event(record)) is not None:
                    yield event
