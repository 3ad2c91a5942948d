"""Healing one task: its rows become what its events in the log give, while the live projection goes on.

The task's partition is read from the start, beside the live projection. Then the position of the partition is locked,
the few records that have come since are read, and the rows are compared and replaced in that one transaction. So they
are those of exactly one position, and no batch is written twice or left out. The processor that writes the partition
notices, and reads again what it remembers of tasks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import MsgspecError
from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier
from pulp_events.codec import decode, key_of
from pulp_events.errors import OffsetOutOfRange, ReadModelUnavailable, UndecodableRecord
from pulp_events.events import Accepted, Event
from pulp_events.reader import Record
from pulp_events.task import Position, Task
from pulp_projections.away import AWAY, reason_of
from pulp_projections.daily.buckets import span_of
from pulp_projections.daily.fold import NEVER_RAN, Cell, cell_of, rows
from pulp_projections.detached import detached
from pulp_projections.generations import active_generation
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load
from pulp_projections.stored_tasks import load_tasks
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.large_batch import write_rows
from pulp_runtime.startup import prepare

from pulp_processor.rebuilding.compare import MISSING, Coordinates, Row, RowDifference
from pulp_processor.rebuilding.errors import RebuildRefused
from pulp_processor.rebuilding.generations import connected
from pulp_processor.rebuilding.log_reader import LogReader
from pulp_processor.rebuilding.progress import Phase, PhaseMeter, Report, report_nothing
from pulp_processor.rebuilding.rebuild import check_begin
from pulp_processor.settings import Settings

_SQL: Final = load("pulp_processor.rebuilding", "heal.sql")
_NEAR: Final = 2000
"""How many records may be left to read while the partition is locked."""
_STRETCH_S: Final = 10.0
"""How long the live projection of the partition may be held up."""
_EPOCH: Final = date(1970, 1, 1)


class _Table(NamedTuple):
    keys: tuple[str, ...]
    of_task: str
    """The statement's piece that finds the task's rows."""


_TABLES: Final[Mapping[str, _Table]] = {
    "tasks": _Table(("task_id",), "of_task"),
    "task_events": _Table(("partition", "record_offset"), "of_history"),
    "task_resources": _Table(("task_id", "resource", "access"), "of_task"),
    "task_causes": _Table(("task_id",), "of_task"),
}


@dataclass(slots=True)
class Healed:
    """The differences of a task, and whether they were replaced."""

    task_id: UUID
    generation: int
    position: Position
    """The task's partition, and the next offset at which rows and log were compared."""
    events: int
    """How many events of the task the log has in its partition."""
    task: Task | None
    """What they give; None if they do not begin with its acceptance."""
    differences: list[RowDifference] = field(default_factory=list)
    """`active` is what the rows said, `other` what the log says."""
    is_replaced: bool = False


class _Events(NamedTuple):
    """The records of a task in one partition before an offset."""

    partition: int
    records: list[Record]
    end: int

    @property
    def is_accepted(self) -> bool:
        return any(_is_acceptance(record) for record in self.records)


class _Place(NamedTuple):
    """The parameters of a task's statements."""

    connection: AsyncConnection
    generation: int
    task_id: UUID
    partition: int
    offsets: list[int]

    @property
    def schema(self) -> str:
        return schema_of(self.generation)

    @property
    def values(self) -> dict[str, Any]:
        return {"task_id": self.task_id, "partition": self.partition, "offsets": self.offsets}

    async def fetch(self, name: str, values: Mapping[str, Any] | None = None, **pieces: Any) -> list[Any]:
        statement = SQL(_SQL[name].rstrip(";")).format(schema=Identifier(self.schema), **pieces)
        cursor = await self.connection.execute(statement, self.values if values is None else values)
        return await cursor.fetchall() if cursor.description else []


_Act = Callable[[_Place, _Events], Awaitable[Healed]]


async def heal(settings: Settings, task_id: UUID, report: Report = report_nothing) -> Healed:
    """Compare the rows of a task with its events in the log, and replace them if they differ.

    Its row, its history in its partition, its resources and its cause are compared; the counters and the daily
    statistics are counted again where it stands in them. Raises `OffsetOutOfRange` if the log does not begin at offset
    0, `ArchiveError`, `RebuildRefused` if neither log nor rows know the task, or if batches kept the partition locked,
    `DependencyAway`, `TopicMismatch`, `ReadModelUnavailable`.
    """
    return await _locked(settings, task_id, report, _heal)


async def look(settings: Settings, task_id: UUID, report: Report = report_nothing) -> Healed:
    """Compare only, and change nothing. Raises what `heal` raises."""
    return await _locked(settings, task_id, report, _compare)


