"""Very many readers of event streams in one process: `stream_readers PORT LOGIN`, the path of each on a line of input.

They share the machine with the measured server, so they have to be cheap. Streams of one path bring the same bytes, so
the first reader that gets some writes them on the path's tape, where they are unpacked and parsed once, and all others
compare theirs with it. One that gets its events in another order, as it was behind, is unpacked by itself from there
on. Each chunk of HTTP has to hold blocks of its own, which refer to nothing before them.

After an empty line it connects, and writes `ready`. The next line of input has the number of events of each path, as
JSON; once they were reached, or a minute later, it writes the result as JSON.
"""

import asyncio
import json
import re
import sys
import time
import zlib
from bisect import bisect_right
from collections import Counter
from typing import Any, Final

from pulp_runtime.gc_tuning import collect_seldom

_CONNECTING: Final = 32
"""How many connect at the same time."""
_PATIENCE_S: Final = 60.0
"""How long the last events may take after the last one was appended."""
_SMALL: Final = 512
"""A chunk so small may be no event but a beginning or a ping, which come at any time."""
_BUFFER: Final = bytearray(256 * 1024)
_VIEW: Final = memoryview(_BUFFER)
_FACTS: Final = re.compile(rb'"partition":(\d+),"offset":(\d+),"timestamp_ms":(\d+)')
_END: Final = b"\n\n"
_GZIP_HEAD: Final = 10
"""Bytes before the first block."""


class Tape:
    """What the streams of one path have brought, and the events in it."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int]] = []
        """Partition and offset."""
        self.ends: list[int] = []
        """Where each could be read, at the latest."""
        self.times_ms: list[int] = []
        """When the broker appended it."""
        self.size = 0
        self._data = bytearray(1 << 16)
        self._view = memoryview(self._data)
        self._unpacked = Unpacked()

    def has(self, data: memoryview, place: int) -> bool:
        """Whether these bytes are at the place."""
        return self._data.startswith(data, place)

    def add(self, data: memoryview) -> None:
        """Write on; the tape grows."""
        size = self.size + len(data)
        if size > len(self._data):
            grown = bytearray(2 * size)
            grown[: self.size] = self._view[: self.size]
            self._data, self._view = grown, memoryview(grown)
        self._view[self.size : size] = data
        self.size = size
        for partition, offset, time_ms in self._unpacked.add(data):
            self.events.append((partition, offset))
            self.times_ms.append(time_ms)
            self.ends.append(size)

    def before(self, block: int, place: int) -> tuple[list[tuple[int, int]], bytearray]:
        """The events before a block, and the bytes from there to a place in it."""
        return self.events[: bisect_right(self.ends, block)], self._data[block:place]


class Unpacked:
    """The events in compressed blocks."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        self._text = bytearray()

    def add(self, data: memoryview | bytearray) -> list[tuple[int, int, int]]:
        """Partition, offset and time of the events that end here."""
        self._text += self._unpacker.decompress(data)
        found = []
        begin = 0
        while (end := self._text.find(_END, begin)) >= 0:
            if (facts := _FACTS.search(self._text, begin, end)) is not None:
                found.append((int(facts[1]), int(facts[2]), int(facts[3])))
            begin = end + len(_END)
            del facts  # it would keep the text from shrinking
        del self._text[:begin]
        return found


class Delays:
    """How late events came: each counts as late as the oldest one of those that came with it."""

    def __init__(self) -> None:
        self.count: Counter[int] = Counter()

    def note(self, events: int, oldest_ms: int) -> None:
        """So many came now."""
        self.count[max(0, int(time.time() * 1000) - oldest_ms)] += events


