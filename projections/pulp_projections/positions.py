"""How far the projection is, kept up to date by Postgres's notifications; and waiting for a position."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg import AsyncConnection
from pulp_events.errors import PositionNotReached, ReadModelUnavailable
from pulp_events.task import Position

_POLL_S: Final = 2.0
_log = logging.getLogger("pulp.positions")


class Positions:
    """The next offset of every partition in the active generation.

    Woken by NOTIFY, with a slow poll behind it; it connects again by itself. `start` it before use, `close` it after.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._current: dict[int, int] = {}
        self._changed = asyncio.Condition()
        self._moves = 0
        self._is_connected = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and read the positions once. Raises `ReadModelUnavailable` if Postgres is away."""
        try:
            connection = await self._connect()
        except psycopg.Error as error:
            raise ReadModelUnavailable(f"Postgres does not answer: {error}") from error
        self._task = asyncio.create_task(self._follow(connection))
        await asyncio.sleep(0)  # from its first step on it closes the connection, also if it is cancelled at once

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def is_connected(self) -> bool:
        """False while Postgres is away."""
        return self._is_connected

    def current(self) -> dict[int, int]:
        """Partition → next offset, as last heard."""
        return dict(self._current)

    def has_passed(self, position: Position) -> bool:
        """Whether the event at this position was projected, as last heard."""
        return self._is_connected and self._current.get(position.partition, 0) > position.offset

    async def changed(self, seen: int, timeout_s: float) -> int:
        """Returns when positions have moved since the `seen`-th time, or after the timeout: how often they have moved.

        Pass 0 first, then what the call before returned: so no move is missed between two calls.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._moves > seen)
        return self._moves

    async def reach(self, wanted: Mapping[int, int], timeout_s: float) -> None:
        """Returns when every partition's next offset is at least the one wanted.

        Raises `PositionNotReached` after the timeout, `ReadModelUnavailable` if Postgres is away then.
        """
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._has(wanted))
        except TimeoutError:
            if not self._is_connected:
                raise ReadModelUnavailable("Postgres does not answer") from None
            raise PositionNotReached(
                f"the projection has not reached {dict(wanted)} within {timeout_s:g} s: it is at {self._current}"
            ) from None

    def _has(self, wanted: Mapping[int, int]) -> bool:
        if not self._is_connected:
            return False  # the server that takes over may lack the last commits of the one that we heard
        return all(self._current.get(partition, 0) >= offset for partition, offset in wanted.items())

    async def _connect(self) -> AsyncConnection:
        connection = await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            application_name="pulp-positions",
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=20_000,  # ms
        )
        await connection.execute("listen pulp_positions")
        await self._read(connection)
        return connection

    async def _read(self, connection: AsyncConnection) -> None:
        cursor = await connection.execute("select partition, next_offset from positions")
        await self._set(dict(await cursor.fetchall()))

    async def _set(self, found: dict[int, int]) -> None:
        if found != self._current or not self._is_connected:
            async with self._changed:
                self._current, self._is_connected = found, True
                self._moves += 1
                self._changed.notify_all()

    async def _follow(self, connection: AsyncConnection | None) -> None:
        try:
            while True:
                try:
                    if connection is None:
                        connection = await self._connect()
                    async for notice in connection.notifies(timeout=_POLL_S):
                        _, partition, offset = notice.payload.split()
                        await self._set({**self._current, int(partition): int(offset)})
                    await self._read(connection)
                except (psycopg.Error, OSError) as error:
                    self._is_connected = False
                    _log.warning("Postgres is away", extra={"error": str(error)})
                    connection = None
                    await asyncio.sleep(0.5)
        finally:
            if connection is not None:
                await connection.close()
