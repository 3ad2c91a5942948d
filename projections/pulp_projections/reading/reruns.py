"""Which task runs which other one again. Of one task only: a list would look up each of its tasks for it."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from pulp_projections.reading.queries import COLUMNS, TaskRow
from pulp_projections.sql import load

_BOTH_WAYS: Final = load("pulp_projections.reading", "reruns.sql")["both_ways"]
_RERUNS: Final = "select " + _BOTH_WAYS
_TASK: Final = "select " + _BOTH_WAYS + ", " + COLUMNS + " from tasks t where t.task_id = %(task_id)s"


class Reruns(NamedTuple):
    """What a task runs again, and what runs it again."""

    rerun_of: UUID | None
    reruns: list[UUID]
    """In the order of acceptance."""


async def reruns(connection: AsyncConnection, task_id: UUID, *, until: datetime | None = None) -> Reruns:
    """The reruns of a task: all, or those that were accepted until a time. Empty if there is no such task."""
    cursor = await connection.execute(_RERUNS, {"task_id": task_id, "until": until})
    row = await cursor.fetchone()
    assert row is not None
    return Reruns(*row)


async def task_and_reruns(connection: AsyncConnection, task_id: UUID) -> tuple[TaskRow, Reruns] | None:
    """A task with its reruns, in one round trip; None if there is no such task."""
    cursor = await connection.execute(_TASK, {"task_id": task_id, "until": None})
    row = await cursor.fetchone()
    return None if row is None else (TaskRow(*row[2:]), Reruns(*row[:2]))
