"""The status and the health of the system."""

import asyncio
from importlib.metadata import version
from typing import Annotated, Final, NamedTuple, TypedDict

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from psycopg import Error as PostgresError
from pulp_events.errors import LogError
from pulp_events.findings import described
from pulp_projections.reading import queries
from pulp_projections.reading.queries import Condition
from pulp_projections.schedules.reading import LATE_S, SchedulesHealth, schedules_health
from pulp_projections.workers import Dispatching, Slots, Unserved, WorkerRow, dispatching, slots, unserved, workers
from pulp_runtime.preconditions.looking import Report
from pulp_runtime.preconditions.watch import Watch

from pulp_api.respond import json
from pulp_api.service import Service
from pulp_api.streaming.hub import Hub
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.workers import WorkerResponse, worker

router = APIRouter(prefix=ROOT)
EMULATED: Final = "3.123.1"
"""The pulpcore release whose interface this one follows; clients choose features by it."""
_PROBE_S: Final = 2.0
_ONLINE: Final = Condition("w.online")


class VersionResponse(TypedDict):
    """A component of the server."""

    component: str
    version: str
    package: str
    module: str
    domain_compatible: bool


class ConnectionResponse(TypedDict):
    """Whether a service that this one needs answers."""

    connected: bool


class ContentSettingsResponse(TypedDict):
    """Where Pulp 3 serves content: this API's own address, which serves none."""

    content_origin: str
    content_path_prefix: str


class UnservedQueueResponse(TypedDict):
    """A queue whose tasks no live worker can run."""

    queue: str
    waiting: int


class UnservedOperationResponse(UnservedQueueResponse):
    """An operation that no live worker of the queue offers."""

    operation: str


Settling = Annotated[
    bool | None,
    Meta(
        description="Whether the processor that assigns tasks has just taken over, and assigns nothing before the"
        " events in the log as of then are projected, and workers have reported what they run."
    ),
]


class StatusResponse(TypedDict):
    """Pulp 3's status, then that of what only this service has."""

    versions: list[VersionResponse]
    online_workers: list[WorkerResponse]
    online_api_apps: list[WorkerResponse]
    online_content_apps: list[WorkerResponse]
    database_connection: ConnectionResponse
    content_settings: ContentSettingsResponse
    domain_enabled: bool
    pulp_tasks_version: str
    kafka_connection: ConnectionResponse
    lag: Annotated[int | None, Meta(description="Events not projected yet; null if that is unknown.")]
    workers: Annotated[dict[str, int] | None, Meta(description="Live workers, their slots, and free slots.")]
    audit_fault: str | None
    findings: Annotated[
        list[dict[str, str | None]], Meta(description="The findings of the last check of the preconditions.")
    ]
    dispatching: Annotated[bool | None, Meta(description="Whether a processor assigns tasks to workers.")]
    settling: Settling
    schedules: Annotated[
        dict[str, float | None] | None,
        Meta(description="How many there are, how many are enabled or overdue, and by how long."),
    ]
    unserved_queues: list[UnservedQueueResponse]
    unserved_operations: list[UnservedOperationResponse]


class ReadyResponse(TypedDict):
    """Whether the API can work."""

    ready: bool
    down: Annotated[dict[str, str], Meta(description="Each dependency that does not answer: its name and a sentence.")]
    lag: Annotated[dict[str, int], Meta(description="Events not projected yet, by partition.")]
    workers: dict[str, int] | None
    dispatching: bool | None
    settling: Settling
    schedules: dict[str, float | None] | None
    findings: list[dict[str, str | None]]


_CORE: Final[VersionResponse] = {
    "component": "core",
    "version": EMULATED,
    "package": "pulp-tasks",
    "module": "pulp_api",
    "domain_compatible": False,
}


