"""What the v3 root tells of the system: operations, workers, status, health, and the API's document."""

import asyncio
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request, Response
from psycopg import Error as PostgresError
from pulp_events.errors import LogError
from pulp_projections import queries
from pulp_projections.queries import WorkerRow

from pulp_api.context import Calling
from pulp_api.failures import FieldErrors
from pulp_api.openapi import EMULATED, document
from pulp_api.paging import limit_and_offset, page_of
from pulp_api.respond import instant, json
from pulp_api.service import Service
from pulp_api.stream import Hub
from pulp_api.v3_filters import NOT_FILTERS
from pulp_api.v3_tasks import ROOT, href_of, names_of, pick

router = APIRouter(prefix=ROOT)
_PROBE_S: Final = 2.0


@router.get("/operations/")
async def list_operations(call: Calling) -> Response:
    """What may be submitted."""
    async with call.service.connection() as connection:
        found = await queries.operations(connection)
    rows = [row._asdict() for row in found]
    return json({"count": len(rows), "next": None, "previous": None, "results": rows})


@router.get("/workers/")
async def list_workers(call: Calling, request: Request) -> Response:
    """A page of the workers that ever registered, youngest first."""
    query = request.query_params
    for name in query:
        if name not in NOT_FILTERS and name not in _WORKER_FILTERS:
            raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
    async with call.service.connection() as connection:
        found = await queries.workers(connection)
    wanted = [
        row
        for row in found
        if all(_WORKER_FILTERS[name](row, query[name]) for name in query if name in _WORKER_FILTERS)
    ]
    limit, offset = limit_and_offset(request)
    fields, excluded = names_of(query.getlist("fields")), names_of(query.getlist("exclude_fields"))
    rows = [pick(worker(row), fields, excluded, minimal=False) for row in wanted[offset : offset + limit]]
    return json(page_of(request, len(wanted), rows))


@router.get("/workers/{worker_id}/")
async def read_worker(call: Calling, worker_id: str) -> Response:
    """One worker, by the id of its process."""
    async with call.service.connection() as connection:
        found = [row for row in await queries.workers(connection) if str(row.instance_id) == worker_id]
    if not found:
        return json({"detail": "No Worker matches the given query."}, 404)
    return json(worker(found[0]))


@router.get("/status/")
async def status(request: Request) -> Response:
    """What Pulp 3 tells of itself, and how Kafka and the projection are; open to anonymous users."""
    service: Service = request.app.state.service
    found: list[WorkerRow] = []
    health = await _probe(service)
    if "postgres" not in health.down:
        async with service.connection() as connection:
            found = await queries.workers(connection)
    component = {"component": "core", "version": EMULATED, "package": "pulp-tasks", "module": "pulp_api"}
    return json(
        {
            "versions": [{**component, "domain_compatible": False}],
            "online_workers": [worker(row) for row in found if row.online],
            "online_api_apps": [],
            "online_content_apps": [],
            "database_connection": {"connected": "postgres" not in health.down},
            "redis_connection": None,
            "storage": None,
            "content_settings": {"content_origin": None, "content_path_prefix": "/pulp/content/"},
            "domain_enabled": False,
            "pulp_tasks_version": version("pulp-tasks"),
            "kafka_connection": {"connected": "kafka" not in health.down},
            "lag": None if health.down else sum(health.lag.values()),
        }
    )


@router.get("/livez/")
async def live() -> Response:
    """200 as long as the process answers."""
    return json({"live": True})


@router.get("/readyz/")
async def ready(request: Request) -> Response:
    """200 if Kafka and Postgres answer, else 503; with the lag of every partition, and what is down. Open to all."""
    health = await _probe(request.app.state.service)
    hub: Hub = request.app.state.hub
    down = health.down if hub.fault is None else {**health.down, "events": hub.fault}
    return json({"ready": not down, "down": down, "lag": health.lag}, 503 if down else 200)


class _Health(NamedTuple):
    down: dict[str, str]
    """What does not answer: `kafka`, `postgres`."""
    lag: dict[str, int]
    """Partition → events that are not projected yet; empty while Kafka is down."""


async def _probe(service: Service) -> _Health:
    kafka, postgres = await asyncio.gather(_ends(service), _positions(service))
    down = {"kafka": "Kafka does not answer"} if kafka is None else {}
    if postgres is None:
        down["postgres"] = "Postgres does not answer"
    now = service.positions.current() if postgres is None else postgres
    lag = {str(partition): max(0, end - now.get(partition, 0)) for partition, end in (kafka or {}).items()}
    return _Health(down, lag)


async def _ends(service: Service) -> dict[int, int] | None:
    try:
        async with asyncio.timeout(_PROBE_S):
            return await service.log.end_offsets()
    except (LogError, TimeoutError):
        return None


async def _positions(service: Service) -> dict[int, int] | None:
    try:
        async with asyncio.timeout(_PROBE_S), service.connection() as connection:
            return await queries.positions(connection)
    except (PostgresError, TimeoutError):
        return None


@router.get("/docs/api.json")
async def api_document() -> Response:
    """The OpenAPI document that pulp-cli reads."""
    return json(document())


def worker(row: WorkerRow) -> dict[str, Any]:
    """A worker as Pulp 3 shows it, and what only ours have."""
    return {
        "pulp_href": f"{ROOT}/workers/{row.instance_id}/",
        "prn": f"prn:core.worker:{row.instance_id}",
        "pulp_created": instant(row.started_at),
        "pulp_last_updated": instant(row.heartbeat_at),
        "name": row.name,
        "last_heartbeat": instant(row.heartbeat_at),
        "versions": row.versions,
        "current_task": None if row.current_task is None else href_of(row.current_task),
        "host": row.host,
        "queues": row.queues,
        "concurrency": row.concurrency,
        "online": row.online,
    }


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


_WORKER_FILTERS: Final[Mapping[str, Callable[[WorkerRow, str], bool]]] = {
    "name": lambda row, text: row.name == text,
    "name__in": lambda row, text: row.name in text.split(","),
    "name__contains": lambda row, text: text in row.name,
    "name__icontains": lambda row, text: text.lower() in row.name.lower(),
    "name__startswith": lambda row, text: row.name.startswith(text),
    "online": lambda row, text: row.online == _is_true(text),
    # Pulp 3 has no word for one that was stopped in order: it is gone.
    "missing": lambda row, text: (not row.online and row.stopped_at is None) == _is_true(text),
}
