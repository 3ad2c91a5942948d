"""A TCP proxy that a fault can make slow or silent, or lose one response: for all clients, or for one process."""

import asyncio
import contextlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import psutil
from pulp_deploy.local.ports import HOST

_CHUNK: Final = 65_536
_NAME_BYTES: Final = 4096
_PREPARED: Final = re.compile(rb"P.{4}(_pg3_[0-9]+)\0([^\0]+)\0", re.DOTALL)
"""The message by which psycopg prepares a statement: the statement's name, and its text."""


@dataclass(eq=False)
class _Link:
    """A client's connection and its connection to the target."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    port: int
    """The port at the client's end."""
    passing: asyncio.Event = field(default_factory=asyncio.Event)
    delay_s: float = 0.0
    first: bytes = b""
    """The client's first bytes, which name a Postgres client."""
    prepared: dict[bytes, bytes] = field(default_factory=dict)
    """Name → text of the statements that the client has prepared, and from then on sends by their names."""
    is_losing: bool = False
    """The next response is dropped and the connection breaks."""

    def sends(self, statement: bytes, data: bytes) -> bool:
        """Whether these bytes of the client execute a statement that contains the given bytes."""
        return statement in data or any(
            b"\0%b\0" % name in data for name, text in self.prepared.items() if statement in text
        )

    def close(self) -> None:
        for writer in (self.client, self.server):
            if not writer.is_closing():
                writer.transport.abort()


@dataclass
class Trap:
    """Applies to one connection: that of the client with this name that sends a statement with these bytes."""

    application: bytes
    statement: bytes
    sprung: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Disturbance:
    """A disturbance of connections: of all, or of those of one process and its children."""

    pid: int | None
    is_cut: bool
    delay_s: float = 0.0


class Proxy:
    """Listens on a port of its own and forwards to `target`, which may change for connections to come."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.trap: Trap | None = None
        self._disturbances: list[_Disturbance] = []
        self._links: set[_Link] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def close(self) -> None:
        """Break all connections, and stop listening."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def hold(self, pid: int | None = None) -> None:
        """Simulate a pulled cable: no bytes pass, no connection closes. With a pid, only for that process."""
        await self._disturb(_Disturbance(pid, is_cut=True))

    async def delay(self, seconds: float, pid: int | None = None) -> None:
        """Delay everything by this much, in both directions."""
        await self._disturb(_Disturbance(pid, is_cut=False, delay_s=seconds))

    async def release(self, pid: int | None = None) -> None:
        """Release held bytes and end the delay: for all clients, or with a pid for one process."""
        self._disturbances = [each for each in self._disturbances if pid is not None and each.pid != pid]
        await self._apply()

    def reset(self) -> None:
        """Break all current connections."""
        for link in list(self._links):
            link.close()

    async def _disturb(self, disturbance: _Disturbance) -> None:
        self._disturbances.append(disturbance)
        await self._apply()

    async def _apply(self) -> None:
        """Apply the disturbances to every connection, including new ones."""
        pids = {each.pid for each in self._disturbances if each.pid is not None}
        ports = {pid: await asyncio.to_thread(_ports_of, pid) for pid in pids}
        for link in list(self._links):
            mine = [each for each in self._disturbances if each.pid is None or link.port in ports.get(each.pid, ())]
            link.delay_s = max((each.delay_s for each in mine), default=0.0)
            (link.passing.clear if any(each.is_cut for each in mine) else link.passing.set)()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        link = _Link(writer, back, writer.get_extra_info("peername")[1])
        self._links.add(link)
        await self._apply()
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
                await link.passing.wait()
                if link.delay_s:
                    await asyncio.sleep(link.delay_s)
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
        link.prepared.update(_PREPARED.findall(data))
        trap = self.trap
        if trap and not trap.sprung.is_set() and trap.application in link.first and link.sends(trap.statement, data):
            link.is_losing = True


def _ports_of(pid: int) -> Collection[int]:
    """The local ports of the connections of a process and its children; none after it has ended."""
    try:
        process = psutil.Process(pid)
        return {
            connection.laddr.port
            for each in (process, *process.children(recursive=True))
            for connection in each.net_connections("tcp")
        }
    except psutil.NoSuchProcess:
        return ()
