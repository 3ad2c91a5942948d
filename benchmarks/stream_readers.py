"""Very many readers of event streams in one process: `stream_readers PORT LOGIN`, the path of each on a line of input.

They share the machine with the measured server, so they have to be cheap. A stream is compressed, and each chunk of
HTTP holds blocks that refer to nothing before them. Streams that are at one place get the same chunks, so a chunk is
unpacked and parsed once for all who get it, and a reader only notes which ones it has got.

After an empty line it connects, and writes `ready`. The next line of input has the number of events of each path, as
JSON; once they were reached, or a minute later, it writes the result as JSON.
"""

import asyncio
import json
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from pulp_runtime.gc_tuning import collect_seldom

_CONNECTING: Final = 32
"""How many connect at the same time."""
_PATIENCE_S: Final = 60.0
"""How long the last events may take after the last one was appended."""
_BUFFER: Final = bytearray(256 * 1024)
_VIEW: Final = memoryview(_BUFFER)
_FACTS: Final = re.compile(rb'"partition":(\d+),"offset":(\d+),"timestamp_ms":(\d+)')
_GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
Place = tuple[int, int]
"""Partition and offset."""


class Chunk(NamedTuple):
    """The events that a chunk holds."""

    number: int
    """Which chunk of this process it is."""
    events: list[Place]
    appended_ms: list[int]
    """When the broker appended each of them."""


class Chunks:
    """The chunks that the streams of this process have delivered."""

    def __init__(self) -> None:
        self._known: dict[bytes, Chunk] = {}

    def read(self, data: bytes) -> Chunk:
        """What it holds: events, or a beginning or a ping."""
        found = self._known.get(data)
        if found is None:
            text = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data.removeprefix(_GZIP_HEAD))
            facts = [tuple(map(int, each)) for each in _FACTS.findall(text)]
            events = [(partition, offset) for partition, offset, _ in facts]
            found = self._known[data] = Chunk(len(self._known), events, [at_ms for _, _, at_ms in facts])
        return found

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._known.values())


class Delays:
    """How late events came. Only arrivals of chunks are counted while events come, as the machine is busy then."""

    def __init__(self) -> None:
        self._arrivals: Counter[tuple[int, int]] = Counter()
        """By number of the chunk, and time in milliseconds."""

    def note(self, chunk: Chunk) -> None:
        """A chunk arrives now."""
        self._arrivals[chunk.number, int(time.time() * 1000)] += 1

    def count(self, chunks: Iterable[Chunk]) -> Counter[int]:
        """By delay in milliseconds: how many events had it. Give all chunks that arrived."""
        appended_ms = {chunk.number: chunk.appended_ms for chunk in chunks}
        found: Counter[int] = Counter()
        for (number, at_ms), times in self._arrivals.items():
            for each_ms in appended_ms[number]:
                found[max(0, at_ms - each_ms)] += times
        return found


class Reader(asyncio.BufferedProtocol):
    """One stream."""

    def __init__(self, request: bytes, known: Chunks, delays: Delays, opened: "asyncio.Future[None]") -> None:
        self._request, self._known, self._delays, self._opened = request, known, delays, opened
        self._head: bytearray | None = bytearray()
        """What has come of the head of the answer; None after it."""
        self._line = bytearray()
        """What has come of the line before a chunk."""
        self._chunk = bytearray()
        self._left = 0
        """What is missing of the chunk, with the end of its line."""
        self.chunks: list[Chunk] = []
        """Those with events."""
        self.count = 0
        """How many events it has got."""
        self.fault = ""

    def places(self) -> list[Place]:
        """The events."""
        return [place for chunk in self.chunks for place in chunk.events]

    def is_like(self, other: "Reader") -> bool:
        """Whether it has got the same events, partition by partition."""
        return self.chunks == other.chunks or by_partition(self.places()) == by_partition(other.places())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask."""
        transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        """The stream has ended."""
        self.fault = self.fault or f"the stream has ended: {error}"
        if not self._opened.done():
            self._opened.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The only buffer: its contents are read at once."""
        return _VIEW

    def buffer_updated(self, size: int) -> None:
        """Read what has arrived."""
        start = 0
        if self._head is not None:
            start = self._take_head(size)
        while start < size:
            start = self._take_chunk(start, size) if self._left else self._take_line(start, size)

    def _take_head(self, size: int) -> int:
        assert self._head is not None
        before = len(self._head)
        self._head += _VIEW[:size]
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return size
        if not self._head.startswith(b"HTTP/1.1 200"):
            self.fault = self._head.decode(errors="replace")
        self._head = None
        self._opened.set_result(None)
        return end + 4 - before

    def _take_line(self, start: int, size: int) -> int:
        end = _BUFFER.find(b"\n", start, size)
        self._line += _VIEW[start : size if end < 0 else end + 1]
        if end < 0:
            return size
        self._left = int(self._line, 16) + 2
        self._line.clear()
        return end + 1

    def _take_chunk(self, start: int, size: int) -> int:
        take = min(self._left, size - start)
        self._chunk += _VIEW[start : start + take]
        self._left -= take
        if not self._left:
            chunk = self._known.read(bytes(self._chunk[:-2]))
            self._chunk.clear()
            if chunk.events:
                self.chunks.append(chunk)
                self.count += len(chunk.events)
                self._delays.note(chunk)
        return start + take


async def _read(port: int, login: str) -> dict[str, Any]:
    loop, turn = asyncio.get_running_loop(), asyncio.Semaphore(_CONNECTING)
    asked = [line.strip() for line in iter(sys.stdin.readline, "\n")]
    known, delays = Chunks(), Delays()
    headers = f"Host: 127.0.0.1\r\nAuthorization: Basic {login}\r\nAccept-Encoding: gzip\r\n"

    async def connect(path: str) -> Reader:
        request = f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode()
        opened: asyncio.Future[None] = loop.create_future()
        async with turn:
            reader = Reader(request, known, delays, opened)
            await loop.create_connection(lambda: reader, "127.0.0.1", port)
            await opened
        return reader

    readers = await asyncio.gather(*map(connect, asked))
    print("ready", flush=True)
    used_s = time.process_time()
    ends: dict[str, int] = json.loads(await asyncio.to_thread(sys.stdin.readline))
    deadline_s = loop.time() + _PATIENCE_S
    while loop.time() < deadline_s:
        if all(reader.count >= ends[path] for path, reader in zip(asked, readers, strict=True)):
            break
        await asyncio.sleep(0.05)
    used_s = time.process_time() - used_s
    by_path = dict(zip(asked, readers, strict=True))
    unlike = [
        f"{path}: {reader.count} events, another one has {by_path[path].count}; {reader.fault}"
        for path, reader in zip(asked, readers, strict=True)
        if reader.fault or not reader.is_like(by_path[path])
    ]
    return {
        "cpu_s": used_s,
        "places": {path: reader.places() for path, reader in by_path.items()},
        "unlike": unlike,
        "delays": sorted(delays.count(known).items()),
    }


def by_partition(places: Iterable[Place]) -> dict[int, list[int]]:
    """The offsets, in the order in which they came."""
    found: dict[int, list[int]] = {}
    for partition, offset in places:
        found.setdefault(partition, []).append(offset)
    return found


if __name__ == "__main__":
    collect_seldom()
    print(json.dumps(asyncio.run(_read(int(sys.argv[1]), sys.argv[2]))), flush=True)
