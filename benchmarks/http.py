"""A cheap HTTP/1.1 client, since it shares the machine with the measured server."""

import asyncio
from base64 import b64encode
from types import TracebackType
from typing import Self


class Client:
    """One persistent connection; one request at a time."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._port = port
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Basic {credentials}\r\n"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer. A GET is sent again where the server has closed an idle connection."""
        try:
            await self.send(method, path, body)
            status, headers = await self._read_head()
        except ConnectionError:
            if method != "GET":
                raise
            self._writer.close()
            await self.__aenter__()
            await self.send(method, path, body)
            status, headers = await self._read_head()
        return status, await self._reader.readexactly(int(headers["content-length"]))

    async def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send a request."""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}\r\n".encode() + body)
        await self._writer.drain()

    async def open_stream(self, path: str) -> None:
        """Request a stream of server-sent events; afterwards only `next_line` may be used."""
        await self.send("GET", path)
        status, _ = await self._read_head()
        if status != 200:
            raise RuntimeError(f"GET {path} was answered {status}")

    async def next_line(self) -> bytes:
        """The next line of a stream; those of the chunked encoding are among them."""
        line = await self._reader.readline()
        if not line:
            raise RuntimeError("the stream has ended")
        return line

    async def _read_head(self) -> tuple[int, dict[str, str]]:
        first = await self._reader.readline()
        if not first:
            raise ConnectionResetError("the server has closed the connection")
        headers: dict[str, str] = {}
        while (line := await self._reader.readline()).strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return int(first.split()[1]), headers
