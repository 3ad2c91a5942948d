"""A client that goes away is not an error: there is no answer, and no log line for an operator to look into."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pulp_api.edge import Edge
from pulp_api.root_pages import Outside
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message


async def read(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


APP = Starlette(
    routes=[Route("/read", read, methods=["POST"]), Route("/stream", stream)],
    middleware=[Middleware(Edge, dialects=[Outside()])],
)


async def answers(
    method: str, path: str, receive: Callable[[], Awaitable[Message]], *, spec_version: str = "2.3", **state: Any
) -> list[Message]:
    """What the application sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if state.get("breaks_at") == len(sent):
            raise BrokenPipeError
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": state.get("headers", []),
    }
    async with asyncio.timeout(30):
        await APP(scope, receive, send)
    return sent


def received(*messages: Message) -> Callable[[], Awaitable[Message]]:
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0) if left else {"type": "http.disconnect"}

    return receive


@pytest.mark.parametrize("part", [b"", b"{", b"x" * 500_000])
async def test_one_that_goes_while_it_sends_its_body(part: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        sent = await answers("POST", "/read", received({"type": "http.request", "body": part, "more_body": True}))
    assert sent == []
    assert caplog.records == []


async def test_one_that_goes_while_a_body_that_is_too_large_is_thrown_away(caplog: pytest.LogCaptureFixture) -> None:
    head = [(b"content-length", b"2000000")]
    with caplog.at_level(logging.INFO):
        await answers(
            "POST", "/read", received({"type": "http.request", "body": b"x", "more_body": True}), headers=head
        )
    assert caplog.records == []


async def test_one_that_goes_while_an_answer_is_streamed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await answers("GET", "/stream", received({"type": "http.request", "body": b""}))
        # A server that reports it as an error of the send, as the newer protocol does.
        sent = await answers("GET", "/stream", received(), spec_version="2.4", breaks_at=3)
    assert len(sent) == 3
    assert caplog.records == []
