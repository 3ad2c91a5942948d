"""Healing one task: its rows become what its events in the log give, while the live projection goes on.

First the task's partition is read from the start, in parallel with the live projection. Then one transaction locks the
position of the partition, reads the few records that have come since, compares the rows and replaces them. So the rows
belong to exactly one position, and no batch is written twice or left out. The processor that writes the partition
notices, and discards its cached tasks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection, errors
from pulp_events.errors import OffsetOutOfRange, ReadModelUnavailable
from pulp_events.task import Position, Task
from pulp_projections.away import AWAY, reason_of
from pulp_projections.generations import active_generation
from pulp_runtime.startup import prepare

from pulp_processor.rebuilding.compare import RowDifference
from pulp_processor.rebuilding.errors import RebuildRefused
from pulp_processor.rebuilding.generations import connected
from pulp_processor.rebuilding.progress import Report, report_nothing
from pulp_processor.rebuilding.rebuild import check_begin
from pulp_processor.rebuilding.task_records import TaskRecords, read_near, read_on
from pulp_processor.rebuilding.task_rows import (
    TABLES,
    TaskStatements,
    count_again,
    differences_of,
    fold,
    lock_generation,
    replace_rows,
    task_of,
)
from pulp_processor.settings import Settings

_STRETCH_S: Final = 10.0
"""How long the live projection of the partition may be held up."""


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


_Act = Callable[[TaskStatements, TaskRecords], Awaitable[Healed]]


async def heal(settings: Settings, task_id: UUID, report: Report = report_nothing) -> Healed:
    """Compare the rows of a task with its events in the log, and replace them if they differ.

    Its row, its history in its partition, its resources and its cause are compared; the counters and the daily
    statistics that include it are counted again. Raises `OffsetOutOfRange` if the log does not begin at offset 0,
    `ArchiveError`, `RebuildRefused` if neither log nor rows know the task, or if batches kept the partition locked,
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
                statements, events = await _lock(connection, settings, task_id, found)
                return await act(statements, events)
        except (TimeoutError, errors.LockNotAvailable) as error:
            raise RebuildRefused(
                f"nothing was changed of task {task_id}: the position of its partition was not free, or"
                f" the last records were not read, within {_STRETCH_S:g} s. Try again"
            ) from error
        except AWAY as error:
            raise ReadModelUnavailable(f"Postgres went away: {reason_of(error)}. Nothing was changed") from error


async def _read(
    connection: AsyncConnection, settings: Settings, task_id: UUID, partitions: int, report: Report
) -> TaskRecords:
    """The task's records in its partition: the one that the rows name, if the task was accepted there; else any."""
    generation = await active_generation(connection)
    if generation is None:
        raise RebuildRefused("the database has no active generation: start a processor first")
    statements = TaskStatements(connection, generation, task_id, 0, [])
    named = [row[0] for row in await statements.fetch("partitions")]
    first: TaskRecords | None = None
    for partition in [*named, *(other for other in range(partitions) if other not in named)]:
        found = await read_near(connection, settings, TaskRecords(partition, [], 0), task_id, report)
        if found.is_accepted:
            return found
        first = first or found
    if first is None or not named:
        raise RebuildRefused(f"no task {task_id}: the log has no `accepted` of it, and the read model has no row")
    return first  # its events had no effect, and are in the history with their reasons


async def _lock(
    connection: AsyncConnection, settings: Settings, task_id: UUID, found: TaskRecords
) -> tuple[TaskStatements, TaskRecords]:
    """Lock the position of the task's partition, in the caller's transaction, and read the records up to it."""
    await connection.execute(f"set local lock_timeout = '{_STRETCH_S:g}s'")
    generation = await lock_generation(connection)
    statements = TaskStatements(connection, generation, task_id, found.partition, [])
    [(position,)] = await statements.fetch("lock")
    # The position does not move from here on.
    if position < found.end:
        raise OffsetOutOfRange(
            f"the position of partition {found.partition} went back from {found.end} to {position}: a failover, or a"
            " rollback. Nothing was changed: try again"
        )
    # Kafka has the last events; what waits for the lock does not wait for the storage of an archive as well.
    kafka_alone = replace(settings, archive=None)
    found = await read_on(kafka_alone, found, task_id, position, report_nothing)
    return statements._replace(offsets=[record.offset for record in found.records]), found


async def _heal(statements: TaskStatements, events: TaskRecords) -> Healed:
    before = await task_of(statements)
    found = await _compare(statements, events)
    if found.differences:
        await replace_rows(statements, list(dict.fromkeys(difference.table for difference in found.differences)))
        await count_again(statements, [task for task in (before, found.task) if task is not None])
        await statements.fetch("tell")
        found.is_replaced = True
    return found


async def _compare(statements: TaskStatements, events: TaskRecords) -> Healed:
    if letters := [str(Position(statements.partition, offset)) for (offset,) in await statements.fetch("letters")]:
        raise RebuildRefused(
            f"task {statements.task_id} has dead letters ({', '.join(letters[:3])}): what follows them depends on"
            " when they were retried or discarded, so the task is not healed by itself. Rebuild the read model"
        )
    await statements.fetch("prepare")
    task = await fold(statements, events.records)
    position = Position(events.partition, events.end)
    found = Healed(statements.task_id, statements.generation, position, len(events.records), task)
    for table in TABLES:
        found.differences += await differences_of(statements, table)
    return found
