"""The rows of one task in the active generation: compared with what its records give, and replaced."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import MsgspecError
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from pulp_events.reader import Record
from pulp_events.task import Task
from pulp_projections.daily.buckets import span_of
from pulp_projections.daily.fold import NEVER_RAN, Cell, cell_of, rows
from pulp_projections.detached import detached
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load
from pulp_projections.stored_tasks import load_tasks
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.large_batch import write_rows

from pulp_processor.rebuilding.compare import MISSING, Coordinates, Row, RowDifference

_SQL: Final = load("pulp_processor.rebuilding", "heal.sql")
_EPOCH: Final = date(1970, 1, 1)


class _Table(NamedTuple):
    keys: tuple[str, ...]
    of_task: str
    """The statement's piece that finds the task's rows."""


TABLES: Final[Mapping[str, _Table]] = {
    "tasks": _Table(("task_id",), "of_task"),
    "task_events": _Table(("partition", "record_offset"), "of_history"),
    "task_resources": _Table(("task_id", "resource", "access"), "of_task"),
    "task_causes": _Table(("task_id",), "of_task"),
}


class TaskStatements(NamedTuple):
    """Runs the statements about one task."""

    connection: AsyncConnection
    generation: int
    task_id: UUID
    partition: int
    offsets: list[int]

    @property
    def schema(self) -> str:
        """The schema of the generation's tables."""
        return schema_of(self.generation)

    @property
    def values(self) -> dict[str, Any]:
        """The parameters that the statements share."""
        return {"task_id": self.task_id, "partition": self.partition, "offsets": self.offsets}

    async def fetch(self, name: str, values: Mapping[str, Any] | None = None, **pieces: Any) -> list[Any]:
        """Run a statement of `heal.sql`; its rows, if it has any."""
        statement = SQL(_SQL[name].rstrip(";")).format(schema=Identifier(self.schema), **pieces)
        cursor = await self.connection.execute(statement, self.values if values is None else values)
        return await cursor.fetchall() if cursor.description else []


async def task_of(statements: TaskStatements) -> Task | None:
    """The task according to its row in the generation, if that is readable."""
    await statements.connection.execute(
        SQL("set local search_path to {}, public").format(Identifier(statements.schema))
    )
    try:
        async with statements.connection.transaction():
            found = (await load_tasks(statements.connection, [statements.task_id])).get(statements.task_id)
    except (KeyError, ValueError, AssertionError, MsgspecError):  # a state or JSON that no event could have given
        return None
    return found if found is not None and found.partition == statements.partition else None


async def fold(statements: TaskStatements, records: Sequence[Record]) -> Task | None:
    """Fold the records into the temporary tables, and return the resulting task."""
    if not records:
        return None
    batch = BatchFold(records, {statements.task_id}, {}, detached=await detached(statements.connection))
    changes = await write_rows(statements.connection, batch)
    return next(iter(changes.created), None)


async def differences_of(statements: TaskStatements, table: str) -> list[RowDifference]:
    """Compare the task's rows in a table with those that its records give."""
    keys = TABLES[table].keys
    ours, fresh = await _rows(statements, table, statements.schema), await _rows(statements, table, "pg_temp")
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


async def replace_rows(statements: TaskStatements, tables: Sequence[str]) -> None:
    """Replace the task's rows in these tables with those that its records give."""
    for table in tables:
        of_task = SQL(_SQL[TABLES[table].of_task])
        names = SQL(", ").join(Identifier(name) for name in await _columns(statements, table))
        await statements.fetch("remove", table=Identifier(table), of_task=of_task)
        await statements.fetch("insert", table=Identifier(table), columns=names)


async def count_again(statements: TaskStatements, tasks: Sequence[Task]) -> None:
    """Recompute the counts that include the task, as its row was and as it is.

    For counters, this covers all states, since a processor that met the damaged row may have counted it in any of them.
    """
    operations = {"operations": list({task.operation for task in tasks})}
    await statements.fetch("forget_counts", {**statements.values, **operations})
    await statements.fetch("count", {**statements.values, **operations})
    counted: dict[Cell, int] = {}
    for cell in {cell_of(task) for task in tasks if task.finished_at_ms is not None}:
        [(number,)] = await statements.fetch("count_cell", _cell_values(cell))
        await statements.fetch("remove_cell", _cell_values(cell))
        if number:
            counted[cell] = number
    await statements.fetch("add_cells", {"days": rows(counted)})


async def _rows(statements: TaskStatements, table: str, source: str) -> dict[tuple[str, ...], Row]:
    """The task's rows by key, each value as text."""
    columns = await _columns(statements, table)
    keys = SQL(", ").join(SQL("t.{}::text").format(Identifier(name)) for name in TABLES[table].keys)
    values = SQL(", ").join(SQL("t.{}::text").format(Identifier(name)) for name in columns)
    found = await statements.fetch(
        "rows",
        keys=keys,
        columns=values,
        source=Identifier(source),
        table=Identifier(table),
        of_task=SQL(_SQL[TABLES[table].of_task]),
    )
    width = len(TABLES[table].keys)
    return {tuple(row[:width]): dict(zip(columns, row[width:], strict=True)) for row in found}


async def _columns(statements: TaskStatements, table: str) -> list[str]:
    [(columns,)] = await statements.fetch("columns", {"schema": statements.schema, "table": table})
    return list(columns)


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


async def lock_generation(connection: AsyncConnection) -> int:
    """The active generation, which stays the active one to the end of the caller's transaction."""
    row = await (await connection.execute(_SQL["generation"])).fetchone()
    assert row is not None
    return int(row[0])
