"""The Pulp 3 dialect, with what it lacks: submission, history, progress."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import Raw
from pulp_events.errors import BadInput, TaskAlreadyFinal, TaskNotCancellable, TaskNotFound
from pulp_events.task import Position, State
from pulp_projections.reading import queries
from pulp_projections.reading.waiting import facts_of

from pulp_api.context import MAX_REASON, Calling
from pulp_api.failures import NOT_CANCELLABLE, FieldErrors
from pulp_api.respond import count_header, instant, json, lag_header, position_header, positions_header
from pulp_api.service import Submitted, check_shown
from pulp_api.submitting import rerun, submission
from pulp_api.v3.expression import expression
from pulp_api.v3.filters import NOT_FILTERS, condition_of, order_of
from pulp_api.v3.paging import DEFAULT_LIMIT, MOST, limit_and_offset, page_of
from pulp_api.v3.tasks import ROOT, columns_of, href_of, names_of, pick, shape, shape_alone
from pulp_api.v3.waiting import why

router = APIRouter(prefix=ROOT)


@router.get("/tasks/")
async def list_tasks(call: Calling, request: Request) -> Response:
    """A page of tasks; filters, `q`, `ordering`, `limit`, `offset`, `fields`, `minimal` and the others as in Pulp 3.

    Only what the wanted fields are made of is read.
    """
    query = request.query_params
    if "q" in query:
        await call.quotas.search(call.asking)
    conditions = [
        expression(query["q"]) if name == "q" else condition_of(name, query.getlist(name))
        for name in query
        if name not in NOT_FILTERS
    ]
    order = order_of(query.getlist("ordering"))
    limit, offset = limit_and_offset(request)
    least = await call.at_least_positions()
    picked = _picker(request)
    wanted = columns_of(picked)
    async with call.service.connection() as connection:
        page = await call.service.pages.read(
            connection, conditions, order=order, limit=limit, offset=offset, wanted=wanted
        )
    check_shown(page.shown, least)
    return json(
        page_of(request, page.total, [picked(shape(row)) for row in page.rows]),
        headers={**positions_header(page.shown), **count_header(is_estimate=page.is_estimate)},
    )


@router.post("/tasks/")
async def submit_task(call: Calling, request: Request) -> Response:
    """Submit a task: 202 once it is durable in Kafka."""
    call.need_submitter()  # before anything is said of the body
    return _submitted(await call.submit(submission.parse(await request.body())))


@router.get("/tasks/{task_id}/")
async def read_task(call: Calling, request: Request, task_id: str) -> Response:
    """One task, with everything that was durable when the request came; with `as_of` as it was.

    `as_of` is a time (RFC 3339), or the PARTITION:OFFSET of one of its events. `waiting_for` is why the task waits now:
    null if it does not, and with `as_of`.
    """
    reading = await call.read(_uuid(task_id))
    picked = _picker(request)
    waiting_for = None
    is_asked = "as_of" not in request.query_params and picked({"waiting_for": None})
    if is_asked and reading.task.state == State.WAITING:
        async with call.service.connection() as connection:
            waiting_for = await why(
                partial(facts_of, connection, unserved_s=call.service.unserved_s),
                reading.task.task_id,
                call.quotas.running_of,
            )
        if waiting_for is None:  # it has begun, or ended, since it was read
            reading = await call.read(reading.task.task_id)
    task = shape_alone(reading.task, reading.reruns, waiting_for)
    return json(picked(task), headers=lag_header(reading.lag))


@router.post("/tasks/{task_id}/rerun/")
async def rerun_task(call: Calling, request: Request, task_id: str) -> Response:
    """Run a task that has ended again: a new task with the same operation, arguments, resources, tags, queue, priority
    and time limit, but for what the body changes. 202 once it is durable; 409 for a task that has not ended.
    """
    call.need_submitter()
    return _submitted(await call.rerun(_uuid(task_id), rerun.parse(await request.body())))


@router.patch("/tasks/{task_id}/")
async def cancel_task(call: Calling, request: Request, task_id: str) -> Response:
    """`{"state": "canceled"}` cancels; a `reason` is kept in the history.

    A task that has ended, or cannot be cancelled, is answered 409 with the task.
    """
    known = _uuid(task_id)
    reason = _reason_of_cancel(await request.body())
    try:
        cancelled = await call.cancel(known, reason)
    except TaskAlreadyFinal:
        reading = await call.service.read(known)
        status = 200 if reading.task.state == State.CANCELLED else 409
        return json(shape_alone(reading.task, reading.reruns), status)
    except TaskNotCancellable:
        reading = await call.service.read(known)
        return json({**shape_alone(reading.task, reading.reruns), "detail": NOT_CANCELLABLE.format(known)}, 409)
    return json(shape_alone(cancelled.task, cancelled.reruns), headers=position_header(cancelled.position))


@router.get("/tasks/{task_id}/progress/")
async def read_progress(call: Calling, task_id: str) -> Response:
    """The newest progress object."""
    reading = await call.read(_uuid(task_id))
    return json(Raw(reading.task.progress.encode()), headers=lag_header(reading.lag))


@router.get("/tasks/{task_id}/history/")
async def read_history(
    call: Calling,
    request: Request,
    task_id: str,
    limit: Annotated[int, Query(ge=1)] = DEFAULT_LIMIT,
    after: str | None = None,
) -> Response:
    """The task's events in log order; `after=PARTITION:OFFSET` gives the page after an event."""
    start = None if after is None else _position(after)
    limit = min(limit, MOST)
    found = await call.history(_uuid(task_id), after=start, limit=limit)
    following = None
    if found.has_more:
        last = found.entries[-1]
        where = Position(last.partition, last.record_offset)
        following = str(request.url.include_query_params(limit=limit, after=str(where)))
    results = [_history_entry(entry) for entry in found.entries]
    page = {"count": found.count, "next": following, "previous": None, "results": results}
    return json(page, headers=lag_header(found.lag))


