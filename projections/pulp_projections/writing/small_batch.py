"""A small batch in one statement: with few records the round trips of a transaction cost more than its rows."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from psycopg import AsyncConnection
from pulp_events.events import Access
from pulp_events.reader import Record
from pulp_events.task import Task

from pulp_projections.schemas import schema_of
from pulp_projections.sql import load
from pulp_projections.writing.binary_copy import clamped_ms
from pulp_projections.writing.fold import Changes, HistoryRow, Kind
from pulp_projections.writing.uses import Use, uses

_SQL = load("pulp_projections.writing", "small_batch.sql")
MOST_RECORDS: Final = 100
_MOST_BYTES: Final = 256 * 1024
_json = msgspec.json.Encoder().encode


class Place(NamedTuple):
    """Where a batch belongs."""

    generation: int
    partition: int
    expected: int
    """The position before it."""
    end: int
    """The position after it."""

    @property
    def payload(self) -> str:
        """What readers are notified of."""
        return f"{self.generation} {self.partition} {self.end}"


class Written(NamedTuple):
    """Whether the batch was written: both are true, or nothing was."""

    is_active: bool
    """The generation is the active one."""
    is_at: bool
    """The position was the one expected."""


def is_small(records: Sequence[Record]) -> bool:
    """Whether `write` may write what they change, if none of them is a dead letter, or makes a task that runs another
    one again: both are rare, and the statement is for what comes all the time."""
    return len(records) <= MOST_RECORDS and sum(len(record.value or b"") for record in records) <= _MOST_BYTES


async def prepare(connection: AsyncConnection, generation: int) -> None:
    """Make a connection write the tables of a generation. It is not for anything else then."""
    await connection.execute(_SQL["prepare"], {"schema": schema_of(generation)})


async def write(
    connection: AsyncConnection, place: Place, history: Iterable[HistoryRow], changes: Changes, *, wakes: bool
) -> Written:
    """Write the rows and move the position, or do nothing; outside of a transaction. `wakes`: tell the workers."""
    values = {
        **place._asdict(),
        "payload": place.payload,
        "wakes": wakes,
        "history": _json([_history(row) for row in history]).decode(),
        "created": _json([_created(task) for task in changes.created]).decode(),
        "uses": _json([_use(task, use) for task in changes.created for use in uses(task.resources)]).decode(),
        "updated": _json([_changing(task) for task in changes.updated]).decode(),
        "updated_ids": f"{{{','.join([str(task.task_id) for task in changes.updated])}}}",
        "counts": _json([_count(kind, change) for kind, change in changes.counts.items()]).decode(),
    }
    row = await (await connection.execute(_SQL["write"], values)).fetchone()
    assert row is not None
    return Written(row[0], row[1])


def _history(row: HistoryRow) -> dict[str, Any]:
    return {
        "record_offset": row.record.offset,
        "task_id": row.event.task_id,
        "event_id": row.event.id,
        "type": row.type,
        "event_time": row.event.time.astimezone(UTC),
        "broker_time": _time_text(row.record.timestamp_ms),
        "actor": row.event.actor,
        "effect": row.effect,
        "event": "\\x" + (row.record.value or b"").hex(),
    }


def _changing(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "state": task.state,
        "updated_at": _time_text(task.updated_at_ms),
        "started_at": _time(task.started_at_ms),
        "cancel_requested_at": _time(task.cancel_requested_at_ms),
        "finished_at": _time(task.finished_at_ms),
        "last_offset": task.offset,
        "version": task.version,
        "attempt": task.attempt,
        "attempt_id": task.attempt_id,
        "worker": task.worker,
        "cancellable": task.cancellable,
        "sequence": task.sequence,
        "progress": task.progress,
        "result": task.result,
        "error": task.error,
    }


def _created(task: Task) -> dict[str, Any]:
    return {
        **_changing(task),
        "operation": task.operation,
        "arguments": task.arguments,
        "resources": task.resources,
        "exclusive_resources": [item.key for item in task.resources if item.access is Access.EXCLUSIVE],
        "shared_resources": [item.key for item in task.resources if item.access is Access.SHARED],
        "tags": task.tags,
        "queue": task.queue,
        "priority": task.priority,
        "group_id": task.group_id,
        "parent_id": task.parent_id,
        "depends_on": task.depends_on,
        "timeout_seconds": task.timeout_seconds,
        "created_by": task.created_by,
        "correlation_id": task.correlation_id,
        "accepted_at": _time_text(task.accepted_at_ms),
        "partition": task.partition,
        "accepted_offset": task.accepted_offset,
    }


def _use(task: Task, use: Use) -> dict[str, Any]:
    return {**use._asdict(), "accepted_at": _time_text(task.accepted_at_ms), "task_id": task.task_id}


def _count(kind: Kind, change: int) -> dict[str, Any]:
    return {"state": kind.state, "operation": kind.operation, "tasks": change}


def _time(timestamp_ms: int | None) -> str | None:
    return None if timestamp_ms is None else _time_text(timestamp_ms)


@lru_cache(maxsize=64)
def _time_text(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(clamped_ms(timestamp_ms) / 1000, UTC).isoformat()