@router.get("/status/")
async def status(request: Request) -> Response:
    """Pulp 3's status, and that of Kafka and the projection. Open to anonymous users."""
    service: Service = request.app.state.service
    online: list[WorkerRow] = []
    nobody_runs: list[Unserved] = []
    health = await _probe(service)
    if "postgres" not in health.down:
        async with service.connection() as connection:
            online = (await workers(connection, [_ONLINE])).rows
            nobody_runs = await unserved(connection)
    origin = str(request.base_url).rstrip("/")
    answer: StatusResponse = {
        "versions": [_CORE],
        "online_workers": [worker(row) for row in online],
        "online_api_apps": [],
        "online_content_apps": [],
        "database_connection": {"connected": "postgres" not in health.down},
        "content_settings": {"content_origin": origin, "content_path_prefix": "/pulp/content/"},
        "domain_enabled": False,
        "pulp_tasks_version": version("pulp-tasks"),
        "kafka_connection": {"connected": "kafka" not in health.down},
        "lag": None if health.down else sum(health.lag.values()),
        "workers": health.workers,
        "audit_fault": request.app.state.audit.fault,
        "findings": _findings(request),
        "dispatching": None if health.dispatching is None else health.dispatching.assigns,
        "settling": None if health.dispatching is None else health.dispatching.settles,
        "schedules": health.schedules,
        "unserved_queues": [
            {"queue": each.queue, "waiting": each.waiting} for each in nobody_runs if each.operation is None
        ],
        "unserved_operations": [
            {"queue": each.queue, "operation": each.operation, "waiting": each.waiting}
            for each in nobody_runs
            if each.operation is not None
        ],
    }
    return json(answer)


@router.get("/livez/")
async def live() -> Response:
    """200 as long as the process responds."""
    return json({"live": True})


@router.get("/readyz/")
async def ready(request: Request) -> Response:
    """200 if Kafka and Postgres respond and no data is in danger, else 503. Open to anonymous users.

    Reports the lag of every partition, what is down, and the findings of the last check of the preconditions.
    `workers` counts the live workers and their free slots; `dispatching` is whether a processor assigns tasks to
    them; if not, `settling` is whether one has just taken over, and will.
    `schedules` counts the schedules, and those with a tick that nobody has run in time. The API is ready even without
    any of these.
    """
    health = await _probe(request.app.state.service)
    hub: Hub = request.app.state.hub
    down = health.down if hub.fault is None else {**health.down, "events": hub.fault}
    is_ready = not down and not _report(request).endangers_data
    body: ReadyResponse = {
        "ready": is_ready,
        "down": down,
        "lag": health.lag,
        "workers": health.workers,
        "dispatching": None if health.dispatching is None else health.dispatching.assigns,
        "settling": None if health.dispatching is None else health.dispatching.settles,
        "schedules": health.schedules,
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
    """What does not respond (`kafka`, `postgres`) → a sentence."""
    lag: dict[str, int]
    """Partition → number of events that are not projected yet; empty while Kafka is down."""
    workers: dict[str, int] | None
    """The numbers of live workers, of their slots and of free slots; None while Postgres is down."""
    dispatching: Dispatching | None
    """Whether a processor assigns tasks to workers; None while Postgres is down."""
    schedules: dict[str, float | None] | None
    """How many schedules there are, are enabled, and are overdue, and by how long; None while Postgres is down."""


async def _probe(service: Service) -> _Health:
    kafka, postgres = await asyncio.gather(_ends(service), _read_model(service))
    down = {"kafka": "Kafka does not answer"} if kafka is None else {}
    if postgres is None:
        down["postgres"] = "Postgres does not answer"
    now = service.positions.current() if postgres is None else postgres.positions
    lag = {str(partition): max(0, end - now.get(partition, 0)) for partition, end in (kafka or {}).items()}
    if postgres is None:
        return _Health(down, lag, None, None, None)
    schedules = postgres.schedules._asdict()
    return _Health(down, lag, postgres.slots._asdict(), postgres.dispatching, schedules)


class _ReadModel(NamedTuple):
    positions: dict[int, int]
    slots: Slots
    dispatching: Dispatching
    schedules: SchedulesHealth


async def _ends(service: Service) -> dict[int, int] | None:
    try:
        async with asyncio.timeout(_PROBE_S):
            return await service.log.end_offsets()
    except (LogError, TimeoutError):
        return None


async def _read_model(service: Service) -> _ReadModel | None:
    try:
        async with asyncio.timeout(_PROBE_S), service.connection() as connection:
            positions, found = await queries.positions(connection), await slots(connection)
            schedules = await schedules_health(connection, late_s=LATE_S)
            return _ReadModel(positions, found, await dispatching(connection), schedules)
    except (PostgresError, TimeoutError):
        return None