class Reader(asyncio.BufferedProtocol):
    """One stream."""

    def __init__(self, request: bytes, tape: Tape, delays: Delays, opened: "asyncio.Future[None]") -> None:
        self._request, self._tape, self._delays, self._opened = request, tape, delays, opened
        self._head: bytearray | None = bytearray()
        """What has come of the head of the answer; None after it."""
        self._line = bytearray()
        """What has come of the line before a chunk, or of a small chunk."""
        self._small = 0
        """The size of the small chunk that comes."""
        self._is_first = True
        """Whether the beginning of the stream has not come, which is small."""
        self._left = 0
        """What is missing of a chunk, with the end of its line."""
        self._place = self._seen = 0
        """On the tape: the bytes and the events that were read."""
        self._block = 0
        """Where the chunk that comes began on the tape."""
        self._own: tuple[list[tuple[int, int]], Unpacked] | None = None
        """The events that were read of one that has left the tape."""
        self.fault = ""

    @property
    def is_apart(self) -> bool:
        """Whether it has got its events in another order."""
        return self._own is not None

    @property
    def events(self) -> int:
        """How many it has got."""
        return self._seen if self._own is None else len(self._own[0])

    def places(self) -> list[tuple[int, int]]:
        """The events."""
        return self._tape.events[: self._seen] if self._own is None else self._own[0]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask."""
        transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        """The stream has ended."""
        self.fault = self.fault or f"the stream has ended: {error}"
        if not self._opened.done():
            self._opened.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The one buffer: what it gets is read at once."""
        return _VIEW

    def buffer_updated(self, size: int) -> None:
        """Read what has come."""
        start = 0
        if self._head is not None:
            start = self._take_head(size)
        while start < size:
            if self._left:
                start = self._take_chunk(start, size)
            elif self._small:
                start = self._take_small(start, size)
            else:
                start = self._take_line(start, size)
        self._note()

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
        length = int(self._line, 16)
        self._line.clear()
        self._block = self._place
        if length < _SMALL:
            self._small = length + 2
        else:
            self._left = length + 2
        return end + 1

    def _take_small(self, start: int, size: int) -> int:
        take = min(self._small - len(self._line), size - start)
        self._line += _VIEW[start : start + take]
        if len(self._line) == self._small:
            data = bytes(self._line[:-2])
            self._line.clear()
            self._small = 0
            block = data[_GZIP_HEAD:] if self._is_first else data
            self._is_first = False
            if b"\ndata: " in zlib.decompressobj(-zlib.MAX_WBITS).decompress(block):
                self._take(memoryview(block))
        return start + take

    def _take_chunk(self, start: int, size: int) -> int:
        take = min(self._left, size - start)
        body = min(take, max(0, self._left - 2))
        self._left -= take
        if body:
            self._take(_VIEW[start : start + body])
        return start + take

    def _take(self, data: memoryview) -> None:
        """Events, or parts of them."""
        tape = self._tape
        if self._own is None:
            known = min(len(data), tape.size - self._place)
            if tape.has(data[:known], self._place):
                if known < len(data):
                    tape.add(data[known:])
                self._place += len(data)
                return
            known_events, begun = tape.before(self._block, self._place)
            self._own = known_events, Unpacked()
            self._own[1].add(begun)
        events, unpacked = self._own
        for partition, offset, time_ms in unpacked.add(data):
            events.append((partition, offset))
            self._delays.note(1, time_ms)

    def _note(self) -> None:
        tape = self._tape
        if self._own is None and self._seen < len(tape.ends):
            seen = bisect_right(tape.ends, self._place, self._seen)
            if seen > self._seen:
                self._delays.note(seen - self._seen, tape.times_ms[self._seen])
                self._seen = seen


async def _read(port: int, login: str) -> dict[str, Any]:
    loop, turn = asyncio.get_running_loop(), asyncio.Semaphore(_CONNECTING)
    asked = [line.strip() for line in iter(sys.stdin.readline, "\n")]
    tapes, delays = {path: Tape() for path in asked}, Delays()
    headers = f"Host: 127.0.0.1\r\nAuthorization: Basic {login}\r\nAccept-Encoding: gzip\r\n"

    async def connect(path: str) -> Reader:
        request = f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode()
        opened: asyncio.Future[None] = loop.create_future()
        async with turn:
            reader = Reader(request, tapes[path], delays, opened)
            await loop.create_connection(lambda: reader, "127.0.0.1", port)
            await opened
        return reader

    readers = await asyncio.gather(*map(connect, asked))
    print("ready", flush=True)
    used_s = time.process_time()
    ends: dict[str, int] = json.loads(await asyncio.to_thread(sys.stdin.readline))
    deadline_s = loop.time() + _PATIENCE_S
    while loop.time() < deadline_s:
        if all(reader.events >= ends[path] for path, reader in zip(asked, readers, strict=True)):
            break
        await asyncio.sleep(0.05)
    used_s = time.process_time() - used_s
    return {
        "cpu_s": used_s,
        "places": {path: tape.events for path, tape in tapes.items()},
        "unlike": [_told(path, reader) for path, reader in zip(asked, readers, strict=True) if _is_unlike(reader)],
        "delays": sorted(delays.count.items()),
        "apart": sum(reader.is_apart for reader in readers),
    }


def _is_unlike(reader: Reader) -> bool:
    """Whether its events are not those of the tape, partition by partition."""
    if reader.fault:
        return True
    if not reader.is_apart:
        return reader.events != len(reader._tape.events)
    return _by_partition(reader.places()) != _by_partition(reader._tape.events)


def _by_partition(places: list[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for partition, offset in places:
        found.setdefault(partition, []).append(offset)
    return found


def _told(path: str, reader: Reader) -> str:
    return f"{path}: {reader.events} of {len(reader._tape.events)} events; {reader.fault}"


if __name__ == "__main__":
    collect_seldom()
    print(json.dumps(asyncio.run(_read(int(sys.argv[1]), sys.argv[2]))), flush=True)
