"""A small batch in one statement: with few records the round trips of a transaction cost more than its rows."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from pulp_events.reader import Record
from pulp_events.task import Task

from pulp_projections.daily import fold as daily
from pulp_projections.sql import load
from pulp_projections.task_columns import COLUMNS, SQL_LISTS, changing
from pulp_projections.task_objects import row_maker, time_text
from pulp_projections.writing.batch_fold import BatchFold, worker_notices
from pulp_projections.writing.fold import Changes, HistoryRow, Kind
from pulp_projections.writing.target import GUARDS, Place
from pulp_projections.writing.uses import Use, uses

_DAILY: Final = load("pulp_projections.daily", "daily.sql", {"after": "fence, "})["add"]
_SQL: Final = load("pulp_projections.writing", "small_batch.sql", {**SQL_LISTS, **GUARDS, "daily": _DAILY})
MOST_RECORDS: Final = 100
_MOST_BYTES: Final = 256 * 1024
_json = msgspec.json.Encoder().encode


def is_small(records: Sequence[Record]) -> bool:
    """Whether the batch has few enough records and bytes for `SmallBatchWriter`."""
    return len(records) <= MOST_RECORDS and sum(len(record.value or b"") for record in records) <= _MOST_BYTES


def is_plain(changes: Changes) -> bool:
    """Whether `SmallBatchWriter` can write the changes: it does not support dead letters and reruns, which are rare."""
    return not (changes.dead_letters or changes.restood or changes.freed or changes.causes)


class SmallBatchWriter:
    """Writes a small and plain batch in one statement, outside of a transaction."""

    async def write(self, connection: AsyncConnection, place: Place, batch: BatchFold) -> Changes:
        """See `BatchWriter.write`."""
        history, changes = batch.rows(), batch.changes()
        values = {
            **place._asdict(),
            "payload": place.payload,
            **worker_notices(changes, place),
            "history": _json([_history(row) for row in history]).decode(),
            "created": _json([_created(task) for task in changes.created]).decode(),
            "uses": _json([_use(task, use) for task in changes.created for use in uses(task.resources)]).decode(),
            "updated": _json([_changed(task) for task in changes.updated]).decode(),
            "updated_ids": f"{{{','.join([str(task.task_id) for task in changes.updated])}}}",
            "days": daily.rows(changes.days),
            "counts": _json([_count(kind, change) for kind, change in changes.counts.items()]).decode(),
        }
        row = await (await connection.execute(_SQL["write"], values)).fetchone()
        assert row is not None
        place.check(is_active=row[0], is_free=row[1])
        return changes


def _history(row: HistoryRow) -> dict[str, Any]:
    return {
        "record_offset": row.record.offset,
        "task_id": row.event.task_id,
        "event_id": row.event.id,
        "type": row.type,
        "event_time": row.event.time.astimezone(UTC),
        "broker_time": time_text(row.record.timestamp_ms),
        "actor": row.event.actor,
        "effect": row.effect,
        "event": "\\x" + (row.record.value or b"").hex(),
    }


def _use(task: Task, use: Use) -> dict[str, Any]:
    return {**use._asdict(), "accepted_at": time_text(task.accepted_at_ms), "task_id": task.task_id}


def _count(kind: Kind, change: int) -> dict[str, Any]:
    return {"state": kind.state, "operation": kind.operation, "tasks": change}


_created: Final = row_maker(COLUMNS)
_changed: Final = row_maker(changing(COLUMNS))
