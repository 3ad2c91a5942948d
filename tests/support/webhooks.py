"""Builders for the events of subscriptions, and an endpoint on this machine that receives deliveries."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from pulp_events.filters import EVERYTHING, Filter
from pulp_events.ids import new_id
from pulp_events.task import Position
from pulp_events.webhook_events import Endpoint, Start, SubscriptionCreated, WebhookData, WebhookEvent
from standardwebhooks import Webhook

SUBSCRIPTION = UUID("5f0c2a5e-2a0b-4b52-9f6d-1f0d6ce1f5aa")
OTHER = UUID("9d7d4e0a-6a8e-4d76-8f54-0f2f3d1b5c11")
SECRET_ID = UUID("3c1f0c5e-0f5b-4c39-9d3a-7c2a44a1b001")
SECRET = b"0123456789abcdef01234567"
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def webhook_event(
    data: WebhookData, *, subscription_id: UUID = SUBSCRIPTION, actor: str = "user:jo", event_id: UUID | None = None
) -> WebhookEvent:
    """The data in an envelope."""
    return WebhookEvent(id=event_id or new_id(), subscription_id=subscription_id, time=NOON, actor=actor, data=data)


def created(
    url: str,
    *,
    name: str = "chat",
    topic_id: str = "topic",
    offsets: tuple[int, ...] = (0, 0, 0, 0),
    wanted: Filter = EVERYTHING,
    secret_id: UUID = SECRET_ID,
    **more: Any,
) -> WebhookEvent:
    """A subscription is created."""
    endpoint, start = Endpoint(name=name, url=url, wanted=wanted), Start(topic_id=topic_id, offsets=offsets)
    return webhook_event(SubscriptionCreated(endpoint=endpoint, start=start, secret_id=secret_id), **more)


@dataclass
class Received:
    """One request, whose signature was right."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    status: int

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def position(self) -> Position:
        return Position.parse(self.headers["pulp-position"])


Answer = Callable[[Received], "int | tuple[int, Mapping[str, str]] | Awaitable[int | tuple[int, Mapping[str, str]]]"]


@dataclass
class EndpointServer:
    """A receiver. `answer` returns its answer; requests with a wrong signature are in `refused`."""

    answer: Answer
    secret: bytes = SECRET
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    open_requests: int = 0
    most_open: int = 0

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def taken(self) -> list[Received]:
        """The requests that were answered with success."""
        return [each for each in self.requests if 200 <= each.status < 300]

    async def have(self, enough: Callable[[], bool], limit_s: float = 60) -> None:
        """Returns as soon as the condition holds."""
        async with asyncio.timeout(limit_s):
            while not enough():  # noqa: ASYNC110  # a condition of any kind
                await asyncio.sleep(0.02)


@asynccontextmanager
async def endpoint(answer: Answer = lambda _: 204, secret: bytes = SECRET) -> AsyncIterator[EndpointServer]:
    """A running receiver on the loopback."""
    made = EndpointServer(answer, secret)
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await _serve_one(made, reader, writer):
                    pass
        finally:
            serving.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in [*serving]:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _serve_one(made: EndpointServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    made.open_requests += 1
    made.most_open = max(made.most_open, made.open_requests)
    try:
        try:
            Webhook(made.secret).verify(body, dict(headers))
        except Exception as error:
            made.refused.append(str(error))
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            return True
        received = Received(head[0].split(" ")[1], headers, msgspec.json.decode(body), 0)
        found = made.answer(received)
        answered = found if isinstance(found, int | tuple) else await found
        status, more = (answered, {}) if isinstance(answered, int) else answered
        received.status = status
        made.requests.append(received)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Length: 0"]
        writer.write("\r\n".join([*lines, *(f"{name}: {value}" for name, value in more.items()), "", ""]).encode())
        await writer.drain()
        return True
    finally:
        made.open_requests -= 1
