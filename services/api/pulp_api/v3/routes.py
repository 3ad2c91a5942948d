"""Tasks in the v3 dialect, with what Pulp 3 lacks: submission, history, progress."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, TypedDict
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from msgspec import Meta, Raw
from pulp_events.errors import TaskAlreadyFinal, TaskNotCancellable
from pulp_events.task import Position, State
from pulp_projections.personal.envelope import Opened
from pulp_projections.reading import queries
from pulp_projections.reading.pages import Page
from pulp_projections.reading.queue import before
from pulp_projections.times import moment

from pulp_api.as_of import moment_of_request, past
from pulp_api.authenticated_call import Authenticated
from pulp_api.canceller import Cancelled
from pulp_api.dialect import NOT_CANCELLABLE
from pulp_api.freshness import check_shown
from pulp_api.respond import (
    count_header,
    instant,
    json,
    lag_header,
    position_header,
    positions_header,
)
from pulp_api.submitting import rerun, submission
from pulp_api.submitting.submitter import Submitted
from pulp_api.task_reader import FoundTask
from pulp_api.v3 import unblocked
from pulp_api.v3.answers import AcceptedResponse, Time
from pulp_api.v3.asked import asked
from pulp_api.v3.cancelling import reason_of_cancel
from pulp_api.v3.dialect import ROOT, FieldErrors
from pulp_api.v3.explaining import explain
from pulp_api.v3.filters import TASK_FILTERS, order_of
from pulp_api.v3.long_poll import wait_as_asked
from pulp_api.v3.paging import DEFAULT_LIMIT, MAX_LIMIT, limit_and_offset, page_of
from pulp_api.v3.parameters import NUMBER, POSITION, QueryParameter, flag_of, names_of, refuse_unknown, without
from pulp_api.v3.picking import picker
from pulp_api.v3.tasks import MINIMAL, SingleTaskResponse, columns_of, href_of, id_of, shape, shape_alone
from pulp_api.v3.waiting import why

router = APIRouter(prefix=ROOT)
HISTORY_PARAMETERS: Final = [QueryParameter("limit", {**NUMBER, "minimum": 1}), QueryParameter("after", POSITION)]


class HistoryEntryResponse(TypedDict):
    """An event of a task."""

    partition: int
    offset: int
    type: str
    event_id: UUID
    event_time: Annotated[Time, Meta(description="When it was written, by its author's clock.")]
    time: Annotated[Time, Meta(description="When the broker received it, by the broker's clock.")]
    actor: str
    effect: Annotated[str, Meta(description="`applied`, or why the event was ignored.")]
    event: Annotated[Any, Meta(description="The event as it is in the log, in the CloudEvents format.")]


class ProfileArtifactsResponse(TypedDict):
    """The files of a task's diagnosis: name → URL."""

    urls: dict[str, str]


@router.get("/tasks/")
async def list_tasks(call: Authenticated, request: Request) -> Response:
    """A page of tasks; filters, `q`, `ordering`, `limit`, `offset`, `fields`, `minimal` and the others as in Pulp 3.

    With `as_of` (a time, an event as PARTITION:OFFSET, the Pulp-Position of an answer, or a cursor) the page as it was
    then, by rights of now. Reads only the columns that the wanted fields are made of.
    """
    as_of = request.query_params.get("as_of")
    query = request.query_params if as_of is None else without(request.query_params, "as_of")
    if as_of is not None or query.get("q", "").strip():
        await call.quotas.search(call.asking)
    conditions, order = asked(query, TASK_FILTERS, order_of)
    if flag_of(query.get("purged", "")) is None:
        conditions.append(queries.SHOWN)
    conditions += unblocked.parameters(call.service, query.multi_items())
    conditions += call.scope
    limit, offset = limit_and_offset(request)
    least = await call.at_least_positions()
    picked = picker(request, MINIMAL)
    wanted = columns_of(picked)
    are_times_shown = bool(picked({"unblocked_at": None}))
    if as_of is not None:
        async with past(call.service, request, as_of) as (connection, then):
            page = await call.service.pages.read(
                connection, conditions, order=order, limit=limit, offset=offset, wanted=wanted, past=then
            )
            has_times = are_times_shown and page.rows
            times = await unblocked.times_then(call.service, connection, then, page.rows) if has_times else {}
        return _page(request, page, picked, times, await call.service.personal.shown(page.rows))
    async with call.service.connection() as connection:
        page = await call.service.pages.read(
            connection, conditions, order=order, limit=limit, offset=offset, wanted=wanted
        )
    check_shown(page.shown, least)
    times = await unblocked.times_of(call.service, page.rows) if are_times_shown and page.rows else {}
    return _page(request, page, picked, times, await call.service.personal.shown(page.rows))


@router.post("/tasks/")
async def submit_task(call: Authenticated, request: Request) -> Response:
    """Submit a task: 202 once it is durable in Kafka."""
    call.need_submitter()  # before any error about the body
    return _submitted(await call.submit(submission.parse(await request.body())))


@router.get("/tasks/{task_id}/")
async def read_task(call: Authenticated, request: Request, task_id: str) -> Response:
    """One task, with every event that was durable when the request came; with `as_of`, as it was then.

    `as_of` is as that of lists; of an event, one of the task's own. `waiting_for` is why the task
    waits now; it is null if the task does not wait, and with `as_of`. With `wait`, such as `wait=30s`, the answer comes
    when the task has ended, or with `until=change` when it is not the same any more, or after that time.
    """
    await wait_as_asked(call, request, id_of(task_id))
    reading = await call.read(id_of(task_id))
    picked = picker(request, MINIMAL)
    waiting_for = None
    as_of = request.query_params.get("as_of")
    if as_of is None and picked({"waiting_for": None}) and reading.task.state == State.WAITING:
        async with call.service.connection() as connection:
            waiting_for = await why(
                partial(call.waiting_facts, connection),
                reading.task.task_id,
                call.quotas.running_of,
            )
        if waiting_for is None:  # it has started or ended since it was read
            reading = await call.read(reading.task.task_id)
    opened = (await call.service.personal.shown([reading.task])).get(reading.task.task_id)
    unblocked_at = await _unblocked_at(call, reading.task, as_of)
    task = shape_alone(reading.task, unblocked_at, reading.reruns, waiting_for, opened)
    return json(picked(task), headers=lag_header(reading.lag))


