"""Postgres's notifications, heard without a thread and almost without processor time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Self

import psycopg
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

from pulp_projections.connection import connect

OnNotice = Callable[[str, str], None]
"""Called with the channel and the payload of each notification."""


class Notices:
    """A connection that listens. Its owner may run statements on it between two calls of `wait` or `hear`.

    It does not use psycopg's own `notifies`, whose waiting takes most of the time of a mostly idle process.
    """

    def __init__(self, connection: AsyncConnection, on_notice: OnNotice) -> None:
        self.connection = connection
        self._on_notice = on_notice
        self._listening: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls,
        conninfo: str,
        name: str,
        channels: tuple[str, ...],
        on_notice: OnNotice,
        settings: Mapping[str, str] | None = None,
    ) -> Self:
        """Connect and listen. `settings` are further settings of Postgres.

        Raises `psycopg.OperationalError`.
        """
        connection = await connect(conninfo, name, settings=settings)
        # For notifications that come with the answer to a statement.
        connection.add_notify_handler(lambda notice: on_notice(notice.channel, notice.payload))
        try:
            for channel in channels:
                await connection.execute(SQL("listen {}").format(Identifier(channel)))
        except BaseException:  # also on cancellation: nobody else knows the connection
            await connection.close()
            raise
        return cls(connection, on_notice)

    async def wait(self, timeout_s: float) -> None:
        """Pass on every notification, for this long. Raises `psycopg.OperationalError` when the connection breaks."""
        await self._listen(timeout_s, lambda _: None)

    async def hear(self, timeout_s: float | None) -> bool:
        """Returns as soon as there was a notification, at `wake`, or after the time; False after the time.

        Raises `psycopg.OperationalError` when the connection breaks.
        """
        return await self._listen(timeout_s, lambda heard: heard.set_result(None))

    def wake(self) -> None:
        """Make `hear`, or `wait`, return now."""
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(None)

    async def _listen(self, timeout_s: float | None, on_heard: "Callable[[asyncio.Future[None]], None]") -> bool:
        """Whether it ended before the timeout."""
        loop, socket = asyncio.get_running_loop(), self.connection.fileno()
        done: asyncio.Future[None] = loop.create_future()
        self._listening = done

        def hear() -> None:
            try:
                self.connection.pgconn.consume_input()
                has_heard = False
                while notice := self.connection.pgconn.notifies():
                    has_heard = True
                    self._on_notice(notice.relname.decode(), notice.extra.decode())
                if has_heard and not done.done():
                    on_heard(done)
            except psycopg.Error as error:
                loop.remove_reader(socket)
                if not done.done():  # by the time limit
                    done.set_exception(error)

        loop.add_reader(socket, hear)
        try:
            async with asyncio.timeout(timeout_s):
                await done
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(socket)
        return True

    async def close(self) -> None:
        """Close the connection. A concurrent `hear` or `wait` raises `psycopg.OperationalError`."""
        if self._listening is not None and not self._listening.done():
            self._listening.set_exception(psycopg.OperationalError("the connection was closed"))
        await self.connection.close()
