"""A loopback server that answers with raw bytes, like a hostile mirror; and fakes of the network."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpcore
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching import FetchSettings
from pulp_worker.fetching.fetcher import Fetcher

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
LOCAL = fetch_settings({"PULP_FETCH_ALLOW": "public,private,loopback"})


def ok(body: bytes, *headers: str, length: int | None = None, status: str = "200 OK") -> bytes:
    """An answer; `length` may lie."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def redirect(location: str) -> bytes:
    """An answer that redirects."""
    return ok(b"", f"Location: {location}", status="302 Found")


@dataclass
class Mirror:
    """`answers` by path; `heads` are the requests that came."""

    port: int
    answers: dict[str, Answer]
    heads: list[str] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def asked(self) -> list[str]:
        """The requested paths."""
        return [head.split(" ")[1] for head in self.heads]


@asynccontextmanager
async def mirror(answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> AsyncIterator[Mirror]:
    """A running server; each connection gets one answer."""
    made = Mirror(0, dict(answers))
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await answer_once(reader, writer)
        except asyncio.CancelledError:
            pass  # by us, at the end
        finally:
            serving.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            made.heads.append(head)
            path = head.split(" ")[1].partition("?")[0]
            answer = made.answers.get(path, ok(b"", status="404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for _ in range(3):  # the last accepted connection has its task by then
            await asyncio.sleep(0)
        ending = [*serving]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


class Connector(httpcore.AnyIOBackend):
    """Sends every connection to a loopback port, and records its intended target."""

    def __init__(self, port: int = 0, dead: Collection[str] = ()) -> None:
        """Without a port, and for `dead` addresses, connecting fails."""
        self.port, self.dead = port, dead
        self.connections: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        self.connections.append((host, port))
        if not self.port or host in self.dead:
            raise httpcore.ConnectError
        return await super().connect_tcp("127.0.0.1", self.port, *arguments, **named)


class Names:
    """A resolver: each look-up of a name takes the next answer, and repeats the last one."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): given for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        given = self._answers.get(host)
        if given is None:
            raise OSError("no such name")
        return given[0] if len(given) == 1 else given.pop(0)


def fetcher(
    settings: FetchSettings = LOCAL, *, names: Names | None = None, connector: Connector | None = None, **env: str
) -> Fetcher:
    """A fetcher with the given fakes."""
    more: dict[str, Any] = {} if names is None else {"lookup": names}
    return Fetcher(settings, env, network=connector, **more)
