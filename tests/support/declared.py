"""Operations and workers in a database, as workers register them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from pulp_api.v3.operations import operation as shown
from pulp_events.events import Retry
from pulp_events.topics import Topics
from pulp_projections.reading.queries import OperationRow
from pulp_worker.connection import Connection
from pulp_worker.declarations import declarations
from pulp_worker.registration import Registration
from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

from tests.support.projection import execute


def row_of(operation: Operation, workers: Sequence[dict[str, Any]] = ()) -> OperationRow:
    """The operation as the API reads it."""
    [declared] = declarations([operation])
    return OperationRow(
        name=declared.name,
        cancellable=declared.cancellable,
        description=declared.description,
        resources=declared.resources,
        tags=declared.tags,
        arguments=None if declared.arguments is None else json.dumps(declared.arguments),
        requires=declared.requires,
        retry=None if declared.retry is None else msgspec.convert(declared.retry, Retry),
        deadline_seconds=declared.deadline_seconds,
        package=declared.package,
        version="1.0",
        registered_by="w1",
        registered_at=datetime(2026, 1, 2, tzinfo=UTC),
        workers=list(workers),
    )


def body_of(operation: Operation, workers: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The operation as the API answers it."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(shown(row_of(operation, workers))))
    return found


@asynccontextmanager
async def registration(database: str, name: str = "w1", **changed: Any) -> AsyncIterator[Registration]:
    """Registers a worker of that name."""
    known: dict[str, Any] = {"kafka": "", "postgres": database, "topics": Topics.named("t"), "storage": Path()}
    settings = Settings(**known, name=name, **changed)
    connection = Connection(database, "test", timeout_s=settings.lease_s)
    try:
        yield Registration(settings, connection)
    finally:
        await connection.close()


async def declare(
    database: str, *operations: Operation, worker: str = "w1", queues: Sequence[str] = ("default",)
) -> None:
    """A live worker that offers these operations."""
    async with registration(database, worker, queues=tuple(queues), lease_s=600) as made:
        await made.register(operations)


async def add_worker(
    database: str, *operations: str, name: str = "w1", queues: Sequence[str] = ("default",), slots: int = 1
) -> None:
    """A live worker that offers operations with these names."""
    await execute(
        database,
        "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds)"
        " values (%s, gen_random_uuid(), 'h', 1, %s, %s, %s, '{}', 600)",
        [name, list(queues), list(operations), slots],
    )
