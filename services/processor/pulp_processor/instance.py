"""Only one process may use an instance name.

Kafka gives the partitions of a static group member to the process that joined last under its name, so two processes
would keep taking them from each other. So a process holds a lock in Postgres on its name for as long as it lives.
"""

import asyncio
import logging
import os
import socket
from typing import Final, Never

from psycopg import AsyncConnection
from pulp_events.errors import PulpError, ReadModelUnavailable
from pulp_projections import locks
from pulp_projections.away import AWAY, Errors, reason_of
from pulp_projections.connection import connect

_PATIENCE_S: Final = 5.0
_PERIOD_S: Final = 2.0
_NOT_HELD: Final[Errors] = (ReadModelUnavailable, *AWAY)
_log = logging.getLogger("pulp.processor")


class InstanceInUse(PulpError):
    """Another live processor uses this instance name."""

    def __init__(self, instance: str, holder: str) -> None:
        super().__init__(
            f"processor instance {instance} is in use by {holder}: stop it, or choose another id with"
            " PULP_PROCESSOR_INSTANCE"
        )
        self.instance = instance


class Instance:
    """The lock on an instance name. `patience_s` is how long to wait for a holder that has just died."""

    def __init__(self, conninfo: str, name: str, *, patience_s: float = _PATIENCE_S) -> None:
        self._conninfo = conninfo
        self._name = name
        self._patience_s = patience_s
        self._connection: AsyncConnection | None = None

    async def take(self) -> None:
        """Acquire the lock. Raises `InstanceInUse`, or `ReadModelUnavailable` if Postgres is away."""
        await self.close()
        try:
            await self._take()
        except AWAY as error:
            raise ReadModelUnavailable(f"Postgres does not hold the instance id: {reason_of(error)}") from error

    async def _take(self) -> None:
        name = f"pulp-processor {socket.gethostname()}:{os.getpid()}"
        self._connection = connection = await connect(self._conninfo, name, settings=locks.HELD_BY_SESSION)
        number = await locks.number_of_processor(connection, self._name)
        if not await locks.take(connection, number, self._patience_s):
            raise InstanceInUse(self._name, await locks.holder(connection, number) or "another processor")

    async def keep(self) -> Never:
        """Hold the lock forever; acquire it again after Postgres was away. Raises `InstanceInUse` if it is taken."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            try:
                if self._connection is None or self._connection.closed:
                    await self.take()
                else:
                    await self._connection.execute("select")
            except _NOT_HELD as error:
                _log.warning("Postgres does not hold the instance id: %s", reason_of(error))

    async def close(self) -> None:
        """Release the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
