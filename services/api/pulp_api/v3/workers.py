"""Workers in the v3 dialect."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, LiteralString, TypedDict
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_projections.reading.queries import Condition
from pulp_projections.workers import WorkerRow, workers

from pulp_api.authenticated_call import Authenticated
from pulp_api.respond import instant, json
from pulp_api.v3.answers import Time
from pulp_api.v3.asked import asked
from pulp_api.v3.declared_filters import TIMES, DeclaredFilters, column, flag
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.identity import identity
from pulp_api.v3.ordering import ALL_EQUAL, order_by, ordering
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import TEXT, QueryParameter, controls
from pulp_api.v3.picking import picker
from pulp_api.v3.references import Kind
from pulp_api.v3.tasks import href_of

router = APIRouter(prefix=ROOT)
_ORDERS: Final[Mapping[str, LiteralString]] = {
    "pulp_created": "w.started_at",
    "pulp_last_updated": "w.heartbeat_at",
    "pulp_id": "w.instance_id",
    "pk": "w.instance_id",
    "name": "w.name",
    "last_heartbeat": "w.heartbeat_at",
    "versions": "w.versions::text",
    "app_type": ALL_EQUAL,
}
WORKER_FILTERS: Final = DeclaredFilters(
    [*controls("limit offset fields exclude_fields"), ordering(_ORDERS), QueryParameter("q", TEXT)],
    column("name", "w.name", "exact iexact in contains icontains startswith istartswith regex iregex"),
    column("last_heartbeat", "w.heartbeat_at", "exact lt lte gt gte range isnull", TIMES),
    flag("online", "w.online"),
    # A worker that shut down cleanly is not "missing" in Pulp 3; it no longer exists.
    flag("missing", "(not w.online and w.stopped_at is null)"),
    identity(Kind.WORKER, "w.instance_id"),
)


class WorkerResponse(TypedDict):
    """A worker: Pulp 3's fields, then those that only this service has."""

    pulp_href: str
    prn: str
    pulp_created: Time
    pulp_last_updated: Time
    name: str
    last_heartbeat: Time
    versions: dict[str, str]
    current_task: Annotated[str | None, Meta(description="The first of `current_tasks`.")]
    current_tasks: Annotated[list[str], Meta(description="The task that each busy slot runs.")]
    host: str
    queues: list[str]
    operations: list[str] | None
    concurrency: int
    slots: int
    busy_slots: int
    free_slots: int
    online: bool
    draining: Annotated[bool, Meta(description="It finishes its tasks and gets no more.")]


@router.get("/workers/")
async def list_workers(call: Authenticated, request: Request) -> Response:
    """A page of the workers, without those that stopped long ago; newest first, or as `ordering` says."""
    conditions, order = asked(request.query_params, WORKER_FILTERS, _order_of)
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        page = await workers(connection, conditions, order=order, limit=limit, offset=offset)
    picked = picker(request)
    return json(page_of(request, page.total, [picked(worker(row)) for row in page.rows]))


@router.get("/workers/{worker_id}/")
async def read_worker(call: Authenticated, request: Request, worker_id: str) -> Response:
    """One worker, by its instance id."""
    try:
        instance_id = UUID(worker_id)
    except ValueError:
        return json({"detail": "Not found."}, 404)
    wanted = Condition("w.instance_id = %(instance_id)s", {"instance_id": instance_id})
    async with call.service.connection() as connection:
        page = await workers(connection, [wanted])
    if not page.rows:
        return json({"detail": "No Worker matches the given query."}, 404)
    return json(picker(request)(worker(page.rows[0])))


def _order_of(texts: Sequence[str]) -> LiteralString:
    return order_by(texts, _ORDERS, "w.started_at desc, w.name")


def worker(row: WorkerRow) -> WorkerResponse:
    """A worker in JSON."""
    tasks = [href_of(task_id) for task_id in row.current_tasks]
    return {
        "pulp_href": Kind.WORKER.href(row.instance_id),
        "prn": Kind.WORKER.prn(row.instance_id),
        "pulp_created": instant(row.started_at),
        "pulp_last_updated": instant(row.heartbeat_at),
        "name": row.name,
        "last_heartbeat": instant(row.heartbeat_at),
        "versions": row.versions,
        "current_task": tasks[0] if tasks else None,
        "current_tasks": tasks,
        "host": row.host,
        "queues": row.queues,
        "operations": row.operations,
        "concurrency": row.concurrency,
        "slots": row.concurrency,
        "busy_slots": row.busy_slots,
        "free_slots": row.free_slots,
        "online": row.online,
        "draining": row.draining,
    }
