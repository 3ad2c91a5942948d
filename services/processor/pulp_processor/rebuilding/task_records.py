"""The records of one task in the log, read up to a position of the read model."""

from typing import Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.codec import decode, key_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Accepted, Event
from pulp_events.reader import Record

from pulp_processor.rebuilding.errors import RebuildRefused
from pulp_processor.rebuilding.log_reader import LogReader
from pulp_processor.rebuilding.progress import Phase, PhaseMeter, Report
from pulp_processor.settings import Settings

_NEAR: Final = 2000
"""How many records may be left to read while the partition is locked."""


class TaskRecords(NamedTuple):
    """The records of a task in one partition before an offset."""

    partition: int
    records: list[Record]
    end: int

    @property
    def is_accepted(self) -> bool:
        """Whether the task's acceptance is among them."""
        return any(_is_acceptance(record) for record in self.records)


async def read_near(
    connection: AsyncConnection, settings: Settings, found: TaskRecords, task_id: UUID, report: Report
) -> TaskRecords:
    """Read further records of the task, up to a few before what is projected."""
    while (end := await position_of(connection, found.partition)) - found.end > (_NEAR if found.end else 0):
        found = await read_on(settings, found, task_id, end, report)
    return found


async def read_on(settings: Settings, found: TaskRecords, task_id: UUID, end: int, report: Report) -> TaskRecords:
    """With the task's records up to an offset. Raises `DependencyAway`, `OffsetOutOfRange`, `ArchiveError`."""
    if found.end >= end:
        return found
    key = key_of(task_id)
    records = found.records.copy()
    meter = PhaseMeter(report, Phase.READING, {found.partition: end}, {found.partition: found.end})
    place = (settings.topics.events, found.partition, found.end, settings.archive)
    async with LogReader(settings.kafka, *place) as reader:
        while batch := await reader.read(end, most=settings.batch_records):
            records += [record for record in batch if record.key == key]
            meter.moved(found.partition, reader.next_offset)
    return TaskRecords(found.partition, records, end)


async def position_of(connection: AsyncConnection, partition: int) -> int:
    """The partition's next offset in the active generation. Raises `RebuildRefused` if it has none."""
    row = await (
        await connection.execute("select next_offset from positions where partition = %s", [partition])
    ).fetchone()
    if row is None:
        raise RebuildRefused(f"the read model has no position of partition {partition}")
    return int(row[0])


def _is_acceptance(record: Record) -> bool:
    try:
        event = decode(record.key, record.value)
    except UndecodableRecord:
        return False
    return isinstance(event, Event) and isinstance(event.data, Accepted)
