"""Over a real connection: a body that is too large gets its answer, not a reset connection; a slash that is missing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio
from pulp_api.edge import Edge
from pulp_api.front.server import Server
from pulp_api.root_pages import Outside
from pulp_api.streaming.hub import Hub
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.http_server import NoStreams

HEAD = b"POST /pulp/api/v3/tasks/ HTTP/1.1\r\nHost: pulp.test\r\n"
REFUSAL = b'{"detail":"the request body has more than 1000000 bytes"}'
MEGABYTE = b"x" * 1_000_000
BODY_MEGABYTES = 20  # more than the buffers of a connection hold


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """The port of a server that reads every body."""

    async def read(request: Request) -> Response:
        return Response(str(len(await request.body())))

    app = Starlette(
        routes=[Route("/pulp/api/v3/tasks/", read, methods=["POST"])],
        middleware=[Middleware(Edge, dialects=[Outside()])],
    )
    server = Server(app, cast(Hub, NoStreams()), 75)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


async def answer_to(port: int, *parts: bytes) -> bytes:
    """What the server answers when all of it was sent; raises if the connection was reset."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
        finally:
            writer.close()


async def test_the_answer_arrives_although_the_body_was_under_way(port: int) -> None:
    head = HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_MEGABYTES * len(MEGABYTE))
    answer = await answer_to(port, head, *[MEGABYTE] * BODY_MEGABYTES)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(REFUSAL)


async def test_the_answer_arrives_where_the_length_was_not_told(port: int) -> None:
    chunk = b"%x\r\n%s\r\n" % (len(MEGABYTE), MEGABYTE)
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = await answer_to(port, head, *[chunk] * BODY_MEGABYTES, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(REFUSAL)


async def test_a_client_that_asks_first_need_not_send_the_body(port: int) -> None:
    head = HEAD + b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"
    answer = await answer_to(port, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(REFUSAL)


@pytest.mark.parametrize(("method", "status"), [(b"GET", b"301"), (b"HEAD", b"301"), (b"POST", b"307")])
async def test_a_missing_slash_is_moved_permanently_and_a_post_stays_one(
    port: int, method: bytes, status: bytes
) -> None:
    head = b"%s /pulp/api/v3/tasks HTTP/1.1\r\nHost: pulp.test\r\nConnection: close\r\n\r\n" % method
    answer = await answer_to(port, head)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nLocation: http://pulp.test/pulp/api/v3/tasks/\r\n" in answer
