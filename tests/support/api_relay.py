"""A relay in front of the API, like a proxy that ends event streams early or is unreachable for a while."""

import asyncio
import threading
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

_STREAM: Final = b"/v3/events/"
_LAST_CHUNK: Final = b"0\r\n\r\n"


class ApiRelay:
    """Forwards bytes in a thread of its own. `url` leads through it."""

    def __init__(self, url: str, *, stream_s: float | None = None, cuts: bool = False) -> None:
        """Streams end after `stream_s`: cleanly, or with `cuts` in the middle."""
        target = urlsplit(url)
        self._host, self._target_port = target.hostname or "127.0.0.1", target.port or 80
        self._stream_s, self._cuts = stream_s, cuts
        self._port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.ended = 0
        """How many streams it has ended."""
        self.refreshed = threading.Event()
        """Set once two streams have ended and a third is open."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "ApiRelay":
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Make the API reachable (again)."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def refuse(self) -> None:
        """Make the API unreachable: break every connection and refuse new ones."""
        asyncio.run_coroutine_threadsafe(self._refuse(), self._loop).result()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the end of a connection, which is what this is for
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        api_reader, api_writer = await asyncio.open_connection(self._host, self._target_port)
        is_stream = asyncio.Event()

        async def to_api() -> None:
            while data := await reader.read(65536):
                if _STREAM in data:
                    is_stream.set()
                    if self.ended >= 2:
                        self.refreshed.set()
                api_writer.write(data)
                await api_writer.drain()

        async def to_client() -> None:
            while data := await api_reader.read(65536):
                writer.write(data)
                await writer.drain()

        async def deadline() -> None:
            await is_stream.wait()
            await asyncio.sleep(self._stream_s or 3600)
            self.ended += 1
            if not self._cuts:
                writer.write(_LAST_CHUNK)
                await writer.drain()
                writer.close()
                await writer.wait_closed()

        ways = [asyncio.create_task(way()) for way in (to_api, to_client, deadline)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            api_writer.transport.abort()
