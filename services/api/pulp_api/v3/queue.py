"""Waiting tasks, by queue and by resource."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, TypedDict

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_projections.reading.queue import InLine, QueueRow, ResourceRow, busiest, line_of, queues

from pulp_api.as_of import past
from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.respond import instant, json, positions_header
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.explaining import Access, Holders, Others, access_word, holder, seconds_since
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import refuse_unknown
from pulp_api.v3.tasks import href_of

router = APIRouter(prefix=ROOT)
_OF_ALL: Final = ("limit", "offset", "as_of")
"""Clients page lists that have one page, too."""
_OldestWait = Annotated[
    float | None, Meta(description="Since its acceptance; null if none waits. For a queue, parked tasks do not count.")
]


class QueueResponse(TypedDict):
    """What waits in a queue, and who serves it."""

    name: str
    waiting: Annotated[int, Meta(description="Runnable, blocked and parked ones.")]
    runnable: Annotated[int, Meta(description="Tasks that only need a worker with a free slot.")]
    blocked: Annotated[
        int,
        Meta(
            description="Waiting tasks that more workers would not help: they need a resource or another task, or"
            " their user has reached a limit."
        ),
    ]
    parked: Annotated[
        int | None,
        Meta(
            description="Waiting tasks with a record that cannot be projected: they go on once an operator retries or"
            " discards it. Null with `as_of`, where they count like any other task."
        ),
    ]
    running: Annotated[int, Meta(description="Tasks that occupy a slot.")]
    wanted_slots: Annotated[
        int,
        Meta(
            description="Runnable and running tasks: the number of slots that could be in use. Autoscalers should read"
            " this."
        ),
    ]
    unserved: Annotated[
        int | None,
        Meta(description="Waiting tasks, runnable or blocked, that no live worker can run. Null with `as_of`."),
    ]
    oldest_wait_seconds: _OldestWait
    workers: Annotated[
        int | None,
        Meta(description="Live workers that serve it and are not draining. Null with `as_of`, as it is not recorded."),
    ]
    slots: Annotated[int | None, Meta(description="Null with `as_of`.")]
    free_slots: Annotated[int | None, Meta(description="Null for a user who may not see all tasks, and with `as_of`.")]


class ResourceResponse(TypedDict):
    """A resource that tasks wait for or hold."""

    resource: str
    waiting: int
    oldest_wait_seconds: _OldestWait
    held_by: Holders
    others: Others


class InLineResponse(TypedDict):
    """A task that waits for a resource."""

    place: int
    task: str
    name: str
    queue: str
    access: Access
    pulp_created: Time
    wait_seconds: float
    passed_over: Annotated[
        bool,
        Meta(
            description="Whether the tasks behind it do not wait for it: no worker could run it for too long, it waits"
            " for its next attempt, or it is parked."
        ),
    ]


class LineResponse(TypedDict):
    """Who holds a resource, and who waits for it, in order."""

    resource: str
    held_by: Holders
    others: Others
    waiting: int
    tasks: list[InLineResponse]


@router.get("/queues/")
async def list_queues(
    call: Authenticated, request: Request, name: str | None = None, as_of: str | None = None
) -> Response:
    """All queues that have tasks or workers, by name: how many tasks are runnable, blocked and running.

    With `name` only this one, which may have neither. If users see only their own tasks, viewers and submitters get the
    numbers of those, and workers and slots; `free_slots` is null, since it would disclose how many others run.

    With `as_of` as they were then, as far as events record it: a running task held its resources, and one that was
    assigned but not started counts as waiting; workers, slots and users' limits are not recorded.
    """
    refuse_unknown(request.query_params, ("name", *_OF_ALL))
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    if as_of is not None:
        async with past(call.service, request, as_of) as (connection, then):
            found = await queues(connection, unserved_s=call.service.unserved_s, scope=call.scope, past=then)
        headers = positions_header(then.moment.stops)
        return _queues(call, found, name, headers, then.moment.time)
    async with call.service.connection() as connection:
        found = await queues(
            connection,
            unserved_s=call.service.unserved_s,
            running_of=call.quotas.running_of,
            scope=call.scope,
        )
    return _queues(call, found, name, {})


@router.get("/resources/")
async def list_resources(call: Authenticated, request: Request) -> Response:
    """A page of the resources that tasks wait for or hold: first those for which most tasks wait.

    With `as_of` as it was then; a task that ran held its resources.
    """
    refuse_unknown(request.query_params, _OF_ALL)
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    limit, offset = limit_and_offset(request)
    if (as_of := request.query_params.get("as_of")) is not None:
        async with past(call.service, request, as_of) as (connection, then):
            page = await busiest(connection, limit=limit, offset=offset, scope=call.scope, past=then)
        rows = [_resource(row, then.moment.time) for row in page.rows]
        return json(page_of(request, page.total, rows), headers=positions_header(then.moment.stops))
    async with call.service.connection() as connection:
        page = await busiest(connection, limit=limit, offset=offset, scope=call.scope)
    return json(page_of(request, page.total, [_resource(row) for row in page.rows]))


@router.get("/resources/line/")
async def read_line(call: Authenticated, request: Request, resource: str) -> Response:
    """Who holds a resource (`resource=TYPE:ID`), and who waits for it, in order; at most `limit` of them.

    With `as_of` as it was then; a task that ran held its resources.
    """
    refuse_unknown(request.query_params, ("resource", *_OF_ALL))
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    limit, _ = limit_and_offset(request)
    unserved_s, now = call.service.unserved_s, None
    headers: dict[str, str] = {}
    if (as_of := request.query_params.get("as_of")) is not None:
        async with past(call.service, request, as_of) as (connection, then):
            found = await line_of(connection, resource, limit=limit, unserved_s=unserved_s, scope=call.scope, past=then)
        headers, now = positions_header(then.moment.stops), then.moment.time
    else:
        async with call.service.connection() as connection:
            found = await line_of(connection, resource, limit=limit, unserved_s=unserved_s, scope=call.scope)
    line: LineResponse = {
        "resource": resource,
        "held_by": [holder(each, now) for each in found.held_by],
        "others": found.has_others,
        "waiting": found.waiting,
        "tasks": [_in_line(place, each, now) for place, each in enumerate(found.tasks, 1)],
    }
    return json(line, headers=headers)


def _queues(
    call: AuthenticatedCall,
    found: list[QueueRow],
    name: str | None,
    headers: Mapping[str, str],
    then: datetime | None = None,
) -> Response:
    if name is not None:
        empty = QueueRow(name, 0, 0, 0, 0, 0, None, 0, 0, 0)
        found = [next((row for row in found if row.name == name), empty)]
    rows = [_queue(row, then, sees_all=not call.scope) for row in found]
    return json({"count": len(rows), "next": None, "previous": None, "results": rows}, headers=headers)


def _queue(row: QueueRow, then: datetime | None, *, sees_all: bool) -> QueueResponse:
    is_now = then is None
    return {
        "name": row.name,
        "waiting": row.runnable + row.blocked + row.parked,
        "runnable": row.runnable,
        "blocked": row.blocked,
        "parked": row.parked if is_now else None,
        "running": row.running,
        "wanted_slots": row.runnable + row.running,
        "unserved": row.unserved if is_now else None,
        "oldest_wait_seconds": None if row.oldest_at is None else seconds_since(row.oldest_at, then),
        "workers": row.workers if is_now else None,
        "slots": row.slots if is_now else None,
        "free_slots": row.free_slots if is_now and sees_all else None,
    }


def _resource(row: ResourceRow, now: datetime | None = None) -> ResourceResponse:
    return {
        "resource": row.resource,
        "waiting": row.waiting,
        "oldest_wait_seconds": None if row.oldest_at is None else seconds_since(row.oldest_at, now),
        "held_by": [holder(each, now) for each in row.held_by],
        "others": row.has_others,
    }


def _in_line(place: int, row: InLine, now: datetime | None) -> InLineResponse:
    return {
        "place": place,
        "task": href_of(row.task_id),
        "name": row.operation,
        "queue": row.queue,
        "access": access_word(row.is_exclusive),
        "pulp_created": instant(row.accepted_at),
        "wait_seconds": seconds_since(row.accepted_at, now),
        "passed_over": row.is_passed_over,
    }
