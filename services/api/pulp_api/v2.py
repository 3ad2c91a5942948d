"""The Pulp 2 dialect: what the `pulp-admin` of the user guide speaks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final, LiteralString
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pulp_events.errors import BadInput, TaskNotFound
from pulp_events.task import State
from pulp_projections import queries
from pulp_projections.queries import Condition, TaskRow, raw

from pulp_api.context import MAX_REASON, Call, Calling
from pulp_api.respond import API, json, lag_header, position_header, positions_header, second
from pulp_api.service import Service, check_shown
from pulp_api.submission import Submission
from pulp_api.v2_filters import Narrowing, narrowing, no_others
from pulp_api.v2_search import Search, in_states, json_object, json_value, search_of, uuid_of, word_of

router = APIRouter(prefix=f"{API}/v2")
PIECE = 1000
"""Tasks that a list without a limit reads at once."""


def report(task: TaskRow, *, with_href: bool = True) -> dict[str, Any]:
    """The call report of 2.0 and the task report of 2.21, in one object."""
    task_id, group_id = str(task.task_id), None if task.group_id is None else str(task.group_id)
    error = None if task.error is None else msgspec.json.decode(task.error)
    times = {"start_time": second(task.started_at), "finish_time": second(task.finished_at)}
    href = {"_href": f"{API}/v2/tasks/{task_id}/"} if with_href else {}
    return href | {
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


@router.delete("/content/orphans/")
async def remove_orphans(call: Calling) -> Response:
    """Start the removal of orphaned content."""
    return await _start(call, Submission(operation="remove-orphans"))


@router.post("/repositories/{repo_id}/actions/{action}/")
async def repository_action(call: Calling, request: Request, repo_id: str, action: str) -> Response:
    """Start a `sync` or a `publish` of a repository; the body's `override_config` has further arguments."""
    if action not in ("sync", "publish"):
        raise BadInput(f"unknown action {action!r}; known are: sync, publish")
    body = json_object(await request.body() or b"{}")
    further = body.get("override_config") or {}
    if not isinstance(further, dict):
        raise BadInput("override_config must be an object")
    arguments = msgspec.Raw(msgspec.json.encode({**further, "repo_id": repo_id}))
    return await _start(call, Submission(operation=action, arguments=arguments))


async def _start(call: Call, submission: Submission) -> Response:
    submitted = await call.submit(submission)
    return json(report(submitted.task), 202, position_header(submitted.position))


async def _list(call: Call, search: Search) -> Response:
    least = await call.at_least_positions()
    limit = PIECE if search.is_open else search.limit
    async with call.service.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        shown = await queries.positions(connection)
        check_shown(shown, least)
        rows = await queries.tasks(connection, search.conditions, order=search.order, limit=limit, offset=search.skip)
    headers = positions_header(shown)
    if search.is_open and len(rows) == limit:
        return StreamingResponse(_pieces(call.service, search, rows), media_type="application/json", headers=headers)
    return json(_reports(search, rows), headers=headers)


async def _pieces(service: Service, search: Search, rows: Sequence[TaskRow]) -> AsyncIterator[bytes]:
    """A list without a limit, begun with `rows`; it must not take the memory of the process.

    Each task comes once, as it is when its piece is read.
    """
    before = b"["
    while rows:
        yield before + msgspec.json.encode(_reports(search, rows))[1:-1]
        before, last = b",", rows[-1]
        behind = Condition(
            "(t.accepted_at, t.task_id) > (%(last_time)s, %(last_id)s)",
            {"last_time": last.accepted_at, "last_id": last.task_id},
        )
        # A client that goes away cancels this; a statement that is broken off would cost the pool its connection.
        rows = await asyncio.shield(_piece(service, [*search.conditions, behind], search.order))
    yield b"]"


async def _piece(service: Service, conditions: Sequence[Condition], order: LiteralString) -> list[TaskRow]:
    async with service.connection() as connection:
        return await queries.tasks(connection, conditions, order=order, limit=PIECE)


def _reports(search: Search, rows: Sequence[TaskRow]) -> list[dict[str, Any]]:
    return [search.pick(report(row, with_href=False)) for row in rows]


def _existing(text: str) -> UUID:
    found = uuid_of(text)
    if found is None:
        raise TaskNotFound(text)
    return found
