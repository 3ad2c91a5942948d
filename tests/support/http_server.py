"""The API's server over a small application: real connections, without Kafka and Postgres."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from pulp_api.edge import Edge
from pulp_api.front.listener import listen
from pulp_api.front.server import Server
from pulp_api.root_pages import Outside
from pulp_api.streaming.hub import Hub
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class NoStreams:
    """A hub without streams."""

    async def close(self) -> None:
        pass


async def told(request: Request) -> Response:
    """The request as the application sees it."""
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "base": str(request.base_url),
            "client": request.client.host if request.client else None,
            "body": body.decode("latin-1"),
            "headers": dict(request.headers),
        }
    )


async def large(request: Request) -> Response:
    """Answers with the number of bytes in the path."""
    return Response(b"x" * int(request.path_params["size"]))


async def unread(request: Request) -> Response:
    """Refuses without reading the body, like a request without a valid login."""
    return Response("no", 401)


async def wait(request: Request) -> Response:
    """Answers when the test says so."""
    request.app.state.waiting += 1
    await request.app.state.released.wait()
    return Response("at last")


METHODS = ["GET", "HEAD", "POST", "OPTIONS"]
ROUTES = [
    Route("/large/{size:int}", large),
    Route("/wait", wait),
    Route("/unread", unread, methods=["POST"]),
    Route("/{path:path}", told, methods=METHODS),
]


@dataclass
class Serving:
    """A server that runs."""

    app: Starlette
    server: Server
    port: int
    task: "asyncio.Task[None]"

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self.server.watch)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for `let_go`."""
        found: int = self.app.state.waiting
        return found

    def let_go(self) -> None:
        """Answer the waiting requests."""
        self.app.state.released.set()

    async def down_to(self, connections: int) -> None:
        """Returns when there are at most this many."""
        async with asyncio.timeout(60):
            while self.connections > connections:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(*, edge: Mapping[str, Any] | None = None, **options: Any) -> AsyncIterator[Serving]:
    """A server, stopped at the end; `options` are those of `Server`."""
    app = Starlette(routes=ROUTES, middleware=[Middleware(Edge, dialects=[Outside()], **(edge or {}))])
    app.state.waiting, app.state.released = 0, asyncio.Event()
    server = Server(app, cast(Hub, NoStreams()), options.pop("keep_alive_s", 75), **options)
    with listen("127.0.0.1", 0, stalled_s=30) as listener:
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield Serving(app, server, listener.getsockname()[1], task)
        finally:
            server.should_exit = True
            await task
