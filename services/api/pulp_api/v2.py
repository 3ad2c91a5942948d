"""The Pulp 2 dialect: what the `pulp-admin` of the user guide speaks."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pulp_events.errors import BadInput, TaskNotFound
from pulp_events.task import State
from pulp_projections import queries
from pulp_projections.queries import Condition, TaskRow, raw
from pulp_projections.users import Role

from pulp_api.context import Call, call
from pulp_api.respond import API, json, least_positions, position_header, positions_header, second
from pulp_api.submission import Submission

router = APIRouter(prefix=f"{API}/v2")
Calling = Annotated[Call, Depends(call)]

WORDS: Final = {
    State.WAITING: "waiting",
    State.RUNNING: "running",
    State.SUCCESSFUL: "finished",
    State.FAILED: "error",
    State.CANCELLED: "canceled",
    State.SKIPPED: "skipped",
}


def word_of(task: TaskRow) -> str:
    """Pulp 2's word for the state. It has none for cancelling: the task is still running, or still waiting."""
    if task.state == State.CANCELLING:
        return "waiting" if task.started_at is None else "running"
    return WORDS[State(task.state)]


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
    }


@router.get("/tasks/")
async def list_tasks(
    call: Calling,
    tag: Annotated[list[str] | None, Query()] = None,
    id: Annotated[list[str] | None, Query()] = None,  # Pulp's name
    state: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int | None, Query(ge=1)] = None,
    skip: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """All tasks, in order of submission; `tag`: all must match; `id` and `state`: any."""
    conditions = []
    if tag:
        conditions.append(Condition("t.tags @> %(tags)s", {"tags": tag}))
    if id:
        ids = [found for text in id if (found := _uuid(text)) is not None]
        conditions.append(Condition("t.task_id = any (%(ids)s)", {"ids": ids}))
    if state:
        conditions.append(_in_states(state))
    return await _list(call, conditions, limit, skip)


@router.post("/tasks/search/")
async def search_tasks(call: Calling, request: Request) -> Response:
    """`{"criteria": {"filters": {...}, "limit": n, "skip": n}}` with filters on task_id, state and tags."""
    body = _json_object(await request.body())
    criteria = body.get("criteria")
    if not isinstance(criteria, dict):
        raise BadInput("the body needs an object 'criteria'")
    filters = criteria.get("filters") or {}
    if not isinstance(filters, dict):
        raise BadInput("criteria.filters must be an object")
    conditions = [_filter(field, wanted) for field, wanted in filters.items() if field != "group_id"]
    limit, skip = criteria.get("limit"), criteria.get("skip") or 0
    if not isinstance(skip, int) or not isinstance(limit, int | None):
        raise BadInput("criteria.limit and criteria.skip must be whole numbers")
    return await _list(call, conditions, limit, skip)


@router.get("/tasks/{task_id}/")
async def read_task(call: Calling, request: Request, task_id: str) -> Response:
    """One task."""
    reading = await call.service.read(_existing(task_id), least=least_positions(request))
    headers = {} if reading.lag is None else {"Pulp-Lag": reading.lag}
    return json(report(reading.task), headers=headers)


@router.delete("/tasks/{task_id}/")
async def cancel_task(call: Calling, task_id: str) -> Response:
    """Cancel: 202 with the call report; the usual cancel has ended by then, and reads `canceled`."""
    task, position = await call.cancel(_existing(task_id))
    return json(report(task), 202, position_header(position))


@router.delete("/content/orphans/")
async def remove_orphans(call: Calling) -> Response:
    """Start the removal of orphaned content."""
    return await _start(call, Submission(operation="remove-orphans"))


@router.post("/repositories/{repo_id}/actions/{action}/")
async def repository_action(call: Calling, request: Request, repo_id: str, action: str) -> Response:
    """Start a `sync` or a `publish` of a repository; the body's `override_config` has further arguments."""
    if action not in ("sync", "publish"):
        raise BadInput(f"unknown action {action!r}; known are: sync, publish")
    body = _json_object(await request.body() or b"{}")
    arguments = {**(body.get("override_config") or {}), "repo_id": repo_id}
    return await _start(call, Submission(operation=action, arguments=msgspec.Raw(msgspec.json.encode(arguments))))


async def _start(call: Call, submission: Submission) -> Response:
    accepted = await call.submit(submission)
    least = {accepted.position.partition: accepted.position.offset + 1}
    reading = await call.service.read(accepted.task_id, least=least)
    return json(report(reading.task), 202, position_header(accepted.position))


async def _list(call: Call, conditions: list[Condition], limit: int | None, skip: int) -> Response:
    call.principal.need(*Role)
    await call.at_least_positions()
    order = "t.accepted_at, t.task_id"
    async with call.service.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        shown = await queries.positions(connection)
        rows = await queries.tasks(connection, conditions, order=order, limit=limit, offset=skip)
    return json([report(row, with_href=False) for row in rows], headers=positions_header(shown))


def _filter(field: str, wanted: Any) -> Condition:
    values = wanted.get("$in") if isinstance(wanted, dict) else [wanted]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadInput(f"criteria.filters.{field}: a text, or an object with $in and a list of texts")
    match field:
        case "task_id":
            ids = [found for text in values if (found := _uuid(text)) is not None]
            return Condition("t.task_id = any (%(ids)s)", {"ids": ids})
        case "state":
            return _in_states(values)
        case "tags":
            return Condition("t.tags && %(tags)s", {"tags": values})
        case _:
            raise BadInput(f"criteria.filters.{field}: only task_id, state and tags can be searched")


def _in_states(words: list[str]) -> Condition:
    known = {word: state for state, word in WORDS.items()}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise BadInput(f"unknown state {', '.join(unknown)}; known are: {', '.join(known)}")
    states = [known[word] for word in words]
    if State.WAITING in states or State.RUNNING in states:
        return Condition(
            "(t.state = any (%(states)s) or (t.state = 'cancelling' and"
            " (case when t.started_at is null then 'waiting' else 'running' end) = any (%(states)s)))",
            {"states": states},
        )
    return Condition("t.state = any (%(states)s)", {"states": states})


def _existing(text: str) -> UUID:
    found = _uuid(text)
    if found is None:
        raise TaskNotFound(text)
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadInput("the body must be a JSON object")
    return found