async def _locked(settings: Settings, task_id: UUID, report: Report, act: _Act) -> Healed:
    """What `act` finds in the task's rows and events, at a position that does not move meanwhile."""
    installed = await prepare(settings)
    await check_begin(settings, installed)
    async with connected(settings.postgres) as connection:
        try:
            found = await _read(connection, settings, task_id, installed.partitions, report)
            async with connection.transaction(), asyncio.timeout(_STRETCH_S):
                place, events = await _lock(connection, settings, task_id, found)
                return await act(place, events)
        except (TimeoutError, errors.LockNotAvailable) as error:
            raise RebuildRefused(
                f"nothing was changed of task {task_id}: the position of its partition was not free, or"
                f" the last records were not read, within {_STRETCH_S:g} s. Try again"
            ) from error
        except AWAY as error:
            raise ReadModelUnavailable(f"Postgres went away: {reason_of(error)}. Nothing was changed") from error


async def _read(
    connection: AsyncConnection, settings: Settings, task_id: UUID, partitions: int, report: Report
) -> _Events:
    """The task's records in its partition: where the rows say that it is, if it was accepted there; else anywhere."""
    generation = await active_generation(connection)
    if generation is None:
        raise RebuildRefused("the database has no active generation: start a processor first")
    place = _Place(connection, generation, task_id, 0, [])
    named = [row[0] for row in await place.fetch("partitions")]
    first: _Events | None = None
    for partition in [*named, *(other for other in range(partitions) if other not in named)]:
        found = await _read_partition(connection, settings, _Events(partition, [], 0), task_id, report)
        if found.is_accepted:
            return found
        first = first or found
    if first is None or not named:
        raise RebuildRefused(f"no task {task_id}: the log has no `accepted` of it, and the read model has no row")
    return first  # its events had no effect, and are in the history with their reasons


async def _read_partition(
    connection: AsyncConnection, settings: Settings, found: _Events, task_id: UUID, report: Report
) -> _Events:
    """Further records of the task, to within a few of what is projected."""
    while (end := await _position(connection, found.partition)) - found.end > (_NEAR if found.end else 0):
        found = await _read_on(settings, found, task_id, end, report)
    return found


async def _read_on(settings: Settings, found: _Events, task_id: UUID, end: int, report: Report) -> _Events:
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
    return _Events(found.partition, records, end)


async def _position(connection: AsyncConnection, partition: int) -> int:
    row = await (
        await connection.execute("select next_offset from positions where partition = %s", [partition])
    ).fetchone()
    if row is None:
        raise RebuildRefused(f"the read model has no position of partition {partition}")
    return int(row[0])


async def _lock(
    connection: AsyncConnection, settings: Settings, task_id: UUID, found: _Events
) -> tuple[_Place, _Events]:
    """Lock the position of the task's partition, in the caller's transaction, and read what has come up to it."""
    await connection.execute(f"set local lock_timeout = '{_STRETCH_S:g}s'")
    row = await (await connection.execute(_SQL["generation"])).fetchone()
    assert row is not None
    place = _Place(connection, row[0], task_id, found.partition, [])
    [(position,)] = await place.fetch("lock")
    # The position does not move from here on.
    if position < found.end:
        raise OffsetOutOfRange(
            f"the position of partition {found.partition} went back from {found.end} to {position}: a failover, or a"
            " rollback. Nothing was changed: try again"
        )
    # Kafka has the last events; what waits for the lock does not wait for the storage of an archive as well.
    kafka_alone = replace(settings, archive=None)
    found = await _read_on(kafka_alone, found, task_id, position, report_nothing)
    return place._replace(offsets=[record.offset for record in found.records]), found


async def _heal(place: _Place, events: _Events) -> Healed:
    before = await _task_of(place)
    found = await _compare(place, events)
    if found.differences:
        await _replace(place, list(dict.fromkeys(difference.table for difference in found.differences)))
        await _count_again(place, [task for task in (before, found.task) if task is not None])
        await place.fetch("tell")
        found.is_replaced = True
    return found


async def _compare(place: _Place, events: _Events) -> Healed:
    if letters := [str(Position(place.partition, offset)) for (offset,) in await place.fetch("letters")]:
        raise RebuildRefused(
            f"task {place.task_id} has dead letters ({', '.join(letters[:3])}): what follows them depends on when they"
            " were retried or discarded, so the task is not healed by itself. Rebuild the read model"
        )
    await place.fetch("prepare")
    task = await _fold(place, events.records)
    position = Position(events.partition, events.end)
    found = Healed(place.task_id, place.generation, position, len(events.records), task)
    for table in _TABLES:
        found.differences += await _differences(place, table)
    return found