def _submitted(submitted: Submitted) -> Response:
    href = href_of(submitted.task.task_id)
    told = {"warnings": submitted.warnings} if submitted.warnings else {}
    return json({"task": href, **told}, 202, {"Location": href, **position_header(submitted.position)})


def _history_entry(entry: queries.HistoryEntry) -> dict[str, Any]:
    return {
        "partition": entry.partition,
        "offset": entry.record_offset,
        "type": entry.type,
        "event_id": entry.event_id,
        "event_time": instant(entry.event_time),
        "time": instant(entry.broker_time),
        "actor": entry.actor,
        "effect": entry.effect,
        "event": Raw(entry.event),
    }


def _picker(request: Request) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What picks of a task the fields that the request wants."""
    query = request.query_params
    fields, excluded = names_of(query.getlist("fields")), names_of(query.getlist("exclude_fields"))
    minimal = query.get("minimal", "").lower() in ("true", "1")
    if not (fields or excluded or minimal):
        return lambda task: task
    return lambda task: pick(task, fields, excluded, minimal=minimal)


def _reason_of_cancel(body: bytes) -> str | None:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"JSON parse error - {error}") from error
    if not isinstance(found, dict) or "state" not in found:
        raise FieldErrors({"state": ["This field is required."]})
    if found["state"] != "canceled":
        raise FieldErrors({"state": ["The only acceptable value for 'state' is 'canceled'."]})
    reason = found.get("reason")
    if reason is not None and not (isinstance(reason, str) and len(reason) <= MAX_REASON):
        raise FieldErrors({"reason": [f"A text of at most {MAX_REASON} characters is expected."]})
    return reason


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise TaskNotFound(text) from None


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError:
        raise FieldErrors({"after": [f"{text} is not PARTITION:OFFSET"]}) from None
