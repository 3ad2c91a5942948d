"""`purge-tasks` purges all tasks that match, page by page. Every worker offers it.

It appends an event for each task and deletes nothing. The fold decides whether a task may be purged, in the order of
the log. A purge whose worker is lost is retried; a new purge works as well, since both find only the remaining tasks.
Whatever the number of tasks, a statement reads a bounded number of them, and no more than two pages are in memory.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
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
_PIECES: Final = {name: SQL(_SQL[name]) for name in ("part", "matches")}
MOST_AT_ONCE: Final = 500
"""The size of a page: this many tasks are read at a time, and purged once this many matching ones are found."""
MOST_COUNTED: Final = 10_000
"""How many tasks a statement that only counts reads at a time."""
_LOOK_S: Final = 0.05
_PATIENCE_S: Final = 60.0
"""How long the projection may take to pass a page."""
_RETRIES: Final = 5
_LONG_AGO: Final = datetime(1, 1, 2, tzinfo=UTC)


class _Asked(NamedTuple):
    """Who requested the purge, and what its events have in common."""

    by: str
    correlation_id: str | None
    filter: Raw
    accepted_at: datetime
    failed_attempts: int


class _Found(NamedTuple):
    task_id: UUID
    partition: int


def built_in(settings: Settings, log: Log) -> dict[str, Loaded]:
    """The operations that every worker has, besides those of packages and modules."""
    purge = Purge(log, settings.name, lambda: connect(settings.postgres, f"pulp-worker/{settings.name}/purge"))

    @operation(PURGE_TASKS, arguments=PurgeArguments, cancellable=True, retries=_RETRIES)
    async def purge_tasks(context: Context[PurgeArguments]) -> object:
        """Purge all tasks that ended in the named states: lists leave them out, but nothing is deleted."""
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
        """Purge; returns how many tasks all attempts have purged, once no read shows them any more."""
        async with await self._connecting() as connection:
            asked, values = await _asked(connection, context)
            purged = 0
            if asked.failed_attempts:
                await _projected(connection, await self._log.end_offsets())
                own = {**values, "by": asked.by, "asked_at": asked.accepted_at}
                purged = await _count(connection, context, "own", own)
            passed = purged
            total = passed + await _count(connection, context, "count", values)
            _report(context, passed, total)
            async for page in _pages(connection, context, values):
                context.check_cancelled()
                positions = await self._append(page, asked, context)
                await _projected(connection, _ends(positions))
                purged += await _applied(connection, page, positions)
                passed += len(page)
                total = max(passed, total)
                _report(context, passed, total)
        return {"purged": purged}

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
    [(by, correlation_id, accepted_at, failed_attempts)] = rows
    values = {"before": arguments.finished_before or accepted_at, "created_by": arguments.created_by}
    return _Asked(by, correlation_id, Raw(msgspec.json.encode(arguments)), accepted_at, failed_attempts), values


async def _parts(
    connection: AsyncConnection, context: Context[PurgeArguments], name: str, values: Mapping[str, Any], most: int
) -> AsyncIterator[list[tuple[Any, ...]]]:
    """The rows that a statement finds in each part of the tasks, without the two columns of the part's last task.

    It reads no part until the caller is done with the previous one. Raises `TaskCancelled` between two parts.
    """
    for state in dict.fromkeys(context.arguments.states):
        after, after_id = _LONG_AGO, UUID(int=0)
        while True:
            context.check_cancelled()
            place = {"state": state, "after": after, "after_id": after_id, "most": most}
            rows = await _rows(connection, name, {**values, **place})
            if not rows:
                break
            after, after_id = rows[0][:2]
            yield [row[2:] for row in rows]


async def _count(
    connection: AsyncConnection, context: Context[PurgeArguments], name: str, values: Mapping[str, Any]
) -> int:
    """How many tasks a statement counts, part by part."""
    counted = 0
    async for [(number,)] in _parts(connection, context, name, values, MOST_COUNTED):
        counted += number
    return counted


async def _pages(
    connection: AsyncConnection, context: Context[PurgeArguments], values: Mapping[str, Any]
) -> AsyncIterator[list[_Found]]:
    """The tasks that match, page by page. All pages but the last are full, however far apart the tasks are."""
    page: list[_Found] = []
    async for rows in _parts(connection, context, "page", values, MOST_AT_ONCE):
        page += [_Found(*row) for row in rows if row[0] is not None]
        if len(page) >= MOST_AT_ONCE:
            yield page
            page = []
    if page:
        yield page


def _ends(positions: Sequence[Position]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for partition, offset in positions:
        ends[partition] = max(offset + 1, ends.get(partition, 0))
    return ends


async def _projected(connection: AsyncConnection, ends: Mapping[int, int]) -> None:
    """Wait until the projection has reached all of these offsets, so that it is never behind by more than a page."""
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


async def _applied(connection: AsyncConnection, page: Sequence[_Found], positions: Sequence[Position]) -> int:
    """How many tasks of the page these events have purged; another purge may have been faster."""
    offsets = [position.offset for position in positions]
    values = {"task_ids": [found.task_id for found in page], "offsets": offsets}
    [(applied,)] = await _rows(connection, "applied", values)
    return int(applied)


def _report(context: Context[PurgeArguments], passed: int, total: int) -> None:
    context.report({"purge_tasks": {"items_total": total, "items_left": total - passed}})


async def _rows(connection: AsyncConnection, name: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(SQL(_SQL[name]).format(**_PIECES), values)
    return await cursor.fetchall()
