"""Which task runs which other one again. Of one task only: a list would look up each of its tasks for it."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from pulp_projections.sql import load

_SQL: Final = load("pulp_projections", "reruns.sql")


class Reruns(NamedTuple):
    """What a task runs again, and what runs it again."""

    rerun_of: UUID | None
    reruns: list[UUID]
    """In the order of acceptance."""


async def reruns(connection: AsyncConnection, task_id: UUID, *, until: datetime | None = None) -> Reruns:
    """The reruns of a task: all, or those that were accepted until a time. Empty if there is no such task."""
    cursor = await connection.execute(_SQL["reruns"], {"task_id": task_id, "until": until})
    row = await cursor.fetchone()
    assert row is not None
    return Reruns(*row)
