"""The projection's position, kept up to date by Postgres's notifications; and waiting for a position."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final, Never

import psycopg
from psycopg import AsyncConnection
from pulp_events.errors import PositionNotReached, ReadModelUnavailable
from pulp_events.task import Position

from pulp_projections.away import ANY, keep_trying
from pulp_projections.channels import POSITIONS
from pulp_projections.notices import Notices

_POLL_S: Final = 2.0
_log = logging.getLogger("pulp.positions")


def last_events(next_offsets: Mapping[int, int]) -> str:
    """The last event before each of these next offsets, for a message to people."""
    shown = (str(Position(each, end - 1)) if end else f"the start of {each}" for each, end in next_offsets.items())
    return ", ".join(shown) or "the start"


class Positions:
    """The next offset of every partition in the active generation.

    It is woken by NOTIFY, with a slow poll as a fallback, and reconnects by itself. `start` it before use, `close` it
    after. On a worker's channel, only moves that concern that worker wake it; the poll reports all others.
    """

    def __init__(self, conninfo: str, channel: str = POSITIONS) -> None:
        self._conninfo = conninfo
        self._channel = channel
        self._current: dict[int, int] = {}
        self._heard: dict[int, int] = {}
        """The positions from notifications since the last read."""
        self._news = asyncio.Event()
        """Set at the next move, and then replaced."""
        self._moves = 0
        self._is_connected = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and read the positions once. Raises `ReadModelUnavailable` if Postgres is away."""
        try:
            notices = await self._connect()
        except psycopg.Error as error:
            raise ReadModelUnavailable(f"Postgres does not answer: {error}") from error
        self._task = asyncio.create_task(self._follow(notices))
        await asyncio.sleep(0)  # once it has started, it closes the connection even if it is cancelled immediately

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
        """Waits until positions have moved since the `seen`-th time, or for the timeout; returns how often they have
        moved.

        Pass 0 first, and then the previous result, so that no move is missed between two calls.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._moves <= seen:
                    await self._news.wait()
        return self._moves

    async def reach(self, wanted: Mapping[int, int], timeout_s: float) -> None:
        """Returns when every partition's next offset is at least the one wanted.

        Raises `PositionNotReached` after the timeout, `ReadModelUnavailable` if Postgres is away then.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._has(wanted):
                    await self._news.wait()
        except TimeoutError:
            if not self._is_connected:
                raise ReadModelUnavailable("Postgres does not answer") from None
            raise PositionNotReached(
                f"the projection has not reached {last_events(wanted)} within {timeout_s:g} s: it is at"
                f" {last_events({each: self._current.get(each, 0) for each in wanted})}"
            ) from None

    def _has(self, wanted: Mapping[int, int]) -> bool:
        if not self._is_connected:
            return False  # the server that takes over may lack the last commits of the one that we heard
        return all(self._current.get(partition, 0) >= offset for partition, offset in wanted.items())

    async def _connect(self) -> Notices:
        notices = await Notices.open(self._conninfo, "pulp-positions", (self._channel,), self._hear)
        try:
            await self._read(notices.connection)
        except BaseException:  # also on cancellation: nobody else knows the connection
            await notices.close()
            raise
        return notices

    async def _read(self, connection: AsyncConnection) -> None:
        self._heard = {}
        cursor = await connection.execute("select partition, next_offset from positions")
        found: dict[int, int] = dict(await cursor.fetchall())
        # A commit during Postgres's answer is notified after it, but may be received before the answer is read here.
        # Without this, a position would go back, and its waiters would wait for the next poll.
        self._set({partition: max(offset, self._heard.get(partition, 0)) for partition, offset in found.items()})

    def _hear(self, _channel: str, payload: str) -> None:
        try:
            _, partition, offset = map(int, payload.split())
        except ValueError:  # any role that may connect can notify, so this is not a reason to stop listening
            _log.warning("a notification that no processor sends", extra={"payload": payload[:80]})
            return
        self._heard[partition] = offset
        self._set({**self._current, partition: offset})

    def _set(self, found: dict[int, int]) -> None:
        if found != self._current or not self._is_connected:
            self._current, self._is_connected = found, True
            self._moves += 1
            self._news.set()
            self._news = asyncio.Event()

    async def _follow(self, notices: Notices | None) -> None:
        async def follow() -> Never:
            nonlocal notices
            if notices is None:
                notices = await self._connect()
            try:
                while True:
                    await notices.wait(_POLL_S)
                    await self._read(notices.connection)
            finally:  # an error may have left the connection open
                lost, notices = notices, None
                await lost.close()

        def lose(error: Exception, _: float) -> None:
            self._is_connected = False
            _log.warning("Postgres is away", extra={"error": error})

        await keep_trying(follow, lose, on=(*ANY, OSError))
