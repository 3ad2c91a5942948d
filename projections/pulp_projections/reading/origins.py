"""Reading the origins of tasks, for filters on their events."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.filters import Origin

from pulp_projections.sql import load

_ORIGINS: Final = load("pulp_projections.reading", "origins.sql")["origins"]


async def origins(connection: AsyncConnection, task_ids: Collection[UUID]) -> dict[UUID, Origin]:
    """The origins of those of these tasks that are projected, including purged ones.

    Before you take a missing one for a task without an `accepted`, wait until the projection has reached its event.
    """
    cursor = await connection.execute(_ORIGINS, {"task_ids": list(task_ids)})
    return {
        task_id: Origin(operation=operation, resources=tuple(resources), actor=actor, group_id=group_id)
        for task_id, operation, resources, actor, group_id in await cursor.fetchall()
    }
