"""`purge-tasks`: purges all tasks that match, some at a time. Every worker offers it.

It appends an event for each task and deletes nothing. The fold decides whether a task may be purged, in the order of
the log. A purge that was interrupted is begun again by a further one, which finds only what is left.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection
from psycopg.sql import SQL
from pulp_events.events import Event, Purged
from pulp_events.ids import derived_id
from pulp_events.log import Log
from pulp_events.purging import PURGE_TASKS, PurgeArguments
from pulp_events.task import Position
from pulp_projections.connection import connect
from pulp_projections.sql import load

from pulp_worker.errors import OperationError
from pulp_worker.loading import Loaded
from pulp_worker.sdk import Context, operation
from pulp_worker.settings import Settings

_SQL: Final = load("pulp_worker", "purging.sql")
_MATCHES: Final = SQL(_SQL["matches"])
MOST_AT_ONCE: Final = 500
_LOOK_S: Final = 0.05
_PATIENCE_S: Final = 60.0
"""How long the projection may take to pass a page."""
_LONG_AGO: Final = datetime(1, 1, 2, tzinfo=UTC)


class _Asked(NamedTuple):
    """Who asked for the purge, and what every event of it says."""

    by: str
    correlation_id: str | None
    filter: Raw


class _Found(NamedTuple):
    task_id: UUID
    partition: int
    accepted_at: datetime


def built_in(settings: Settings, log: Log) -> dict[str, Loaded]:
    """The operations that every worker has, beside those of packages and modules."""
    purge = Purge(log, settings.name, lambda: connect(settings.postgres, f"pulp-worker/{settings.name}/purge"))

    @operation(PURGE_TASKS, arguments=PurgeArguments, cancellable=True)
    async def purge_tasks(context: Context[PurgeArguments]) -> object:
        """Purge all tasks that ended as named: lists leave them out, and nothing of them is deleted."""
        return await purge.run(context)

    return {PURGE_TASKS: Loaded(purge_tasks, __name__, purge_tasks.name)}


class Purge:
    """What the operation works with."""

    def __init__(self, log: Log, worker: str, connecting: Callable[[], Awaitable[AsyncConnection]]) -> None:
        """`connecting` opens a connection to the read model, in autocommit mode."""
        self._log = log
        self._worker = worker
        self._connecting = connecting

    async def run(self, context: Context[PurgeArguments]) -> dict[str, int]:
        """Purge; returns the number of tasks, once no read shows them any more."""
        async with await self._connecting() as connection:
            asked, values = await _asked(connection, context)
            [(total,)] = await _rows(connection, "count", values)
            done = 0
            _report(context, done, total)
            async for page in _pages(connection, context.arguments.states, values):
                context.check_cancelled()
                positions = await self._append(page, asked, context)
                await _projected(connection, positions)
                done += len(page)
                _report(context, done, max(done, total))
        return {"purged": done}

    async def _append(
        self, page: Sequence[_Found], asked: _Asked, context: Context[PurgeArguments]
    ) -> Sequence[Position]:
        now = datetime.now(UTC)
        events = [
            Event(
                id=derived_id(context.task_id, "purge", found.task_id),
                task_id=found.task_id,
                time=now,
                actor=f"worker:{self._worker}",
                data=Purged(requested_by=asked.by, filter=asked.filter),
                correlation_id=asked.correlation_id,
                causation_id=str(context.task_id),
            )
            for found in page
        ]
        appending = [self._log.append(event, found.partition) for event, found in zip(events, page, strict=True)]
        return await asyncio.gather(*appending)


async def _asked(connection: AsyncConnection, context: Context[PurgeArguments]) -> tuple[_Asked, dict[str, Any]]:
    arguments = context.arguments
    rows = await _rows(connection, "asked", {"task_id": context.task_id})
    if not rows:
        raise OperationError("unknown-task", f"the read model does not have task {context.task_id}, which purges")
    [(by, correlation_id, accepted_at)] = rows
    values = {
        "states": list(arguments.states),
        "before": arguments.finished_before or accepted_at,
        "created_by": arguments.created_by,
    }
    return _Asked(by, correlation_id, Raw(msgspec.json.encode(arguments))), values


async def _pages(
    connection: AsyncConnection, states: Sequence[str], values: dict[str, Any]
) -> AsyncIterator[list[_Found]]:
    """The tasks that match, page by page: no page is read before the one before it is dealt with."""
    for state in dict.fromkeys(states):
        after, after_id = _LONG_AGO, UUID(int=0)
        while True:
            place = {"state": state, "after": after, "after_id": after_id, "most": MOST_AT_ONCE}
            page = [_Found(*row) for row in await _rows(connection, "page", {**values, **place})]
            if not page:
                break
            yield page
            after, after_id = page[-1].accepted_at, page[-1].task_id


async def _projected(connection: AsyncConnection, positions: Sequence[Position]) -> None:
    """Wait until the projection has passed all of these, so that it is never behind by more than a page."""
    ends: dict[int, int] = {}
    for partition, offset in positions:
        ends[partition] = max(offset + 1, ends.get(partition, 0))
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                now = dict(await _rows(connection, "positions", {"partitions": list(ends)}))
                if all(now.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise OperationError(
            "projection-behind",
            f"the projection has not passed the purge's events within {_PATIENCE_S:.0f} s: look at the processors, and"
            " purge again",
        ) from None


def _report(context: Context[PurgeArguments], done: int, total: int) -> None:
    context.report({"purge_tasks": {"items_total": total, "items_left": total - done}})


async def _rows(connection: AsyncConnection, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(SQL(_SQL[name]).format(matches=_MATCHES), values)
    return await cursor.fetchall()
