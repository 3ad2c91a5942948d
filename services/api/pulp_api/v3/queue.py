"""What waits, by queue and by resource."""

from typing import Annotated, TypedDict

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_projections.reading.queue import InLine, QueueRow, ResourceRow, busiest, line_of, queues

from pulp_api.authenticated_call import Authenticated
from pulp_api.respond import instant, json
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.explaining import Access, Holders, Others, access_word, holder, seconds_since
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.tasks import href_of

router = APIRouter(prefix=ROOT)
_OldestWait = Annotated[float | None, Meta(description="Since its acceptance; null if none waits.")]


class QueueResponse(TypedDict):
    """What waits in a queue, and who serves it."""

    name: str
    waiting: Annotated[int, Meta(description="Runnable and blocked ones.")]
    runnable: Annotated[int, Meta(description="Tasks for which only a worker with a free slot is missing.")]
    blocked: Annotated[
        int,
        Meta(
            description="Waiting tasks that more workers would not help: now they need a resource or another task, or"
            " their user may run no more."
        ),
    ]
    running: Annotated[int, Meta(description="Tasks that occupy a slot.")]
    wanted_slots: Annotated[
        int,
        Meta(description="Runnable and running ones: how many slots could be in use, which an autoscaler should read."),
    ]
    unserved: Annotated[int, Meta(description="Waiting tasks, runnable or blocked, that no live worker can run.")]
    oldest_wait_seconds: _OldestWait
    workers: Annotated[int, Meta(description="Live workers that serve it and do not drain.")]
    slots: int
    free_slots: Annotated[int | None, Meta(description="Null for a user who may not see all tasks.")]


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
            description="Those behind it do not wait for it: for too long nobody could run it, or it waits for its"
            " next attempt."
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
async def list_queues(call: Authenticated, name: str | None = None) -> Response:
    """All queues that have tasks or workers, by name: how many tasks are runnable, blocked and running.

    With `name` only this one, which may have neither. Where only own tasks are visible, viewers and submitters are told
    of these, and of workers and slots; `free_slots` is null, since it would tell how many others run.
    """
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    async with call.service.connection() as connection:
        found = await queues(
            connection,
            unserved_s=call.service.unserved_s,
            running_of=call.quotas.running_of,
            scope=call.scope,
        )
    if name is not None:
        empty = QueueRow(name, 0, 0, 0, 0, None, 0, 0, 0)
        found = [next((row for row in found if row.name == name), empty)]
    rows = [_queue(row, sees_all=not call.scope) for row in found]
    return json({"count": len(rows), "next": None, "previous": None, "results": rows})


@router.get("/resources/")
async def list_resources(call: Authenticated, request: Request) -> Response:
    """A page of the resources that tasks wait for or hold: first those for which most tasks wait."""
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        page = await busiest(connection, limit=limit, offset=offset, scope=call.scope)
    return json(page_of(request, page.total, [_resource(row) for row in page.rows]))


@router.get("/resources/line/")
async def read_line(call: Authenticated, request: Request, resource: str) -> Response:
    """Who holds a resource (`resource=TYPE:ID`), and who waits for it, in order; at most `limit` of them."""
    await call.quotas.search(call.asking)
    await call.at_least_positions()
    limit, _ = limit_and_offset(request)
    async with call.service.connection() as connection:
        found = await line_of(connection, resource, limit=limit, unserved_s=call.service.unserved_s, scope=call.scope)
    line: LineResponse = {
        "resource": resource,
        "held_by": [holder(each) for each in found.held_by],
        "others": found.has_others,
        "waiting": found.waiting,
        "tasks": [_in_line(place, each) for place, each in enumerate(found.tasks, 1)],
    }
    return json(line)


def _queue(row: QueueRow, *, sees_all: bool) -> QueueResponse:
    return {
        "name": row.name,
        "waiting": row.runnable + row.blocked,
        "runnable": row.runnable,
        "blocked": row.blocked,
        "running": row.running,
        "wanted_slots": row.runnable + row.running,
        "unserved": row.unserved,
        "oldest_wait_seconds": None if row.oldest_at is None else seconds_since(row.oldest_at),
        "workers": row.workers,
        "slots": row.slots,
        "free_slots": row.free_slots if sees_all else None,
    }


def _resource(row: ResourceRow) -> ResourceResponse:
    return {
        "resource": row.resource,
        "waiting": row.waiting,
        "oldest_wait_seconds": None if row.oldest_at is None else seconds_since(row.oldest_at),
        "held_by": [holder(each) for each in row.held_by],
        "others": row.has_others,
    }


def _in_line(place: int, row: InLine) -> InLineResponse:
    return {
        "place": place,
        "task": href_of(row.task_id),
        "name": row.operation,
        "queue": row.queue,
        "access": access_word(row.is_exclusive),
        "pulp_created": instant(row.accepted_at),
        "wait_seconds": seconds_since(row.accepted_at),
        "passed_over": row.is_passed_over,
    }
