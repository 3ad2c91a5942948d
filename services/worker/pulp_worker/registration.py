"""The worker's row in Postgres: its name, what it can run, and its heartbeats."""

import os
import socket
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.types.json import Json
from pulp_events.errors import PulpError
from pulp_projections.sql import load

from pulp_worker.connection import Connection
from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

_SQL: Final = load("pulp_worker", "registration.sql")


class Holder(NamedTuple):
    """The process that has a worker's name."""

    host: str
    pid: int
    instance_id: UUID
    heartbeat_at: datetime
    lease_s: float


class NameInUse(PulpError):
    """Another worker that is alive has this name."""

    def __init__(self, name: str, holder: Holder) -> None:
        super().__init__(
            f"worker name {name} is in use by process {holder.pid} on {holder.host} (last heard"
            f" {holder.heartbeat_at.isoformat(timespec='seconds')}): stop it, or choose another name with"
            " PULP_WORKER_NAME"
        )
        self.holder = holder


class Registration:
    """One process under one worker's name. Every call raises `psycopg.OperationalError` while Postgres is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.instance_id = uuid4()
        self._previous: UUID | None = None
        self._connection = Connection(
            settings.postgres, f"pulp-worker/{settings.name}/heartbeat", timeout_s=settings.lease_s
        )

    async def register(self, operations: Sequence[Operation]) -> str:
        """Take the name, and say what this worker can run; the database's timeline. Raises `NameInUse`.

        Deletes the rows of workers that have been gone for `forget_s`.
        """
        async with self._connection.use() as connection, connection.transaction():
            cursor = await connection.execute(_SQL["register"], self._row(operations))
            row = await cursor.fetchone()
            if row is None:
                raise NameInUse(self._settings.name, await self._holder(connection))
            for operation in sorted(operations, key=lambda item: item.name):  # one order: no deadlock between workers
                await connection.execute(_SQL["register_operation"], _operation_row(operation, self._settings.name))
            # Every row comes from a registration, so deleting here is enough to keep the table from growing for ever.
            await connection.execute(_SQL["forget"], {"forget_s": self._settings.forget_s})
        return str(row[0])

    def become_another(self) -> None:
        """The lease has run out: what was claimed under the old instance id is not this worker's any more."""
        self._previous, self.instance_id = self.instance_id, uuid4()

    async def heartbeat(self) -> str | None:
        """Renew the lease; the database's timeline, or None if this instance is not the registered one any more."""
        async with self._connection.use() as connection:
            cursor = await connection.execute(_SQL["heartbeat"], self._me())
            row = await cursor.fetchone()
            return None if row is None else str(row[0])

    async def unregister(self) -> None:
        """End the lease: the worker has stopped, and runs nothing."""
        async with self._connection.use() as connection:
            await connection.execute(_SQL["unregister"], self._me())

    async def close(self) -> None:
        """Let go of the connection."""
        await self._connection.close()

    async def _holder(self, connection: AsyncConnection) -> Holder:
        cursor = await connection.execute(_SQL["holder"], self._me())
        row = await cursor.fetchone()
        assert row is not None  # the transaction's insert has just met it
        return Holder(*row)

    def _me(self) -> dict[str, object]:
        return {"name": self._settings.name, "instance_id": self.instance_id}

    def _row(self, operations: Sequence[Operation]) -> dict[str, object]:
        return {
            **self._me(),
            "previous": self._previous,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(self._settings.queues),
            "operations": [operation.name for operation in operations],
            "concurrency": self._settings.concurrency,
            "versions": Json({"pulp-tasks": version("pulp-tasks")}),
            "lease_s": self._settings.lease_s,
        }


def _operation_row(operation: Operation, worker: str) -> dict[str, object]:
    resources = [{"type": item.type, "id": item.id, "access": item.access} for item in operation.resources]
    return {
        "name": operation.name,
        "cancellable": operation.cancellable,
        "description": operation.description,
        "resources": Json(resources),
        "tags": None if operation.tags is None else list(operation.tags),
        "worker": worker,
    }
