"""The workers, as Pulp 3 shows them."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pulp_projections.reading.queries import Condition
from pulp_projections.workers import WorkerRow, workers

from pulp_api.context import Calling
from pulp_api.failures import FieldErrors
from pulp_api.respond import instant, json
from pulp_api.v3.filters import NOT_FILTERS
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.tasks import ROOT, href_of, names_of, pick

router = APIRouter(prefix=ROOT)


@router.get("/workers/")
async def list_workers(call: Calling, request: Request) -> Response:
    """A page of the workers, youngest first. Those that have been gone for long are forgotten."""
    query = request.query_params
    conditions = [_condition(name, query[name]) for name in query if name not in NOT_FILTERS]
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        page = await workers(connection, conditions, limit=limit, offset=offset)
    fields, excluded = names_of(query.getlist("fields")), names_of(query.getlist("exclude_fields"))
    rows = [pick(worker(row), fields, excluded, minimal=False) for row in page.rows]
    return json(page_of(request, page.total, rows))


@router.get("/workers/{worker_id}/")
async def read_worker(call: Calling, worker_id: str) -> Response:
    """One worker, by the id of its process."""
    try:
        instance_id = UUID(worker_id)
    except ValueError:
        return _no_worker()
    wanted = Condition("w.instance_id = %(instance_id)s", {"instance_id": instance_id})
    async with call.service.connection() as connection:
        page = await workers(connection, [wanted])
    return json(worker(page.rows[0])) if page.rows else _no_worker()


def worker(row: WorkerRow) -> dict[str, Any]:
    """A worker as Pulp 3 shows it, and what only ours have."""
    tasks = [href_of(task_id) for task_id in row.current_tasks]
    return {
        "pulp_href": f"{ROOT}/workers/{row.instance_id}/",
        "prn": f"prn:core.worker:{row.instance_id}",
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
        "free_slots": row.concurrency - row.busy_slots if row.online else 0,
        "online": row.online,
    }


def _no_worker() -> Response:
    return json({"detail": "No Worker matches the given query."}, 404)


def _condition(name: str, text: str) -> Condition:
    maker = _FILTERS.get(name)
    if maker is None:
        raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
    return maker(text)


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


_FILTERS: Final[Mapping[str, Callable[[str], Condition]]] = {
    "name": lambda text: Condition("w.name = %(name)s", {"name": text}),
    "name__in": lambda text: Condition("w.name = any (%(name__in)s)", {"name__in": names_of([text])}),
    "name__contains": lambda text: Condition("position(%(contains)s in w.name) > 0", {"contains": text}),
    "name__icontains": lambda text: Condition(
        "position(lower(%(icontains)s) in lower(w.name)) > 0", {"icontains": text}
    ),
    "name__startswith": lambda text: Condition("starts_with(w.name, %(startswith)s)", {"startswith": text}),
    "online": lambda text: Condition("w.online = %(online)s", {"online": _is_true(text)}),
    # Pulp 3 has no word for one that was stopped in order: it is gone.
    "missing": lambda text: Condition(
        "(not w.online and w.stopped_at is null) = %(missing)s", {"missing": _is_true(text)}
    ),
}
