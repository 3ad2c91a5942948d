"""Reading which tasks rerun which. For a single task only: in a list each task would be looked up."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from pulp_projections.reading.queries import COLUMNS, TaskRow, row_of
from pulp_projections.sql import load

_BOTH_WAYS: Final = load("pulp_projections.reading", "reruns.sql")["both_ways"]
_RERUNS: Final = "select " + _BOTH_WAYS
_TASK: Final = "select " + _BOTH_WAYS + ", " + COLUMNS + " from tasks t where t.task_id = %(task_id)s"


class Reruns(NamedTuple):
    """The task that a task reruns, and the tasks that rerun it."""

    rerun_of: UUID | None
    reruns: list[UUID]
    """In the order of acceptance."""


async def reruns(connection: AsyncConnection, task_id: UUID, *, until: datetime | None = None) -> Reruns:
    """The reruns of a task: all, or those accepted until a time. Empty if the task does not exist."""
    cursor = await connection.execute(_RERUNS, {"task_id": task_id, "until": until})
    row = await cursor.fetchone()
    assert row is not None
    return Reruns(*row)


async def task_and_reruns(connection: AsyncConnection, task_id: UUID) -> tuple[TaskRow, Reruns] | None:
    """A task with its reruns, in one round trip; None if the task does not exist."""
    cursor = await connection.execute(_TASK, {"task_id": task_id, "until": None})
    row = await cursor.fetchone()
    return None if row is None else (row_of(row[2:]), Reruns(*row[:2]))
