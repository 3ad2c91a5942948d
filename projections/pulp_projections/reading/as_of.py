"""A task as it was: the fold of its events up to a time or a position. Nothing cuts the history, so all are there."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from pulp_events.codec import TYPES, decode, key_of
from pulp_events.events import Access, Event, Progress
from pulp_events.task import Ignored, Position, Task, evolve

from pulp_projections.reading.queries import TaskRow
from pulp_projections.sql import load

_SQL: Final = load("pulp_projections.reading", "as_of.sql")
_TO_MS: Final = 1000.0


async def task_as_of(connection: AsyncConnection, task_id: UUID, at: datetime | Position) -> TaskRow | None:
    """The task after all events up to a broker time, or up to a position and with it; None if it was not there yet."""
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
        assert not isinstance(after, Ignored), "an event that had an effect has one again"
        task = after
    if task is None:
        return None
    cursor = await connection.execute(
        _SQL["children"], {"task_id": task_id, "until": _time(task.updated_at_ms), **values}
    )
    return row_of(task, version=version, children=[row[0] for row in await cursor.fetchall()])


def row_of(task: Task, *, version: int, children: list[UUID]) -> TaskRow:
    """The row of a task."""
    return TaskRow(
        task_id=task.task_id,
        state=task.state,
        operation=task.operation,
        arguments=bytes(task.arguments).decode(),
        resources=msgspec.json.encode(task.resources).decode(),
        exclusive_resources=[item.key for item in task.resources if item.access is Access.EXCLUSIVE],
        shared_resources=[item.key for item in task.resources if item.access is Access.SHARED],
        tags=list(task.tags),
        queue=task.queue,
        priority=task.priority,
        group_id=task.group_id,
        parent_id=task.parent_id,
        depends_on=list(task.depends_on),
        timeout_seconds=task.timeout_seconds,
        created_by=task.created_by,
        correlation_id=task.correlation_id,
        accepted_at=_time(task.accepted_at_ms),
        updated_at=_time(task.updated_at_ms),
        started_at=_optional(task.started_at_ms),
        cancel_requested_at=_optional(task.cancel_requested_at_ms),
        finished_at=_optional(task.finished_at_ms),
        partition=task.partition,
        accepted_offset=task.accepted_offset,
        last_offset=task.offset,
        version=version,
        attempt=task.attempt,
        worker=task.worker,
        cancellable=task.cancellable,
        progress=bytes(task.progress).decode(),
        result=bytes(task.result).decode(),
        error=None if task.error is None else msgspec.json.encode(task.error).decode(),
        children=children,
    )


def _time(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / _TO_MS, UTC)


def _optional(timestamp_ms: int | None) -> datetime | None:
    return None if timestamp_ms is None else _time(timestamp_ms)
