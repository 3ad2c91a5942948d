"""How long an idle connection stays open, over real connections."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from pulp_api.front.server import Server
from pulp_api.settings import Settings
from pulp_api.streaming.hub import Hub
from pulp_events.settings import SettingsError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ENV = {"PULP_KAFKA": "k:1", "PULP_POSTGRES": "dbname=x"}
LIMIT_S = 30
REQUEST = b"GET / HTTP/1.1\r\nHost: pulp.test\r\n\r\n"


class NoStreams:
    """A hub without streams."""

    async def close(self) -> None:
        pass


async def answer(request: Request) -> Response:
    return Response("here")


@asynccontextmanager
async def serving(keep_alive_s: int) -> AsyncIterator[tuple[Server, "asyncio.Task[None]", int]]:
    """A server, its task, and its port."""
    server = Server(Starlette(routes=[Route("/", answer)]), cast(Hub, NoStreams()), keep_alive_s)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield server, task, listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


class Idle:
    """A connection on which one request was answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    @classmethod
    async def at(cls, port: int) -> "Idle":
        made = cls(*await asyncio.open_connection("127.0.0.1", port))
        await made.ask()
        return made

    async def ask(self) -> None:
        """Send another request on it, and read the answer."""
        self._writer.write(REQUEST)
        assert (await self.reader.readuntil(b"here")).startswith(b"HTTP/1.1 200 ")

    async def is_closed(self) -> None:
        """Returns when the server has closed it."""
        assert await self.reader.read() == b""
        self._writer.close()

    def close(self) -> None:
        self._writer.close()


async def test_an_idle_connection_is_closed_after_the_setting_and_not_before() -> None:
    async with asyncio.timeout(LIMIT_S), serving(1) as (_, _, short), serving(75) as (_, _, long):
        older, younger = await Idle.at(long), await Idle.at(short)
        await younger.ask()
        await younger.is_closed()
        await older.ask()  # idle for longer than the other one was, and still there
        older.close()


async def test_a_stop_does_not_wait_for_idle_connections() -> None:
    async with asyncio.timeout(LIMIT_S), serving(10_000) as (server, task, port):
        idle = await Idle.at(port)
        server.should_exit = True
        await task
        await idle.is_closed()


def test_it_outlasts_the_60_s_of_a_load_balancer() -> None:
    assert Settings.read(ENV).keep_alive_s == 75
    assert Settings.read({**ENV, "PULP_API_KEEP_ALIVE_S": "10"}).keep_alive_s == 10


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1.5"])
def test_a_time_that_cannot_be_used_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="PULP_API_KEEP_ALIVE_S"):
        Settings.read({**ENV, "PULP_API_KEEP_ALIVE_S": value})
