"""A relay in front of Postgres that can be unreachable, and can lose the response to a commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_COMMITS = (b"COMMIT\x00", b"fence as (")
"""Statements that commit: COMMIT, and the one that writes a small batch (not yet prepared)."""
_REASON = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_END = b"E" + (len(_REASON) + 4).to_bytes(4) + _REASON
"""An ErrorResponse: https://www.postgresql.org/docs/current/protocol-message-formats.html."""


class PostgresRelay:
    """Hands bytes on. `conninfo` leads through it."""

    def __init__(self, conninfo: str) -> None:
        self._target = conninfo_to_dict(conninfo)
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        self._port = 0
        self._losing = False
        self._ending = False
        self._last = b""
        self.keeps = asyncio.Event()
        self.lost = 0
        """How many responses to a commit were lost."""

    @property
    def conninfo(self) -> str:
        changed = {"host": "127.0.0.1", "port": str(self._port), "sslmode": "disable"}
        return make_conninfo(**{name: str(value) for name, value in {**self._target, **changed}.items()})

    async def open(self) -> None:
        """Make Postgres reachable (again)."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Make Postgres unreachable: break every connection and refuse new ones."""
        assert self._server is not None
        self._server.close()
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def lose_next_commit(self) -> None:
        """Forward the next commit, and break its connection when Postgres has answered."""
        self._losing = True

    def end_after_next_commit(self) -> None:
        """After the response to the next commit, send the error of an ending server process; break the connection
        later."""
        self._ending = True

    def keep_until(self, last: bytes) -> None:
        """Hold back what Postgres sends until it contains this; then forward it in one piece, and nothing more.
        `keeps` is set once something is held.
        """
        self._last = last

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert self._server is not None
        if not self._server.is_serving():  # accepted while the relay was being cut
            writer.transport.abort()
            return
        self._pairs.add(task)
        try:
            host, port = str(self._target.get("host", "127.0.0.1")), int(str(self._target.get("port", 5432)))
            server_reader, server_writer = await asyncio.open_connection(host, port)
            try:
                await self._relay((reader, writer), (server_reader, server_writer))
            finally:
                server_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # the end of a connection, which is what this is for
        finally:
            self._pairs.discard(task)
            writer.transport.abort()

    async def _relay(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        loses, ends = asyncio.Event(), asyncio.Event()

        async def to_server() -> None:
            while data := await client[0].read(65536):
                if self._losing and any(commit in data for commit in _COMMITS):
                    self._losing = False
                    loses.set()
                if self._ending and any(commit in data for commit in _COMMITS):
                    self._ending = False
                    ends.set()
                server[1].write(data)
                await server[1].drain()

        async def to_client() -> None:
            kept = b""
            while data := await server[0].read(65536):
                if loses.is_set():
                    self.lost += 1
                    return
                if self._last:
                    self.keeps.set()
                    kept += data
                    if self._last not in kept:
                        continue
                    client[1].write(kept)
                    await asyncio.Event().wait()  # until the relay is cut
                client[1].write(data + (_END if ends.is_set() else b""))
                await client[1].drain()

        ways = [asyncio.create_task(to_server()), asyncio.create_task(to_client())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


@asynccontextmanager
async def postgres_relay(conninfo: str) -> AsyncIterator[PostgresRelay]:
    """A relay that is open."""
    relay = PostgresRelay(conninfo)
    await relay.open()
    try:
        yield relay
    finally:
        await relay.cut()