@router.get("/tasks/{task_id}/why/")
async def explain_task(call: Authenticated, task_id: str) -> Response:
    """All that keeps one task from running now, what to do about it, and the tasks before it on each resource."""
    reading = await call.read(id_of(task_id))
    async with call.service.connection() as connection:
        found = await explain(
            partial(call.waiting_facts, connection),
            partial(before, connection, unserved_s=call.service.unserved_s, scope=call.scope),
            reading.task,
            call.quotas.running_of,
        )
    return json(found, headers=lag_header(reading.lag))


@router.post("/tasks/{task_id}/rerun/")
async def rerun_task(call: Authenticated, request: Request, task_id: str) -> Response:
    """Rerun a task that has ended: a new task with the same operation, arguments, resources, tags, queue, priority and
    time limit, except for the body's changes. 202 once it is durable; 409 for a task that has not ended.
    """
    call.need_submitter()
    return _submitted(await call.rerun(id_of(task_id), rerun.parse(await request.body())))


@router.patch("/tasks/{task_id}/")
async def cancel_task(call: Authenticated, request: Request, task_id: str) -> Response:
    """`{"state": "canceled"}` cancels; a `reason` is kept in the history.

    A task that has ended, or cannot be cancelled, is answered 409 with the task, behind a `detail`.
    """
    known = id_of(task_id)
    reason = await reason_of_cancel(request)
    try:
        cancelled = await call.cancel(known, reason)
    except TaskAlreadyFinal:
        reading = await call.service.tasks.read(known)
        if reading.task.state == State.CANCELLED:
            return json(await _alone(call, reading))
        detail = f"Task {known} has already ended."
    except TaskNotCancellable:
        reading = await call.service.tasks.read(known)
        detail = NOT_CANCELLABLE.format(known)
    else:
        return json(await _alone(call, cancelled), headers=position_header(cancelled.position))
    return json({"detail": detail, **await _alone(call, reading)}, 409)  # clients print the beginning of the answer


@router.get("/tasks/{task_id}/progress/")
async def read_progress(call: Authenticated, task_id: str) -> Response:
    """The latest progress object."""
    reading = await call.read(id_of(task_id))
    return json(reading.task.progress, headers=lag_header(reading.lag))


@router.get("/tasks/{task_id}/profile_artifacts/")
async def list_profile_artifacts(call: Authenticated, task_id: str) -> Response:
    """The files of the task's profiling, by name; always none, as tasks are not profiled here."""
    await call.read(id_of(task_id))
    found: ProfileArtifactsResponse = {"urls": {}}
    return json(found)


@router.get("/tasks/{task_id}/history/")
async def read_history(
    call: Authenticated,
    request: Request,
    task_id: str,
    limit: Annotated[int, Query(ge=1)] = DEFAULT_LIMIT,
    after: str | None = None,
) -> Response:
    """The task's events in log order; `after=PARTITION:OFFSET` gives the page after an event."""
    refuse_unknown(request.query_params, names_of(HISTORY_PARAMETERS))
    start = None if after is None else _position(after)
    limit = min(limit, MAX_LIMIT)
    found = await call.history(id_of(task_id), after=start, limit=limit)
    following = None
    if found.has_more:
        last = found.entries[-1]
        where = Position(last.partition, last.record_offset)
        following = str(request.url.include_query_params(limit=limit, after=str(where)))
    results = [_history_entry(entry) for entry in found.entries]
    page = {"count": found.count, "next": following, "previous": None, "results": results}
    return json(page, headers=lag_header(found.lag))


def _page(
    request: Request,
    page: Page,
    picked: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    times: Mapping[UUID, datetime | None],
    opened: Mapping[UUID, Opened],
) -> Response:
    shown = [picked(shape(row, times.get(row.task_id), opened.get(row.task_id))) for row in page.rows]
    return json(
        page_of(request, page.total, shown),
        headers={**positions_header(page.shown), **count_header(is_estimate=page.is_estimate)},
    )


async def _alone(call: Authenticated, found: FoundTask | Cancelled) -> SingleTaskResponse:
    opened = (await call.service.personal.shown([found.task])).get(found.task.task_id)
    return shape_alone(found.task, await unblocked.time_of(call.service, found.task), found.reruns, opened=opened)


async def _unblocked_at(call: Authenticated, task: queries.TaskRow, as_of: str | None) -> datetime | None:
    if as_of is None:
        return await unblocked.time_of(call.service, task)
    when = moment_of_request(call.request, as_of)
    time = when if isinstance(when, datetime) else moment(task.updated_at_ms)
    return await unblocked.time_of(call.service, task, as_of=time)


def _submitted(submitted: Submitted) -> Response:
    href = href_of(submitted.task.task_id)
    body: AcceptedResponse = {"task": href}
    if submitted.warnings:
        body["warnings"] = [*submitted.warnings]
    return json(body, 202, {"Location": href, **position_header(submitted.position)})


def _history_entry(entry: queries.HistoryEntry) -> HistoryEntryResponse:
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


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError:
        raise FieldErrors({"after": [f"{text} is not PARTITION:OFFSET"]}) from None
