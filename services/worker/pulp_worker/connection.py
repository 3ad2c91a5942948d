"""One connection to Postgres that reconnects when it breaks."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import PipelineStatus, TransactionStatus
from pulp_projections.connection import connect


class Connection:
    """For one caller at a time: a second one waits, or else it would be in the first one's transaction."""

    def __init__(
        self, conninfo: str, name: str, *, timeout_s: float, settings: Mapping[str, str] | None = None
    ) -> None:
        """`settings` are further settings of Postgres."""
        self._conninfo = conninfo
        self._name = name
        self._timeout_s = timeout_s
        self._settings = settings
        self._connection: AsyncConnection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def use(self, limit_s: float | None = None) -> AsyncIterator[AsyncConnection]:
        """The connection, in autocommit mode, within this time or its own limit, whichever is less.

        Raises `psycopg.OperationalError` if Postgres does not answer in time, or takes no writes now.
        """
        timeout_s = self._timeout_s if limit_s is None else min(limit_s, self._timeout_s)
        async with self._lock:
            try:
                async with asyncio.timeout(timeout_s):
                    if self._connection is None or self._connection.closed:
                        self._connection = await connect(self._conninfo, self._name, settings=self._settings)
                    yield self._connection
            except TimeoutError as error:
                await self.close()  # a late answer must not reach the next caller
                raise psycopg.OperationalError(f"Postgres did not answer within {timeout_s:g} s") from error
            except psycopg.errors.ReadOnlySqlTransaction as error:
                await self.close()  # a session keeps the default_transaction_read_only that it began with
                raise psycopg.OperationalError(f"the database takes no writes: {error}") from error
            finally:
                if self._connection is not None and not _is_at_rest(self._connection):
                    await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()


def _is_at_rest(connection: AsyncConnection) -> bool:
    """Whether the next caller can use it: once the server has announced its end, it never leaves pipeline mode."""
    pgconn = connection.pgconn
    return pgconn.transaction_status == TransactionStatus.IDLE and pgconn.pipeline_status == PipelineStatus.OFF
