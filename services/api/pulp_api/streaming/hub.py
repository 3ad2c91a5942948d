"""The events as they come, for any number of subscribers of this process.

One thread tails the topic while there are any; each subscriber has a bounded queue. One that does not keep up is let
go, and reads what it missed from the log, from where it was: nothing is lost, and nothing piles up.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw
from pulp_events.codec import decode, type_of
from pulp_events.errors import LogError, UndecodableRecord
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record
from pulp_runtime.heap import give_back

UNDECODABLE: Final = "undecodable"
PING_S: Final = 15.0
_IDLE_S: Final = 5.0
"""So long a subscriber waits for an event before it is told that there is none."""
_QUEUED_ITEMS: Final = 1000
_QUEUED_BYTES: Final = 1_000_000
_RECENT_ITEMS: Final = 2_000
_RECENT_BYTES: Final = 4_000_000
_PAGE_ITEMS: Final = 5000
_PAGE_BYTES: Final = 1_000_000
_PAGE_S: Final = 10.0
_BURST_ITEMS: Final = 10_000
_QUIET_ITEMS: Final = 10
"""After a burst of so many, and once as few as that come at once, memory that was needed for it is given back."""
_REST_S: Final = 30.0
"""How long the topic is tailed when nobody subscribes any more: who was cut off comes back."""
_REPLAYS: Final = 4
"""Threads that read the log for subscribers; the others wait for their turn."""
_log = logging.getLogger("pulp.api")


class Item(NamedTuple):
    """One record, made ready once for all who want it."""

    partition: int
    offset: int
    timestamp_ms: int
    type: str
    """The event's type, or `undecodable`."""
    task_id: str | None
    data: bytes
    """One line of JSON: where the record is, the broker's time, and the event as it stands in the log."""


class Feed:
    """One subscriber's queue. Once it was full nothing more is put in: the rest is to be read from the log."""

    def __init__(self, start: Mapping[int, int]) -> None:
        self.start = dict(start)
        self.is_behind = False
        self._items: list[Item] = []
        self._bytes = 0
        self._wake = asyncio.Event()

    def put(self, items: Sequence[Item]) -> None:
        """Queue the items, or give up."""
        self._bytes += sum(len(item.data) for item in items)
        self.is_behind = self.is_behind or len(self._items) + len(items) > _QUEUED_ITEMS or self._bytes > _QUEUED_BYTES
        if not self.is_behind:
            self._items += items
        self._wake.set()

    def wake(self) -> None:
        """Let `take` return."""
        self._wake.set()

    async def take(self, timeout_s: float) -> list[Item]:
        """What is queued; waits for it until the timeout, or until it is clear that nothing more comes."""
        if not self._items and not self.is_behind:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return []
        items, self._items, self._bytes = self._items, [], 0
        return items


class _Recent:
    """The newest items, so that who was away for a moment needs no reader of its own."""

    def __init__(self, start: Mapping[int, int]) -> None:
        self._first = dict(start)
        """Of each partition the offset from which on all are here."""
        self._items: deque[Item] = deque()
        self._bytes = 0

    def add(self, items: Sequence[Item]) -> None:
        self._items.extend(items)
        self._bytes += sum(len(item.data) for item in items)
        while len(self._items) > _RECENT_ITEMS or self._bytes > _RECENT_BYTES:
            gone = self._items.popleft()
            self._bytes -= len(gone.data)
            self._first[gone.partition] = gone.offset + 1

    def since(self, offsets: Mapping[int, int]) -> list[Item] | None:
        """All from the offsets on; None if they are not all here."""
        if any(offset < self._first[partition] for partition, offset in offsets.items()):
            return None
        return [item for item in self._items if item.offset >= offsets.get(item.partition, item.offset + 1)]