async def _task_of(place: _Place) -> Task | None:
    """The task as its row in the generation says, if that can be read."""
    await place.connection.execute(SQL("set local search_path to {}, public").format(Identifier(place.schema)))
    try:
        async with place.connection.transaction():
            found = (await load_tasks(place.connection, [place.task_id])).get(place.task_id)
    except (KeyError, ValueError, AssertionError, MsgspecError):  # a state or JSON that no event could have given
        return None
    return found if found is not None and found.partition == place.partition else None


async def _fold(place: _Place, records: Sequence[Record]) -> Task | None:
    """Write what the records give into the temporary tables; the task that they give."""
    if not records:
        return None
    batch = BatchFold(records, {place.task_id}, {}, detached=await detached(place.connection))
    changes = await write_rows(place.connection, batch)
    return next(iter(changes.created), None)


async def _differences(place: _Place, table: str) -> list[RowDifference]:
    keys = _TABLES[table].keys
    ours, fresh = await _rows(place, table, place.schema), await _rows(place, table, "pg_temp")
    found = []
    for key in sorted(ours.keys() | fresh.keys(), key=str):
        live, log = ours.get(key), fresh.get(key)
        at = _coordinates(table, log or live or {})
        if live is None or log is None:
            there = ("missing", "there") if live is None else ("there", "missing")
            found.append(RowDifference(table, key, MISSING, *there, at))
            continue
        found += [
            RowDifference(table, key, column, live[column], log[column], at)
            for column in live
            if column not in keys and live[column] != log[column]
        ]
    return found


async def _rows(place: _Place, table: str, source: str) -> dict[tuple[str, ...], Row]:
    """The task's rows by key, each value as text."""
    columns = await _columns(place, table)
    keys = SQL(", ").join(SQL("t.{}::text").format(Identifier(name)) for name in _TABLES[table].keys)
    values = SQL(", ").join(SQL("t.{}::text").format(Identifier(name)) for name in columns)
    found = await place.fetch(
        "rows",
        keys=keys,
        columns=values,
        source=Identifier(source),
        table=Identifier(table),
        of_task=SQL(_SQL[_TABLES[table].of_task]),
    )
    width = len(_TABLES[table].keys)
    return {tuple(row[:width]): dict(zip(columns, row[width:], strict=True)) for row in found}


async def _columns(place: _Place, table: str) -> list[str]:
    [(columns,)] = await place.fetch("columns", {"schema": place.schema, "table": table})
    return list(columns)


async def _replace(place: _Place, tables: Sequence[str]) -> None:
    for table in tables:
        of_task = SQL(_SQL[_TABLES[table].of_task])
        names = SQL(", ").join(Identifier(name) for name in await _columns(place, table))
        await place.fetch("remove", table=Identifier(table), of_task=of_task)
        await place.fetch("insert", table=Identifier(table), columns=names)


async def _count_again(place: _Place, tasks: Sequence[Task]) -> None:
    """Count again what counts the task: as its row was, and as it is.

    Of the counters all states, since a processor that met the damaged row may have left any of them behind.
    """
    operations = {"operations": list({task.operation for task in tasks})}
    await place.fetch("forget_counts", {**place.values, **operations})
    await place.fetch("count", {**place.values, **operations})
    counted: dict[Cell, int] = {}
    for cell in {cell_of(task) for task in tasks if task.finished_at_ms is not None}:
        [(number,)] = await place.fetch("count_cell", _cell_values(cell))
        await place.fetch("remove_cell", _cell_values(cell))
        if number:
            counted[cell] = number
    await place.fetch("add_cells", {"days": rows(counted)})


def _cell_values(cell: Cell) -> dict[str, Any]:
    waited, ran = span_of(cell.waited), (NEVER_RAN, NEVER_RAN) if cell.ran == NEVER_RAN else span_of(cell.ran)
    return {
        **{"partition": cell.partition, "day": _EPOCH + timedelta(days=cell.day), "state": str(cell.state)},
        **{"operation": cell.kind.operation, "resources": list(cell.kind.resources), "kind": cell.kind.key},
        **{"waited": cell.waited, "waited_from": waited[0], "waited_to": waited[1]},
        **{"ran": cell.ran, "ran_from": ran[0], "ran_to": ran[1]},
    }


def _coordinates(table: str, row: Row) -> Coordinates | None:
    offset = row.get("record_offset" if table == "task_events" else "last_offset")
    partition, task_id = row.get("partition"), row.get("task_id")
    return None if partition is None or offset is None else Coordinates(partition, offset, task_id)


def _is_acceptance(record: Record) -> bool:
    try:
        event = decode(record.key, record.value)
    except UndecodableRecord:
        return False
    return isinstance(event, Event) and isinstance(event.data, Accepted)
