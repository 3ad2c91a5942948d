"""A part of an answer that does not go through the layers of the application, which a stream would keep for its life.

The application begins the answer and returns; what follows is written by a coroutine that it has left behind, or at
once by whoever has the same bytes for many clients.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

DIRECT: Final = "pulp.direct"
"""The key of a request's `Direct` in its ASGI scope. Servers other than ours have none."""
_log = logging.getLogger("pulp.api")


def framed(data: bytes) -> bytes:
    """A part of an answer as HTTP/1.1 sends it in chunks."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Direct:
    """One request: it runs the application, and then what continues the answer."""

    __slots__ = ("_app", "_at_end", "_cycle", "_is_lost", "_rest", "_task", "size_bytes")

    def __init__(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self._cycle = cycle
        self._app: ASGIApp | None = app
        self._rest: Callable[[], Awaitable[None]] | None = None
        self._at_end: list[Callable[[], object]] = []
        self._task: asyncio.Task[Any] | None = None
        self._is_lost = False
        self.size_bytes = 0
        """What was written here, with the framing of what `write` got."""

    @property
    def may_continue(self) -> bool:
        """Whether an answer that has begun can be continued here."""
        return self._cycle.scope["method"] == "GET"

    @property
    def is_lost(self) -> bool:
        """Whether the client has gone."""
        return self._is_lost

    @property
    def continues(self) -> bool:
        """Whether something was left behind."""
        return self._rest is not None

    def continue_with(self, rest: Callable[[], Awaitable[None]], end: Callable[[], object]) -> None:
        """Have `rest` called once the application has returned, unless the client has gone; it is cancelled if it goes.

        The application has sent the head of the answer, and no more. After `rest` the answer is complete. `end` is
        called at the end in any case.
        """
        self._rest = rest
        self.at_end(end)

    def at_end(self, call: Callable[[], object]) -> None:
        """Have this called at the end of what continues the answer."""
        self._at_end.append(call)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        assert self._app is not None
        try:
            await self._app(scope, receive, send)
            self._app = None
            if self._rest is not None and not self._is_lost:
                await self._continue(self._rest)
        finally:
            self._rest = None
            while self._at_end:
                self._at_end.pop()()

    async def _continue(self, rest: Callable[[], Awaitable[None]]) -> None:
        self._task = asyncio.current_task()
        try:
            await rest()
            await self._cycle.send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not self._is_lost:
                raise
        except Exception:
            _log.exception("a stream broke", extra={"path": self._cycle.scope["path"]})  # the connection is closed
        finally:
            self._task = None

    def lost(self) -> None:
        """The client has gone."""
        self._is_lost = True
        if self._task is not None:
            self._task.cancel()

    async def send(self, data: bytes) -> None:
        """Send a part; waits while the client has not read what it was sent before."""
        self.size_bytes += len(data)
        await self._cycle.send({"type": "http.response.body", "body": data, "more_body": True})

    def write(self, chunks: bytes) -> bool:
        """Write the output of `framed`; nobody may be in `send` meanwhile.

        False if nothing was written, because the client has not read earlier data or gets no chunks. Then `send` waits
        for it, or knows what to do.
        """
        cycle = self._cycle
        if not cycle.chunked_encoding or cycle.flow.write_paused or cycle.disconnected or cycle.response_complete:
            return False
        cycle.transport.write(chunks)
        self.size_bytes += len(chunks)
        return True