class Hub:
    """Tails the topic once for all subscribers of this process, and not while there are none. `close` it after use."""

    def __init__(
        self,
        servers: Servers,
        topic: str,
        topic_id: str,
        partitions: int,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
    ) -> None:
        """`ends` reads the topic's end offsets; it raises `LogError`."""
        self.topic_id = topic_id
        self.partitions = partitions
        self._servers = servers
        self._topic = topic
        self._ends = ends
        self._feeds: set[Feed] = set()
        self._tail: _Tail | None = None
        self._ended: set[_Tail] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._positions: dict[int, int] = {}
        self._recent = _Recent({})
        self._closing = threading.Event()
        self._readers = ThreadPoolExecutor(_REPLAYS, "event-replay")
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """End every stream, with a hint to come back."""
        self._closing.set()
        for feed in self._feeds:
            feed.wake()
        self._end_tail()
        await asyncio.gather(*(asyncio.to_thread(tail.join) for tail in self._ended))
        await asyncio.to_thread(self._readers.shutdown)

    @property
    def is_closing(self) -> bool:
        """Whether streams are to end."""
        return self._closing.is_set()

    @property
    def fault(self) -> str | None:
        """Why no events arrive; None if they do, or nobody wants any."""
        return None if self._tail is None else self._tail.fault

    async def items(self, start: Mapping[int, int]) -> AsyncIterator[Sequence[Item]]:
        """All from the offsets on, in order within each partition, each once: from the log, then as they come.

        Nothing, [], comes now and then while there is nothing. Ends when the hub closes. Raises `LogError`.
        """
        offsets = dict(start)
        while not self.is_closing:
            await self._begin_tail()
            feed = Feed(self._positions)
            self._feeds.add(feed)
            try:
                async for page in self._missed(offsets, feed.start):
                    yield _advance(offsets, page)
                while not self.is_closing:
                    items = await feed.take(_IDLE_S)
                    if not items and feed.is_behind:
                        break
                    yield _advance(offsets, items)
            finally:
                self._leave(feed)

    async def _begin_tail(self) -> None:
        """Returns with a tail, which no other task could end since it was seen to be there; or the hub closes."""
        if self._tail is None:
            self._begin_at(dict(await self._ends()))

    def _begin_at(self, ends: dict[int, int]) -> None:
        """Unless somebody else has begun meanwhile."""
        if self._tail is None and not self.is_closing:
            self._positions, self._recent = ends, _Recent(ends)
            self._tail = _Tail(self._servers, self._topic, ends, self._hand_out)

    def _leave(self, feed: Feed) -> None:
        self._feeds.discard(feed)
        if self._resting is not None:
            self._resting.cancel()
        self._resting = self._loop.call_later(_REST_S, self._rest)

    def _rest(self) -> None:
        if not self._feeds:
            self._end_tail()

    def _end_tail(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.end()
            self._ended = {ended for ended in self._ended if ended.is_alive} | {tail}

    async def _missed(self, offsets: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Sequence[Item]]:
        """What is before the ends; `offsets` move on as the caller takes it."""
        while not self.is_closing:
            missing = {partition: offset for partition, offset in offsets.items() if offset < ends[partition]}
            if not missing:
                return
            page = self._recent.since(missing)
            if page is None:
                page = await self._loop.run_in_executor(self._readers, self._page, missing, ends)
            yield page

    def _page(self, start: Mapping[int, int], ends: Mapping[int, int]) -> list[Item]:
        """Some of what is before the ends: a slow subscriber must not hold a reader while it takes its time."""
        page: list[Item] = []
        if self._closing.is_set():
            return page
        gives_up_at = time.monotonic() + _PAGE_S
        with Reader(self._servers, self._topic, start) as reader:
            while not self._closing.is_set() and sum(len(item.data) for item in page) < _PAGE_BYTES:
                for partition, records in reader.poll(0.2, most=1000).items():
                    page += [item_of(record) for record in records if record.offset < ends[partition]]
                positions = reader.positions
                is_done = all(positions[partition] >= ends[partition] for partition in start)
                if is_done or len(page) >= _PAGE_ITEMS or time.monotonic() > gives_up_at:
                    break
        return page

    def _hand_out(self, tail: "_Tail", items: Sequence[Item]) -> None:
        if tail is not self._tail:
            return  # it was ended meanwhile; who subscribes later reads this from the log
        self._positions[items[-1].partition] = items[-1].offset + 1
        self._recent.add(items)
        for feed in self._feeds:
            feed.put(items)


class _Tail:
    """A thread that follows the topic from the offsets on, and gives what comes to `hand_out` in the event loop."""

    def __init__(
        self,
        servers: Servers,
        topic: str,
        start: Mapping[int, int],
        hand_out: Callable[["_Tail", Sequence[Item]], None],
    ) -> None:
        self.fault: str | None = None
        """Why no events arrive; None if they do."""
        self._servers = servers
        self._topic = topic
        self._next = dict(start)
        self._hand_out = hand_out
        self._loop = asyncio.get_running_loop()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-tail", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop soon; what is handed out after this call is no news."""
        self._ending.set()

    def join(self) -> None:
        """Wait until it has stopped."""
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether it has not stopped yet."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                with Reader(self._servers, self._topic, self._next) as reader:
                    self._follow(reader)
            except LogError as error:
                if self.fault != str(error):
                    _log.error("the events cannot be followed", extra={"error": error})
                self.fault = str(error)
                self._ending.wait(1.0)

    def _follow(self, reader: Reader) -> None:
        fresh = 0
        while not self._ending.is_set():
            taken = self._hand_on(reader.poll(0.2, most=1000))
            fresh += taken
            if fresh >= _BURST_ITEMS and taken < _QUIET_ITEMS:
                give_back()
                fresh = 0

    def _hand_on(self, batches: Mapping[int, Sequence[Record]]) -> int:
        """How many records there were. None of them is held any more."""
        for partition, records in batches.items():
            self._next[partition] = records[-1].offset + 1
            items = [item_of(record) for record in records]
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._hand_out, self, items)
            self.fault = None
        return sum(map(len, batches.values()))


def item_of(record: Record) -> Item:
    """The record, ready to be sent."""
    value: bytes | None = record.value
    name, task_id, error = UNDECODABLE, None, None
    try:
        event = decode(record.key, value)
        name, task_id = type_of(event), str(event.task_id)
    except UndecodableRecord as undecodable:
        value, error = None, undecodable.reason
    # Outside of texts, which hold none, a line break is a blank to JSON; to the stream it is the end of the line.
    line = (value or b"null").replace(b"\n", b" ").replace(b"\r", b" ")
    content = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "event": Raw(line),
        **({} if error is None else {"error": error}),
    }
    return Item(record.partition, record.offset, record.timestamp_ms, name, task_id, msgspec.json.encode(content))


def _advance(offsets: dict[int, int], items: Iterable[Item]) -> list[Item]:
    """Those that were not there before; the offsets are behind them then."""
    new = [item for item in items if item.offset >= offsets[item.partition]]
    for item in new:
        offsets[item.partition] = item.offset + 1
    return new
