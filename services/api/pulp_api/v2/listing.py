"""Lists of tasks, which have no pages in Pulp 2: a long one is read and sent in pieces."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from psycopg import AsyncConnection
from pulp_events.errors import BadInput
from pulp_projections.reading import bounded, queries
from pulp_projections.reading.queries import PURGED, SHOWN, Condition, TaskRow
from pulp_projections.times import moment

from pulp_api.as_of import past, snapshot
from pulp_api.authenticated_call import AuthenticatedCall
from pulp_api.freshness import check_shown
from pulp_api.respond import json, lag_header, positions_header
from pulp_api.service import Service
from pulp_api.v2.criteria import Search, columns_of
from pulp_api.v2.reasons import waits_of
from pulp_api.v2.recent import recent_then
from pulp_api.v2.report import NOTHING, report

CHUNK_SIZE = 250
"""How many tasks a list reads with one query."""
MOST_SORTED = 10_000
"""The most tasks of a search in another order than that of submission, whose ids are read in advance."""


async def listed(call: AuthenticatedCall, search: Search) -> Response:
    """The reports of the tasks that a search finds; its quota is the caller's part.

    Raises `BadInput`, `PositionNotReached`, `ReadModelUnavailable`.

    Clients search for the task that they have just submitted, and take one that is missing for lost: so it waits for
    the projection as a read of one task does.
    """
    lag = await call.service.freshness.catch_up()
    least = await call.at_least_positions()
    also = call.scope if PURGED in search.conditions else [SHOWN, *call.scope]
    search = replace(search, conditions=[*search.conditions, *also])
    is_by_time = search.is_by_time and not search.has_patterns  # patterns are looked for once, within their time
    opened = call.service.pattern_searches.transaction() if search.has_patterns else _transaction(call.service)
    async with opened as connection:
        await connection.execute("set transaction isolation level repeatable read")
        shown = await queries.positions(connection)
        check_shown(shown, least)
        if is_by_time:
            ids, rows = [], await _first(connection, search)
        else:
            ids = await _sorted(connection, search)
            rows = await _of_ids(connection, search, ids[:CHUNK_SIZE])
        first = await _reports(connection, call, search, rows)
    headers = {**positions_header(shown), **lag_header(lag)}
    if len(rows) < CHUNK_SIZE and len(ids) <= CHUNK_SIZE:
        return json(first, headers=headers)
    rest = _by_time(call, search, rows) if is_by_time else _by_id(call, search, ids)
    return StreamingResponse(_array(first, rest), media_type="application/json", headers=headers)


async def listed_then(call: AuthenticatedCall, request: Request, search: Search, as_of: str) -> Response:
    """The reports of the tasks that a search would have found at a moment, without what they waited for.

    Raises what `as_of.past` raises.
    """
    await call.at_least_positions()
    also = call.scope if PURGED in search.conditions else [SHOWN, *call.scope]
    async with past(call.service, request, as_of) as (connection, then):
        if not search.conditions:
            also = [*also, recent_then(then.moment.time, call.service.listed_s)]
        search = replace(search, conditions=[*search.conditions, *also], past=then)
        rows = await _first(connection, search)
        first = await _reports(connection, call, search, rows)
    headers = positions_header(then.moment.stops)
    if len(rows) < CHUNK_SIZE:
        return json(first, headers=headers)
    return StreamingResponse(
        _array(first, _by_time(call, search, rows)), media_type="application/json", headers=headers
    )


@asynccontextmanager
async def _transaction(service: Service) -> AsyncIterator[AsyncConnection]:
    async with service.connection() as connection, connection.transaction():
        yield connection


async def _array(first: list[Any], rest: AsyncIterator[list[Any]]) -> AsyncIterator[bytes]:
    """Encode the chunks as one JSON array, without holding all of them in memory.

    Each task appears once, as it is when its chunk is read.
    """
    yield b"[" + msgspec.json.encode(first)[1:-1]
    is_empty = not first
    async for reports in rest:
        if reports:
            yield (b"" if is_empty else b",") + msgspec.json.encode(reports)[1:-1]
            is_empty = False
    yield b"]"


async def _by_time(call: AuthenticatedCall, search: Search, rows: Sequence[TaskRow]) -> AsyncIterator[list[Any]]:
    """The chunks of a list in the order of submission, after the first, which is `rows`."""
    left = search.limit
    while rows:
        left = None if left is None else left - len(rows)
        if left == 0:
            return
        last = rows[-1]
        behind = Condition(
            "(t.accepted_at, t.task_id) > (%(last_time)s, %(last_id)s)",
            {"last_time": moment(last.accepted_at_ms), "last_id": last.task_id},
        )
        further = replace(search, conditions=[*search.conditions, behind], limit=left, skip=0)
        # A client that disconnects cancels this; cancelling a running query would cost the pool its connection.
        rows, reports = await asyncio.shield(_chunk(call, search, partial(_first, search=further)))
        yield reports


async def _by_id(call: AuthenticatedCall, search: Search, ids: Sequence[UUID]) -> AsyncIterator[list[Any]]:
    """The chunks of a sorted list, after the first."""
    for start in range(CHUNK_SIZE, len(ids), CHUNK_SIZE):
        chunk = ids[start : start + CHUNK_SIZE]
        yield (await asyncio.shield(_chunk(call, search, partial(_of_ids, search=search, ids=chunk))))[1]


async def _chunk(
    call: AuthenticatedCall, search: Search, read: Callable[[AsyncConnection], Awaitable[list[TaskRow]]]
) -> tuple[list[TaskRow], list[Any]]:
    async with call.service.connection() if search.past is None else snapshot(call.service) as connection:
        if search.past is not None:
            await search.past.catch_up(connection)
        rows = await read(connection)
        return rows, await _reports(connection, call, search, rows)


async def _first(connection: AsyncConnection, search: Search) -> list[TaskRow]:
    limit = CHUNK_SIZE if search.limit is None else min(CHUNK_SIZE, search.limit)
    return await bounded.tasks(
        connection,
        search.conditions,
        order=search.order,
        limit=limit,
        offset=search.skip,
        wanted=columns_of(search),
        past=search.past,
    )


async def _of_ids(connection: AsyncConnection, search: Search, ids: Sequence[UUID]) -> list[TaskRow]:
    """These tasks in this order, without those that are no longer in the read model."""
    condition = Condition("t.task_id = any (%(ids)s)", {"ids": list(ids)})
    found = await bounded.tasks(
        connection, [condition], order=search.order, limit=max(1, len(ids)), wanted=columns_of(search)
    )
    by_id = {row.task_id: row for row in found}
    return [by_id[task_id] for task_id in ids if task_id in by_id]


async def _sorted(connection: AsyncConnection, search: Search) -> list[UUID]:
    """The ids of a search in another order than that of submission. Raises `BadInput` for more than `MOST_SORTED`."""
    limit = MOST_SORTED + 1 if search.limit is None else min(search.limit, MOST_SORTED + 1)
    ids = await queries.task_ids(connection, search.conditions, order=search.order, limit=limit, offset=search.skip)
    if len(ids) > MOST_SORTED:
        raise BadInput(
            f"more than {MOST_SORTED} tasks match: a search with 'sort' or '$regex' gives at most so many. Set 'limit'"
            f" to at most {MOST_SORTED} and page with 'skip', narrow 'filters', or leave 'sort' out: a list in the"
            " order of submission has no limit"
        )
    return ids


async def _reports(
    connection: AsyncConnection, call: AuthenticatedCall, search: Search, rows: Sequence[TaskRow]
) -> list[dict[str, Any]]:
    waits = await waits_of(connection, call, rows) if search.has_waits and search.past is None else {}
    return [search.pick(report(row, waits.get(row.task_id, NOTHING))) for row in rows]
