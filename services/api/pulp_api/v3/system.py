"""What the v3 root tells of the system: its status and its health."""

import asyncio
from importlib.metadata import version
from typing import Final, NamedTuple

from fastapi import APIRouter, Request, Response
from psycopg import Error as PostgresError
from pulp_events.errors import LogError
from pulp_events.findings import described
from pulp_projections.reading import queries
from pulp_projections.reading.queries import Condition
from pulp_projections.workers import Slots, WorkerRow, slots, unserved_queues, workers
from pulp_runtime.preconditions.looking import Report
from pulp_runtime.preconditions.watch import Watch

from pulp_api.openapi.document import EMULATED
from pulp_api.respond import json
from pulp_api.service import Service
from pulp_api.streaming.hub import Hub
from pulp_api.v3.tasks import ROOT
from pulp_api.v3.workers import worker

router = APIRouter(prefix=ROOT)
_PROBE_S: Final = 2.0
_ONLINE: Final = Condition("w.online")


@router.get("/status/")
async def status(request: Request) -> Response:
    """What Pulp 3 tells of itself, and how Kafka and the projection are; open to anonymous users."""
    service: Service = request.app.state.service
    online: list[WorkerRow] = []
    unserved: dict[str, int] = {}
    health = await _probe(service)
    if "postgres" not in health.down:
        async with service.connection() as connection:
            online = (await workers(connection, [_ONLINE])).rows
            unserved = await unserved_queues(connection)
    component = {"component": "core", "version": EMULATED, "package": "pulp-tasks", "module": "pulp_api"}
    return json(
        {
            "versions": [{**component, "domain_compatible": False}],
            "online_workers": [worker(row) for row in online],
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
            "workers": health.workers,
            "audit_fault": request.app.state.audit.fault,
            "findings": _findings(request),
            "unserved_queues": [{"queue": queue, "waiting": tasks} for queue, tasks in unserved.items()],
        }
    )


@router.get("/livez/")
async def live() -> Response:
    """200 as long as the process answers."""
    return json({"live": True})


@router.get("/readyz/")
async def ready(request: Request) -> Response:
    """200 if Kafka and Postgres answer and no data is in danger, else 503. Open to all.

    It tells the lag of every partition, what is down, and what was found at the last look at the preconditions.
    `workers` says how many are live, and how many of their slots are free. Without one the API is ready all the same.
    """
    health = await _probe(request.app.state.service)
    hub: Hub = request.app.state.hub
    down = health.down if hub.fault is None else {**health.down, "events": hub.fault}
    is_ready = not down and not _report(request).endangers_data
    body = {
        "ready": is_ready,
        "down": down,
        "lag": health.lag,
        "workers": health.workers,
        "findings": _findings(request),
    }
    return json(body, 200 if is_ready else 503)


def _report(request: Request) -> Report:
    watch: Watch | None = request.app.state.watch
    return Report() if watch is None else watch.report


def _findings(request: Request) -> list[dict[str, str | None]]:
    return [described(each) for each in _report(request).findings]


class _Health(NamedTuple):
    down: dict[str, str]
    """What does not answer: `kafka`, `postgres`."""
    lag: dict[str, int]
    """Partition → events that are not projected yet; empty while Kafka is down."""
    workers: dict[str, int] | None
    """Live workers, their slots and the free ones among these; None while Postgres is down."""


async def _probe(service: Service) -> _Health:
    kafka, postgres = await asyncio.gather(_ends(service), _read_model(service))
    down = {"kafka": "Kafka does not answer"} if kafka is None else {}
    if postgres is None:
        down["postgres"] = "Postgres does not answer"
    now = service.positions.current() if postgres is None else postgres.positions
    lag = {str(partition): max(0, end - now.get(partition, 0)) for partition, end in (kafka or {}).items()}
    return _Health(down, lag, None if postgres is None else postgres.slots._asdict())


class _ReadModel(NamedTuple):
    positions: dict[int, int]
    slots: Slots


async def _ends(service: Service) -> dict[int, int] | None:
    try:
        async with asyncio.timeout(_PROBE_S):
            return await service.log.end_offsets()
    except (LogError, TimeoutError):
        return None


async def _read_model(service: Service) -> _ReadModel | None:
    try:
        async with asyncio.timeout(_PROBE_S), service.connection() as connection:
            return _ReadModel(await queries.positions(connection), await slots(connection))
    except (PostgresError, TimeoutError):
        return None
