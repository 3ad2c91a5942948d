"""Claims: which tasks this worker has taken, and the lease that makes them its own."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.types.json import Json
from pulp_events.errors import PulpError
from pulp_events.task import State
from pulp_projections.sql import load

from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

_SQL: Final = load("pulp_worker", "claims.sql")
_log = logging.getLogger("pulp.worker")


class NameInUse(PulpError):
    """Another worker that is alive has this name."""


class Claim(NamedTuple):
    """A task that this worker has taken; nobody else may run it, nor anything that conflicts with it."""

    task_id: UUID
    partition: int
    operation: str
    arguments: bytes
    correlation_id: str | None
    attempt: int
    attempt_id: UUID
    tokens: Mapping[str, int]


class Claims:
    """This worker's rows in Postgres. All calls raise `psycopg.OperationalError` while Postgres is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.instance_id = uuid4()
        self._connection: AsyncConnection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """The one connection, made anew if it broke; one caller at a time: else one is in another's transaction."""
        async with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = await AsyncConnection.connect(
                    self._settings.postgres, autocommit=True, application_name=f"pulp-worker/{self._settings.name}"
                )
            yield self._connection

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def register(self, operations: Sequence[Operation], *, previous: UUID | None = None) -> None:
        """Take the worker's name, and say what it can run. Raises `NameInUse`.

        `previous` is the instance id of this very process before its lease ran out.
        """
        settings = self._settings
        async with self._connected() as connection, connection.transaction():
            cursor = await connection.execute(
                _SQL["register"],
                {
                    "name": settings.name,
                    "instance_id": self.instance_id,
                    "previous": previous,
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "queues": list(settings.queues),
                    "concurrency": settings.concurrency,
                    "versions": Json({"pulp-tasks": version("pulp-tasks")}),
                    "lease_s": settings.lease_s,
                },
            )
            if await cursor.fetchone() is None:
                await self._refuse_name(connection)
            for operation in operations:
                await connection.execute(_SQL["register_operation"], _operation_row(operation, settings.name))

    async def heartbeat(self) -> bool:
        """Renew the lease; false if this instance is not the registered one any more."""
        async with self._connected() as connection:
            cursor = await connection.execute(_SQL["heartbeat"], self._me())
            return cursor.rowcount == 1

    async def unregister(self) -> None:
        """End the lease: the worker has stopped, and runs nothing."""
        async with self._connected() as connection:
            await connection.execute(_SQL["unregister"], self._me())

    async def claim(self, operations: Sequence[str], most: int) -> list[Claim]:
        """Take up to `most` tasks that may run now, best first, in one transaction."""
        claims: list[Claim] = []
        async with self._connected() as connection, connection.transaction():
            await connection.execute(_SQL["claim_lock"])
            cursor = await connection.execute(
                _SQL["candidates"],
                {"queues": list(self._settings.queues), "operations": list(operations), "most": most},
            )
            for row in await cursor.fetchall():
                claim = await self._take(connection, *row)
                if claim is not None:
                    claims.append(claim)
        return claims

    async def is_current(self, claim: Claim) -> State | None:
        """The task's state if this attempt is the effective one and the claim is still held; else None."""
        async with self._connected() as connection:
            cursor = await connection.execute(
                _SQL["is_current"], {"task_id": claim.task_id, "attempt_id": claim.attempt_id}
            )
            row = await cursor.fetchone()
        return None if row is None else State(row[0])

    async def own_tasks(self, task_ids: Sequence[UUID]) -> dict[UUID, tuple[State, UUID | None]]:
        """State and effective attempt of each task."""
        async with self._connected() as connection:
            cursor = await connection.execute(_SQL["own_tasks"], {"task_ids": list(task_ids)})
            return {row[0]: (State(row[1]), row[2]) for row in await cursor.fetchall()}

    async def release(self, claim: Claim) -> None:
        """Let go of a task that has not ended."""
        await self._let_go("release", claim)

    async def forget(self, claim: Claim) -> None:
        """Let go of a task that has ended."""
        await self._let_go("forget", claim)

    async def _let_go(self, statement: str, claim: Claim) -> None:
        async with self._connected() as connection:
            await connection.execute(_SQL[statement], {"attempt_id": claim.attempt_id})
            await connection.execute(_SQL["notify"])

    async def _take(
        self,
        connection: AsyncConnection,
        task_id: UUID,
        partition: int,
        operation: str,
        arguments: str,
        exclusive: list[str],
        shared: list[str],
        correlation_id: str | None,
        attempt: int,
    ) -> Claim | None:
        attempt_id = uuid4()
        taken = await connection.execute(
            _SQL["claim"],
            {
                "task_id": task_id,
                "attempt": attempt,
                "attempt_id": attempt_id,
                "worker": self._settings.name,
                "instance_id": self.instance_id,
                "partition": partition,
            },
        )
        if await taken.fetchone() is None:
            return None
        only_shared = [resource for resource in dict.fromkeys(shared) if resource not in exclusive]
        reserved = await connection.execute(
            _SQL["reserve"],
            {"task_id": task_id, "exclusive": list(dict.fromkeys(exclusive)), "shared": only_shared},
        )
        tokens: dict[str, int] = dict(await reserved.fetchall())
        return Claim(task_id, partition, operation, arguments.encode(), correlation_id, attempt, attempt_id, tokens)

    async def _refuse_name(self, connection: AsyncConnection) -> None:
        cursor = await connection.execute(_SQL["holder"], {"name": self._settings.name})
        row = await cursor.fetchone()
        host, pid, heard = row if row is not None else ("unknown", 0, "unknown")
        raise NameInUse(
            f"worker name {self._settings.name} is in use by process {pid} on {host} (last heard {heard}):"
            " choose another with PULP_WORKER_NAME"
        )

    def _me(self) -> dict[str, object]:
        return {"name": self._settings.name, "instance_id": self.instance_id}


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
