"""One process an instance id. Kafka gives the partitions of a static member to the last one that joins under its id:
two would take them from each other for ever. So the id is a lock in Postgres, held as long as the process lives.
"""

import asyncio
import logging
import os
import socket
import time
from typing import Final, Never

import psycopg
from psycopg import AsyncConnection
from pulp_events.errors import PulpError, ReadModelUnavailable
from pulp_projections.connection import connect
from pulp_projections.sql import load

_SQL: Final = load("pulp_processor", "instance.sql")
_PATIENCE_S: Final = 5.0
_PERIOD_S: Final = 2.0
_log = logging.getLogger("pulp.processor")


class InstanceInUse(PulpError):
    """Another processor that is alive has this instance id."""

    def __init__(self, instance: str, holder: str) -> None:
        super().__init__(
            f"processor instance {instance} is in use by {holder}: stop it, or choose another id with"
            " PULP_PROCESSOR_INSTANCE"
        )
        self.instance = instance


class Instance:
    """The lock on an instance id. `patience_s` is how long a holder that has just died may keep it."""

    def __init__(self, conninfo: str, name: str, *, patience_s: float = _PATIENCE_S) -> None:
        self._conninfo = conninfo
        self._name = name
        self._patience_s = patience_s
        self._connection: AsyncConnection | None = None

    async def take(self) -> None:
        """Take the lock. Raises `InstanceInUse`, or `ReadModelUnavailable` if Postgres is away."""
        await self.close()
        try:
            await self._take()
        except psycopg.OperationalError as error:
            raise ReadModelUnavailable(f"Postgres does not hold the instance id: {str(error).strip()}") from error

    async def _take(self) -> None:
        self._connection = await connect(self._conninfo, f"pulp-processor {socket.gethostname()}:{os.getpid()}")
        await self._connection.execute(_SQL["keep_alive"])
        ends = time.monotonic() + self._patience_s
        while True:
            cursor = await self._connection.execute(_SQL["take"], {"name": self._name})
            row = await cursor.fetchone()
            if row is not None and row[0]:
                return
            if time.monotonic() >= ends:
                raise InstanceInUse(self._name, await self._holder(self._connection))
            await asyncio.sleep(0.2)

    async def keep(self) -> Never:
        """Hold it for ever: takes it again after Postgres was away. Raises `InstanceInUse` if it is gone then."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            try:
                if self._connection is None or self._connection.closed:
                    await self.take()
                else:
                    await self._connection.execute("select")
            except (ReadModelUnavailable, psycopg.OperationalError) as error:
                _log.warning("Postgres does not hold the instance id: %s", str(error).strip())

    async def close(self) -> None:
        """Give it back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _holder(self, connection: AsyncConnection) -> str:
        cursor = await connection.execute(_SQL["holder"], {"name": self._name})
        row = await cursor.fetchone()
        return "another processor" if row is None else str(row[0])
