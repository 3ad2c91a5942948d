"""The Pulp 2 dialect: what the `pulp-admin` of the user guide speaks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from psycopg import AsyncConnection
from pulp_events.errors import BadInput, TaskNotFound
from pulp_events.task import State
from pulp_projections.reading import bounded, queries
from pulp_projections.reading.queries import Condition, TaskRow, raw

from pulp_api.bodies import json_object
from pulp_api.context import MAX_REASON, Call, Calling
from pulp_api.failures import NoGroup
from pulp_api.respond import API, json, lag_header, position_header, positions_header, second
from pulp_api.service import Service, check_shown
from pulp_api.submitting.remembering import behind
from pulp_api.submitting.submission import Submission
from pulp_api.v2.filters import Narrowing, narrowing, no_others
from pulp_api.v2.search import (
    FIELDS,
    Search,
    columns_of,
    in_states,
    json_value,
    search_of,
    uuid_of,
    word_of,
)

router = APIRouter(prefix=f"{API}/v2")
PIECE = 250
"""Tasks that a list reads at once."""
MOST_SORTED = 10_000
"""Tasks that a search gives in another order than that of submission: their ids are read before."""


def report(task: TaskRow, *, with_href: bool = True) -> dict[str, Any]:
    """The call report of 2.0 and the task report of 2.21, in one object.

    `omitted` is there only in a list, and only if it had no room for the values of some fields: it names these.
    """
    task_id, group_id = str(task.task_id), None if task.group_id is None else str(task.group_id)
    error = None if task.error is None else msgspec.json.decode(task.error)
    times = {"start_time": second(task.started_at), "finish_time": second(task.finished_at)}
    href = {"_href": f"{API}/v2/tasks/{task_id}/"} if with_href else {}
    omitted = {"omitted": _omitted(task)} if task.omitted else {}
    return (
        href
        | {
            "call_request_id": task_id,
            "call_request_group_id": group_id,
            "call_request_tags": task.tags,
            "schedule_id": None,
            "principal_login": task.created_by.removeprefix("user:"),
            "response": "accepted",
            "reasons": [],
            "state": word_of(task),
            "progress": raw(task.progress),
            "dependency_failures": {},
            "result": raw(task.result),
            "exception": None if error is None else [error["description"]],
            "traceback": None if error is None or not error.get("traceback") else error["traceback"].splitlines(True),
            **times,
            "task_id": task_id,
            "task_group_id": group_id,
            "tags": task.tags,
            "task_type": task.operation,
            "progress_report": raw(task.progress),
            "error": None if error is None else {**error, "data": {}, "sub_errors": []},
            "worker_name": task.worker,
            "queue": task.queue,
            "spawned_tasks": [{"_href": f"{API}/v2/tasks/{child}/", "task_id": str(child)} for child in task.children],
            "id": task_id,
            "_id": {"$oid": task_id},
            "_ns": "task_status",
            "cancelling": task.state == State.CANCELLING,
            "submit_time": second(task.accepted_at),
        }
        | omitted
    )


_LISTED_BY: Final = no_others("tag", "id", "state", "limit", "skip", *Narrowing._fields)
_SEARCHED_BY: Final = no_others("filters", "sort", "limit", "skip", "field")


@router.get("/tasks/", dependencies=[_LISTED_BY])
async def list_tasks(
    call: Calling,
    narrowed: Annotated[Narrowing, Depends(narrowing)],
    tag: Annotated[list[str] | None, Query()] = None,
    id: Annotated[list[str] | None, Query()] = None,  # Pulp's name
    state: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int | None, Query(ge=1)] = None,
    skip: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """All tasks, in order of submission; `tag`: all must match; `id`, `state` and the others: any."""
    conditions = narrowed.conditions()
    if tag:
        conditions.append(Condition("t.tags <> '{}' and t.tags @> %(tags)s", {"tags": tag}))
    if id:
        ids = [found for text in id if (found := uuid_of(text)) is not None]
        conditions.append(Condition("t.task_id = any (%(ids)s)", {"ids": ids}))
    if state:
        conditions.append(in_states(state))
    return await _list(call, Search(conditions, limit=limit, skip=skip))


@router.post("/tasks/search/")
async def search_tasks(call: Calling, request: Request) -> Response:
    """`{"criteria": {"filters", "sort", "limit", "skip", "fields"}}`; filters on task_id, state, tags and group_id."""
    return await _list(call, search_of(json_object(await request.body())))


@router.get("/tasks/search/", dependencies=[_SEARCHED_BY])
async def search_tasks_by_url(
    call: Calling,
    filters: str = "{}",
    sort: str = "[]",
    limit: str | None = None,
    skip: str | None = None,
    field: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """The same, with `filters` and `sort` as JSON texts, and `field` repeated."""
    criteria = {"filters": json_value("filters", filters), "sort": json_value("sort", sort), "fields": field}
    numbers = {name: json_value(name, text) for name, text in (("limit", limit), ("skip", skip)) if text is not None}
    return await _list(call, search_of({"criteria": criteria | numbers}))


@router.get("/tasks/{task_id}/")
async def read_task(call: Calling, task_id: str) -> Response:
    """One task; with `as_of` (a time, or PARTITION:OFFSET) as it was."""
    reading = await call.read(_existing(task_id))
    rerun_of, reruns = reading.reruns
    linked = {"rerun_of": rerun_of, "reruns": reruns}  # what no Pulp 2 has: ids, as all others here
    return json({**report(reading.task), **linked}, headers=lag_header(reading.lag))


@router.delete("/tasks/{task_id}/")
async def cancel_task(
    call: Calling, task_id: str, reason: Annotated[str | None, Query(max_length=MAX_REASON)] = None
) -> Response:
    """Cancel: 202 with the call report; the usual cancel has ended by then, and reads `canceled`.

    A `reason` is kept in the history.
    """
    cancelled = await call.cancel(_existing(task_id), reason)
    return json(report(cancelled.task), 202, position_header(cancelled.position))


@router.get("/task_groups/{group_id}/")
async def read_group(call: Calling, group_id: str) -> Response:
    """The call reports of what one request has started, in order of submission."""
    wanted = uuid_of(group_id)
    if wanted is None:
        raise NoGroup(group_id)
    search = Search([Condition("t.group_id = %(group)s", {"group": wanted})])
    lag = await call.service.catch_up()
    async with call.service.connection() as connection:
        found = await bounded.tasks(connection, search.conditions, order=search.order, limit=1, wanted=frozenset())
    if not found:
        raise NoGroup(group_id) if lag is None else behind(lag)
    return await _list(call, search)


@router.delete("/content/orphans/")
async def remove_orphans(call: Calling) -> Response:
    """Start the removal of orphaned content."""
    return await _start(call, Submission(operation="remove-orphans"))


async def _start(call: Call, submission: Submission) -> Response:
    submitted = await call.submit(submission)
    return json(report(submitted.task), 202, position_header(submitted.position))


async def _list(call: Call, search: Search) -> Response:
    await call.quotas.search(call.asking)
    least = await call.at_least_positions()
    async with call.service.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        shown = await queries.positions(connection)
        check_shown(shown, least)
        if search.is_by_time:
            ids, rows = [], await _first(connection, search)
        else:
            ids = await _sorted(connection, search)
            rows = await _of_ids(connection, search, ids[:PIECE])
    headers = positions_header(shown)
    if len(rows) < PIECE and len(ids) <= PIECE:
        return json(_reports(search, rows), headers=headers)
    pieces = _by_time(call.service, search, rows) if search.is_by_time else _by_id(call.service, search, rows, ids)
    return StreamingResponse(_array(search, pieces), media_type="application/json", headers=headers)


async def _array(search: Search, pieces: AsyncIterator[Sequence[TaskRow]]) -> AsyncIterator[bytes]:
    """One list of all pieces; it must not take the memory of the process.

    Each task comes once, as it is when its piece is read.
    """
    before = b"["
    async for rows in pieces:
        yield before + msgspec.json.encode(_reports(search, rows))[1:-1]
        before = b","
    yield b"]" if before == b"," else b"[]"


async def _by_time(service: Service, search: Search, rows: list[TaskRow]) -> AsyncIterator[list[TaskRow]]:
    """The pieces of a list in the order of submission, begun with `rows`."""
    left = search.limit
    while rows:
        yield rows
        left = None if left is None else left - len(rows)
        if left == 0:
            return
        last = rows[-1]
        behind = Condition(
            "(t.accepted_at, t.task_id) > (%(last_time)s, %(last_id)s)",
            {"last_time": last.accepted_at, "last_id": last.task_id},
        )
        further = replace(search, conditions=[*search.conditions, behind], limit=left, skip=0)
        # A client that goes away cancels this; a statement that is broken off would cost the pool its connection.
        rows = await asyncio.shield(_piece(service, partial(_first, search=further)))


async def _by_id(
    service: Service, search: Search, rows: list[TaskRow], ids: Sequence[UUID]
) -> AsyncIterator[list[TaskRow]]:
    """The pieces of a sorted list, begun with `rows`."""
    yield rows
    for start in range(PIECE, len(ids), PIECE):
        piece = ids[start : start + PIECE]
        yield await asyncio.shield(_piece(service, partial(_of_ids, search=search, ids=piece)))


async def _piece(service: Service, read: Callable[[AsyncConnection], Awaitable[list[TaskRow]]]) -> list[TaskRow]:
    async with service.connection() as connection:
        return await read(connection)


async def _first(connection: AsyncConnection, search: Search) -> list[TaskRow]:
    limit = PIECE if search.limit is None else min(PIECE, search.limit)
    return await bounded.tasks(
        connection, search.conditions, order=search.order, limit=limit, offset=search.skip, wanted=columns_of(search)
    )


async def _of_ids(connection: AsyncConnection, search: Search, ids: Sequence[UUID]) -> list[TaskRow]:
    """These tasks in this order, without those that the read model has lost meanwhile."""
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
            f"more than {MOST_SORTED} tasks match: a search with 'sort' gives at most so many. Set 'limit' to at most"
            f" {MOST_SORTED} and page with 'skip', narrow 'filters', or leave 'sort' out: a list in the order of"
            " submission has no limit"
        )
    return ids


def _reports(search: Search, rows: Sequence[TaskRow]) -> list[dict[str, Any]]:
    return [search.pick(report(row, with_href=False)) for row in rows]


def _omitted(task: TaskRow) -> list[str]:
    return sorted({field for column in task.omitted or () for field in FIELDS.get(column, ())})


def _existing(text: str) -> UUID:
    found = uuid_of(text)
    if found is None:
        raise TaskNotFound(text)
    return found
