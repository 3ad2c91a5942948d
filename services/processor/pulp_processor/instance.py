"""One process for each instance id.

Kafka gives the partitions of a static member to whoever joined last under its id, so two processes would take them from
each other for ever. The id is therefore a lock in Postgres, held for as long as the process lives.
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
        except AWAY as error:
            raise ReadModelUnavailable(f"Postgres does not hold the instance id: {reason_of(error)}") from error

    async def _take(self) -> None:
        name = f"pulp-processor {socket.gethostname()}:{os.getpid()}"
        self._connection = connection = await connect(self._conninfo, name, settings=locks.HELD_BY_SESSION)
        number = await locks.number_of_processor(connection, self._name)
        if not await locks.take(connection, number, self._patience_s):
            raise InstanceInUse(self._name, await locks.holder(connection, number) or "another processor")

    async def keep(self) -> Never:
        """Hold it for ever: takes it again after Postgres was away. Raises `InstanceInUse` if it is gone then."""
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
        """Give it back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
