"""The endpoints that need no task: status, health, the event stream, the API's document."""

import asyncio
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from psycopg import Error as PostgresError
from psycopg_pool import PoolTimeout
from pulp_events.codec import TYPES
from pulp_events.errors import BadInput, LogError
from pulp_projections import queries
from pulp_projections.users import Role

from pulp_api.context import Call, call
from pulp_api.openapi import document
from pulp_api.respond import json
from pulp_api.service import Service
from pulp_api.stream import Cursor, Hub, Wanted, check_cursor, messages
from pulp_api.submission import task_id_of
from pulp_api.v3 import worker
from pulp_api.v3_tasks import ROOT

router = APIRouter(prefix=ROOT)
Calling = Annotated[Call, Depends(call)]
EMULATED: Final = "3.123.1"
"""The release of pulpcore whose interface this one follows; clients decide by it what they may use."""
_PROBE_S: Final = 2.0


async def stream_start(call: Calling, request: Request, since: str | None = None) -> tuple[Call, Cursor]:
    """Where the stream starts. Checked here: once a stream has begun its status cannot be changed."""
    call.principal.need(*Role)
    hub: Hub = request.app.state.hub
    last = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    if last:
        cursor = Cursor.decode(last)
        check_cursor(cursor, hub)
        return call, cursor
    if since is not None:
        return call, Cursor(hub.topic_id, (0,) * hub.partitions)
    ends = await call.service.log.end_offsets()
    return call, Cursor(hub.topic_id, tuple(ends[partition] for partition in range(hub.partitions)))


@router.get("/events/")
async def stream_events(
    request: Request,
    start: Annotated[tuple[Call, Cursor], Depends(stream_start)],
    task: str | None = None,
    since: str | None = None,
    type: Annotated[list[str] | None, Query()] = None,  # the attribute's name
) -> Response:
    """Server-sent events: new ones, or all `since` a time (RFC 3339); `Last-Event-ID` resumes exactly."""
    hub: Hub = request.app.state.hub
    return StreamingResponse(
        messages(hub, start[1], _wanted(task, since, type)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/livez/")
async def live() -> Response:
    """200 as long as the process answers."""
    return json({"live": True})


@router.get("/readyz/")
async def ready(request: Request) -> Response:
    """200 if Kafka and Postgres answer, else 503; with the lag of every partition."""
    service: Service = request.app.state.service
    down: dict[str, str] = {}
    ends: dict[int, int] = {}
    now = service.positions.current()
    try:
        async with asyncio.timeout(_PROBE_S):
            ends = await service.log.end_offsets()
    except (LogError, TimeoutError) as error:
        down["kafka"] = str(error) or "no answer in time"
    try:
        async with asyncio.timeout(_PROBE_S), service.connection() as connection:
            now = await queries.positions(connection)
    except (PostgresError, PoolTimeout, TimeoutError) as error:
        down["postgres"] = str(error).strip() or "no answer in time"
    lag = {str(partition): max(0, end - now.get(partition, 0)) for partition, end in ends.items()}
    return json({"ready": not down, "down": down, "lag": lag}, 503 if down else 200)


@router.get("/status/")
async def status(request: Request) -> Response:
    """What Pulp 3 tells of itself; open to anonymous users."""
    service: Service = request.app.state.service
    found: list[queries.WorkerRow] = []
    is_connected = True
    try:
        async with asyncio.timeout(_PROBE_S), service.connection() as connection:
            found = await queries.workers(connection)
    except (PostgresError, PoolTimeout, TimeoutError):
        is_connected = False
    component = {"component": "core", "version": EMULATED, "package": "pulp-tasks", "module": "pulp_api"}
    return json(
        {
            "versions": [{**component, "domain_compatible": False}],
            "online_workers": [worker(row) for row in found if row.online],
            "online_api_apps": [],
            "online_content_apps": [],
            "database_connection": {"connected": is_connected},
            "redis_connection": None,
            "storage": None,
            "content_settings": {"content_origin": None, "content_path_prefix": "/pulp/content/"},
            "domain_enabled": False,
            "pulp_tasks_version": version("pulp-tasks"),
        }
    )


@router.get("/docs/api.json")
async def api_document() -> Response:
    """The OpenAPI document that pulp-cli reads."""
    found: dict[str, Any] = document(EMULATED)
    return json(found)


def _wanted(task: str | None, since: str | None, types: list[str] | None) -> Wanted:
    task_id = None if task is None else str(task_id_of(task))
    since_ms = 0 if since is None else _milliseconds(since)
    names = {_type(name) for name in types or []}

    def wanted(name: str, about: str | None, timestamp_ms: int) -> bool:
        return timestamp_ms >= since_ms and task_id in (None, about) and (not names or name in names)

    return wanted


def _milliseconds(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"since={text}: a time such as 2026-11-24T12:00:00Z is expected") from None
    if time.tzinfo is None:
        raise BadInput(f"since={text}: the time zone is missing, such as a Z for UTC")
    return int(time.timestamp() * 1000)


def _type(name: str) -> str:
    for literal in TYPES.values():
        if name in (literal, literal.removeprefix("org.pulpproject.task.").removesuffix(".v1")):
            return literal
    raise BadInput(f"type={name}: no event has this type")
