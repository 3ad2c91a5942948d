"""Tasks read back from their rows, for the fold and for decisions."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection
from pulp_events.task import Task

from pulp_projections.sql import load, uuid_array
from pulp_projections.task_columns import COLUMNS, SQL_LISTS, Column, compiled

T = TypeVar("T", bound=Task)
_SQL: Final = load("pulp_projections", "stored_tasks.sql", SQL_LISTS)


async def load_tasks(connection: AsyncConnection, task_ids: Iterable[UUID]) -> dict[UUID, Task]:
    """The tasks that have a row, by id. Read from the tables of the connection's search path."""
    cursor = await connection.execute(_SQL["load"], {"task_ids": uuid_array(task_ids)})
    return {row[0]: _task(row) for row in await cursor.fetchall()}


def decoder(make: type[T], columns: Sequence[Column], *further: str) -> Callable[[Sequence[Any]], T]:
    """The function that turns a row into a task: the columns as `task_columns.selected` reads them, then `further`.

    A derived column becomes the field of its own name.
    """
    names: dict[str, object] = {"make": make}
    values: list[str] = []
    for index, column in enumerate(columns):
        field = column.name if column.derive else column.source
        if (convert := _conversion(column)) is None:
            values.append(f"{field}=row[{index}]")
        else:
            names[f"to_{field}"] = convert
            is_null = f"None if row[{index}] is None else " if column.is_nullable else ""
            values.append(f"{field}={is_null}to_{field}(row[{index}])")
    values += [f"{field}=row[{index}]" for index, field in enumerate(further, len(columns))]
    return compiled("row", f"make({', '.join(values)})", names)


def _conversion(column: Column) -> Callable[[Any], Any] | None:
    """Converts psycopg's value to the field's value; None if they are the same."""
    if column.type == "json":
        return _raw if column.python_type is Raw else msgspec.json.Decoder(column.python_type).decode
    if column.type in ("text[]", "uuid[]"):
        return tuple
    if column.type == "text" and column.python_type is not str:
        return {str(member): member for member in column.python_type}.__getitem__
    return None


def _raw(text: str) -> Raw:
    return Raw(text.encode())


_task: Final = decoder(Task, [column for column in COLUMNS if column.derive is None])
