"""The status in the v2 dialect, which health checks read without a login."""

import asyncio
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from psycopg import Error as PostgresError
from pulp_events.errors import LogError
from pulp_projections.reading.queries import Condition
from pulp_projections.workers import WorkerRow, workers

from pulp_api.respond import json, second
from pulp_api.service import Service
from pulp_api.v2.dialect import ROOT

router = APIRouter(prefix=ROOT)
EMULATED: Final = "2.21.5"
"""The release of Pulp 2 whose interface this one follows; clients choose features by it."""
_PROBE_S: Final = 2.0
_ONLINE: Final = Condition("w.online")


@router.get("/status/")
async def status(request: Request) -> Response:
    """Whether Postgres and Kafka answer, and the live workers. Open to anonymous users."""
    service: Service = request.app.state.service
    is_logging, rows = await asyncio.gather(_is_logging(service), _workers(service))
    return json(
        {
            "api_version": "2",
            "versions": {"platform_version": EMULATED, "pulp_tasks_version": version("pulp-tasks")},
            "database_connection": {"connected": rows is not None},
            "messaging_connection": {"connected": is_logging},
            "known_workers": [_worker(row) for row in rows or ()],
        }
    )


async def _is_logging(service: Service) -> bool:
    try:
        async with asyncio.timeout(_PROBE_S):
            await service.log.end_offsets()
    except (LogError, TimeoutError):
        return False
    return True


async def _workers(service: Service) -> list[WorkerRow] | None:
    """The live workers; None while Postgres does not answer."""
    try:
        async with asyncio.timeout(_PROBE_S), service.connection() as connection:
            return (await workers(connection, [_ONLINE])).rows
    except (PostgresError, TimeoutError):
        return None


def _worker(row: WorkerRow) -> dict[str, Any]:
    return {"_id": row.name, "_ns": "workers", "last_heartbeat": second(row.heartbeat_at)}
