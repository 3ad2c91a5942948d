"""A TCP proxy that a fault can tell to be slow, silent, or to lose one answer."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from pulp_deploy.local.ports import HOST

_CHUNK: Final = 65_536
_NAME_BYTES: Final = 4096


@dataclass(eq=False)
class _Link:
    """One client's connection and the one to the target that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    first: bytes = b""
    """What the client sent first: a client of Postgres tells its name there."""
    is_losing: bool = False
    """The next answer is not passed on; the connection breaks instead."""

    def close(self) -> None:
        for writer in (self.client, self.server):
            if not writer.is_closing():
                writer.transport.abort()


@dataclass
class Trap:
    """Set for one connection: that whose client has this name and sends these bytes."""

    application: bytes
    statement: bytes
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Listens on a port of its own and forwards to `target`, which may change for connections to come."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.delay_s = 0.0
        self.trap: Trap | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._links: set[_Link] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def close(self) -> None:
        """Break all connections, and listen no more."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def hold(self) -> None:
        """Like a cable that was pulled: nothing gets through, nothing is closed."""
        self._passing.clear()

    def release(self) -> None:
        """Let through what was held."""
        self._passing.set()

    def reset(self) -> None:
        """Break all connections that there are."""
        for link in list(self._links):
            link.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passing.wait()
            there, back = await asyncio.open_connection(HOST, self.target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        link = _Link(writer, back)
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump(reader, back, link, is_request=True)),
            asyncio.create_task(self._pump(there, writer, link, is_request=False)),
        ]
        self._pumps.update(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.close()
            for pump in pumps:
                pump.cancel()
            self._links.discard(link)
            self._pumps.difference_update(pumps)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link, *, is_request: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._passing.wait()
                if is_request:
                    self._look(link, data)
                elif link.is_losing:
                    if self.trap is not None:
                        self.trap.sprung.set()
                    return
                writer.write(data)
                await writer.drain()

    def _look(self, link: _Link, data: bytes) -> None:
        if len(link.first) < _NAME_BYTES:
            link.first += data
        trap = self.trap
        if trap and not trap.sprung.is_set() and trap.application in link.first and trap.statement in data:
            link.is_losing = True
