"""HTTP as raw bytes, which a client library would never send."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

LIMIT_S = 60


@dataclass(frozen=True)
class Answer:
    """One answer: its status, its fields with names in lower case, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Raw:
    """A connection on which any bytes can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send bytes; if the server has closed, the next answer shows it."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            pass

    async def answer(self) -> Answer | None:
        """The next answer, or None if the connection ended before one."""
        async with asyncio.timeout(LIMIT_S):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            status, *lines = head.decode("latin-1").rstrip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            if headers.get("transfer-encoding") == "chunked":
                return Answer(int(status.split()[1]), headers, await self._chunks())
            length = int(headers.get("content-length", 0))
            return Answer(int(status.split()[1]), headers, await self.reader.readexactly(length))

    async def _chunks(self) -> bytes:
        found = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            found += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
        return found

    async def is_closed(self) -> bool:
        """Wait until the server has closed it, discarding further bytes."""
        async with asyncio.timeout(LIMIT_S):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
            return True

    async def close(self) -> None:
        """Close it."""
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


async def connect(port: int, *, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Raw:
    """A connection from `source`, an address of this machine's loopback."""
    name = "localhost" if tls else None
    pair = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0), ssl=tls, server_hostname=name)
    return Raw(*pair)


@asynccontextmanager
async def connected(port: int, *, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    """A connection that is closed at the end."""
    raw = await connect(port, source=source, tls=tls)
    try:
        yield raw
    finally:
        await raw.close()


async def ask(port: int, data: bytes, *, source: str = "127.0.0.1") -> Answer | None:
    """The first answer to these bytes on a new connection."""
    async with connected(port, source=source) as raw:
        sending = asyncio.create_task(raw.send(data))
        found = await raw.answer()
        sending.cancel()
        await asyncio.wait([sending])
        return found
