"""A task as it was: the fold of its events up to a time or a position. Nothing cuts the history, so it is complete."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace
from psycopg import AsyncConnection
from pulp_events.codec import TYPES, decode, key_of
from pulp_events.events import Event, Progress
from pulp_events.task import Ignored, Position, Task, evolve

from pulp_projections.reading.queries import TaskRow, task_row
from pulp_projections.sql import load
from pulp_projections.times import moment

_SQL: Final = load("pulp_projections.reading", "as_of.sql")


async def task_as_of(connection: AsyncConnection, task_id: UUID, at: datetime | Position) -> TaskRow | None:
    """The task after all events up to a broker time or a position, both included; None if it did not exist yet."""
    values = {
        "task_id": task_id,
        "progress": TYPES[Progress],
        "at": at if isinstance(at, datetime) else None,
        "partition": at.partition if isinstance(at, Position) else None,
        "offset": at.offset if isinstance(at, Position) else None,
    }
    cursor = await connection.execute(_SQL["effective_events"], values)
    task: Task | None = None
    version = 0
    for partition, offset, timestamp_ms, value, version in await cursor.fetchall():  # noqa: B007  # of the last one
        event = decode(key_of(task_id), bytes(value))
        assert isinstance(event, Event)
        after = evolve(task, event, Position(partition, offset), timestamp_ms)
        assert not isinstance(after, Ignored), "an event that had an effect has one each time"
        task = after
    if task is None:
        return None
    until = moment(task.updated_at_ms)
    cursor = await connection.execute(_SQL["children"], {"task_id": task_id, "until": until, **values})
    return task_row(replace(task, version=version), [row[0] for row in await cursor.fetchall()])
