"""Shares the connections to Postgres fairly between clients; the pool alone would serve first come, first served.

While Postgres is slow, requests queue for a connection, and a few hundred of one client would starve the next client.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pulp_api.fairness.turn import asking
from pulp_api.fairness.turns import Clients, Turns


class Connections:
    """The connections of a pool. Clients that wait get equal shares of the time for which they are held."""

    def __init__(self, pool: AsyncConnectionPool, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._turns = Turns(pool.max_size, clock_s, most_s=math.inf)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for the block. Raises `psycopg_pool.PoolTimeout` or `psycopg.OperationalError`."""
        place = _Place(asking())
        self._turns.ask(place)
        try:
            await place.wait(self._pool.timeout)
            async with self._pool.connection() as connection:
                try:
                    yield connection
                except psycopg.errors.ReadOnlySqlTransaction:
                    await connection.close()  # a session keeps default_transaction_read_only from when it began
                    raise
        finally:
            self._turns.give_up(place)
            self._turns.end(place)


class _Place:
    """The place of one request in the queue; see `turns.Request`."""

    __slots__ = ("_begun", "_has_begun", "clients")

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self._has_begun = False
        self._begun: asyncio.Future[None] | None = None

    def begin(self) -> None:
        self._has_begun = True
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(None)

    async def wait(self, limit_s: float) -> None:
        """Wait until a connection is free. Raises `PoolTimeout`."""
        if self._has_begun:
            return
        self._begun = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit_s):
                await self._begun
        except TimeoutError:
            raise PoolTimeout(f"no connection was free for {limit_s:g} s") from None
