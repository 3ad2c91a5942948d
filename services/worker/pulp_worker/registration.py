"""The worker's row in Postgres: its name, its operations, and its heartbeats."""

import logging
import os
import socket
import time
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.types.json import Json
from pulp_events.clock import ServerClock
from pulp_events.errors import PulpError
from pulp_projections.sql import load

from pulp_worker.connection import Connection
from pulp_worker.declarations import Declaration, Registered, declarations, replaces
from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

_log = logging.getLogger("pulp.worker")
_SQL: Final = load("pulp_worker", "registration.sql")


class NameHolder(NamedTuple):
    """The process that has a worker's name."""

    host: str
    pid: int
    instance_id: UUID
    heartbeat_at: datetime
    lease_s: float


class NameInUse(PulpError):
    """Another worker that is alive has this name."""

    def __init__(self, name: str, holder: NameHolder) -> None:
        super().__init__(
            f"worker name {name} is in use by process {holder.pid} on {holder.host} (last heard"
            f" {holder.heartbeat_at.isoformat(timespec='seconds')}): stop it, or choose another name with"
            " PULP_WORKER_NAME"
        )
        self.holder = holder


class Registration:
    """One process under one worker's name. Every call raises `psycopg.OperationalError` while Postgres is away."""

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._settings = settings
        self._connection = connection
        self.instance_id = uuid4()
        self.postgres_clock = ServerClock()
        """Measured by heartbeats."""
        self.has_holds = True
        """Whether anything was assigned to this process at the last heartbeat."""
        self.may_rest = False
        """Whether the dispatcher let it rest, as of the last heartbeat."""
        self.is_listening = True
        """Whether the dispatcher knows that it listens, as of the last heartbeat."""
        self._previous: UUID | None = None
        self.is_blind = False
        """It cannot see what is assigned to it, so its next heartbeat tells the dispatcher to assign nothing."""
        self._is_draining = False
        self._operations: Sequence[Operation] = ()
        self._declared: list[Declaration] = []
        self._outvoted: frozenset[str] = frozenset()
        """Operations for which another declaration applies, as of the last heartbeat."""
        self._told: dict[str, str | None] = {}
        """Operation → digest of the other declaration that was last logged."""

    async def register(self, operations: Sequence[Operation]) -> str:
        """Take the name, and register what this worker can run. Returns the database's timeline. Raises `NameInUse`.

        Deletes the rows of workers that have been gone for `forget_s`.
        """
        if (
            operations != self._operations
        ):  # finding their packages takes long, and many workers may register at the same time
            self._operations, self._declared = operations, declarations(operations)
        async with self._connection.use() as connection, connection.transaction():
            cursor = await connection.execute(_SQL["register"], self._row())
            row = await cursor.fetchone()
            if row is None:
                raise NameInUse(self._settings.name, await self._holder(connection))
            alike = await self._declared_alike(connection)
            for declaration in self._declared:
                if declaration.name not in alike:
                    # Merely losing the lease does not make this worker newer.
                    await self._declare(connection, declaration, is_start=self._previous is None)
            # Every row comes from a registration, so deleting here is enough to keep the table from growing for ever.
            await connection.execute(_SQL["forget"], {"forget_s": self._settings.forget_s})
            await connection.execute(_SQL["notify"])
        return str(row[0])

    def become_another(self) -> None:
        """The lease has run out: claims of the old instance id no longer belong to this worker."""
        self._previous, self.instance_id = self.instance_id, uuid4()

    async def heartbeat(self) -> str | None:
        """Renew the lease. Returns the database's timeline, or None if this instance is not registered any more."""
        async with self._connection.use() as connection:
            asked_s = time.time()
            cursor = await connection.execute(_SQL["heartbeat"], self._me(), prepare=True)
            row = await cursor.fetchone()
        if row is None:
            return None
        timeline, outvoted, clock_s, self.has_holds, self.may_rest, self.is_listening = row
        self.postgres_clock.note(asked_s, clock_s, time.time())
        self._outvoted = frozenset(outvoted)
        return str(timeline)

    async def settle(self) -> None:
        """For operations that other workers declare differently: log it, or register this worker's if theirs are gone.

        Raises `psycopg.OperationalError` also while another worker registers; call it again later.
        """
        if not self._outvoted:
            return
        async with self._connection.use() as connection, connection.transaction():
            await connection.execute("set local lock_timeout = '200ms'")  # heartbeats must not wait for it
            for declaration in self._declared:
                if declaration.name in self._outvoted:
                    await self._declare(connection, declaration, is_start=False)

    async def rest(self) -> bool:
        """Record that this process stops listening; False if it must not, because the dispatcher counts on it again."""
        async with self._connection.use() as connection:
            return bool(await (await connection.execute(_SQL["rest"], self._me())).fetchall())

    async def listen(self) -> None:
        """Tell the dispatcher that this process listens again."""
        async with self._connection.use() as connection:
            await connection.execute(_SQL["listen"], self._me())

    async def drain(self) -> None:
        """Have nothing more assigned to this process, even if it must register again."""
        self._is_draining = True
        async with self._connection.use() as connection:
            await connection.execute(_SQL["drain"], self._me())

    async def unregister(self) -> None:
        """End the lease: the worker has stopped, and runs nothing."""
        async with self._connection.use() as connection:
            await connection.execute(_SQL["unregister"], self._me())

    async def _declared_alike(self, connection: AsyncConnection) -> frozenset[str]:
        mine = {"names": [item.name for item in self._declared], "digests": [item.digest for item in self._declared]}
        cursor = await connection.execute(_SQL["declared_alike"], mine)
        return frozenset([name for (name,) in await cursor.fetchall()])

    async def _declare(self, connection: AsyncConnection, mine: Declaration, *, is_start: bool) -> None:
        """Register this worker's declaration of an operation, or log that another one counts."""
        row = _operation_row(mine, self._settings.name)
        cursor = await connection.execute(_SQL["first_declaration"], row)
        if cursor.rowcount:
            return
        cursor = await connection.execute(_SQL["registered"], row)
        registered = Registered._make((await cursor.fetchall())[0])
        if registered.digest == mine.digest:
            return
        if replaces(mine, registered, is_start=is_start):
            await connection.execute(_SQL["replace_declaration"], row)
        elif self._told.get(mine.name) != registered.digest:
            self._told[mine.name] = registered.digest
            _log.warning(
                "this worker declares an operation differently from the registered declaration, which the API checks"
                " submissions against",
                extra={
                    "operation": mine.name,
                    "this_worker": _provider(mine),
                    "registered": _provider(registered),
                    "registered_by": registered.registered_by,
                },
            )

    async def _holder(self, connection: AsyncConnection) -> NameHolder:
        cursor = await connection.execute(_SQL["holder"], self._me())
        row = await cursor.fetchone()
        assert row is not None  # the insert in this transaction has just run into it
        return NameHolder(*row)

    def _me(self) -> dict[str, object]:
        is_draining = self._is_draining or self.is_blind
        return {"name": self._settings.name, "instance_id": self.instance_id, "draining": is_draining}

    def _row(self) -> dict[str, object]:
        return {
            **self._me(),
            "previous": self._previous,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(self._settings.queues),
            "operations": [item.name for item in self._declared],
            "declarations": Json({item.name: item.digest for item in self._declared}),
            "concurrency": self._settings.concurrency,
            "versions": Json({"pulp-tasks": version("pulp-tasks")}),
            "lease_s": self._settings.lease_s,
        }


def _provider(of: Declaration | Registered) -> str:
    return "an unknown package" if of.package is None else f"{of.package} {of.version}"


def _operation_row(declaration: Declaration, worker: str) -> dict[str, object]:
    arguments, retry = declaration.arguments, declaration.retry
    return {
        **declaration._asdict(),
        "resources": Json(declaration.resources),
        "arguments": None if arguments is None else Json(arguments),
        "retry": None if retry is None else Json(retry),
        "digest": declaration.digest,
        "worker": worker,
    }
