"""A worker's reads and writes of its claims, without the worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from pulp_events.topics import Topics
from pulp_worker.claims import Claims
from pulp_worker.connection import Connection
from pulp_worker.settings import Settings

from tests.support.assigned import assign
from tests.support.claim_rows import Placed, Row, insert


@asynccontextmanager
async def worker_claims(database: str, name: str = "w1") -> AsyncIterator[Claims]:
    """The reads and writes of a worker of that name."""
    settings = Settings(kafka="", postgres=database, topics=Topics.named("t"), storage=Path(), name=name, lease_s=60)
    connection = Connection(database, f"pulp-worker/{name}", timeout_s=settings.lease_s)
    claims = Claims(settings, connection)
    try:
        yield claims
    finally:
        await claims.close()
        await connection.close()


async def chain(database: str, states: list[str], *, uses: dict[str, bool]) -> tuple[UUID, list[UUID]]:
    """A hold of worker w1 with tasks in these states; the process, and the tasks."""
    instance_id = uuid4()
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        tasks = [
            Placed(Row(state, "echo", "default", 0, 0, 0, tuple(uses.items()), (), None), uuid4(), number)
            for number, state in enumerate(states)
        ]
        for task in tasks:
            await insert(connection, task, [])
        await assign(connection, *(task.task_id for task in tasks), instance_id=instance_id, uses=uses)
    return instance_id, [task.task_id for task in tasks]
