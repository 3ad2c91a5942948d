"""New events for any number of subscribers of this process.

One thread tails the topic while there are subscribers. All share the latest events (`RecentEvents`), and what is sent
is encoded once for all who want the same. A stream that has sent everything may become a `StreamFollower`: the hub then
writes to its client directly, and its task sleeps. A stream that does not keep up reads what it missed from the log,
from where it was: it loses nothing, and nothing accumulates.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from msgspec import UNSET
from pulp_events.cursor import Cursor
from pulp_events.kafka import Servers
from pulp_events.reader import Reader

from pulp_api.streaming.following import Following, StreamFollower
from pulp_api.streaming.recent_events import Place, RecentEvents, RecentSpan
from pulp_api.streaming.streamed_events import Choice, StreamedEvent, size_of, streamed
from pulp_api.streaming.tail import LogTail
from pulp_api.streaming.task_origins import TaskOrigins

_IDLE_S: Final = 5.0
"""The longest time until subscribers are woken, even without an event."""
_SPACING_S: Final = 0.00004
_MOST_SPACING_S: Final = 0.1
"""Subscribers are woken together, at most once in this time for each of them: with many subscribers, each gets more at
a time."""
_PAGE_EVENTS: Final = 5000
_PAGE_BYTES: Final = 1_000_000
_PAGE_S: Final = 10.0
_KEEP_TAIL_S: Final = 30.0
"""How long the tail continues without subscribers: one whose connection broke usually comes back."""
_KEPT_PAGES: Final = 4
_REPLAYS: Final = 4
"""Threads that read the log for subscribers that are behind; further ones wait."""


class Hub:
    """Tails the topic once for all subscribers, and not at all without subscribers. `close` it after use."""

    def __init__(
        self,
        servers: Servers,
        topic: str,
        topic_id: str,
        partitions: int,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        origins: TaskOrigins,
    ) -> None:
        """`ends` reads the topic's end offsets; it raises `LogError`."""
        self.topic_id = topic_id
        self.partitions = partitions
        self.origins = origins
        self._servers = servers
        self._topic = topic
        self._ends = ends
        self._subscribers = 0
        self._tail: LogTail | None = None
        self._ended: set[LogTail] = set()
        self._ending_tail: asyncio.TimerHandle | None = None
        self._offsets: tuple[int, ...] = ()
        """The next offset of each partition after everything that the tail has read."""
        self._recent = RecentEvents(())
        """Its end moves when subscribers are woken."""
        self._news = asyncio.Event()
        """Set to wake all subscribers, and then replaced."""
        self._following = Following(self.tell_origins)
        self._waking: asyncio.TimerHandle | None = None
        self._woken_at_s = 0.0
        self._ticking: asyncio.TimerHandle | None = None
        self._closing = threading.Event()
        self._pages: dict[tuple[int, ...], asyncio.Future[RecentSpan]] = {}
        """What was read last for those behind, by where they were: of many that fall behind, most are at one place."""
        self._readers = ThreadPoolExecutor(_REPLAYS, "event-replay")
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """End every stream."""
        self._closing.set()
        self._wake()
        self._following.close()
        self._end_tail()
        await asyncio.gather(*(asyncio.to_thread(tail.join) for tail in self._ended))
        await asyncio.to_thread(self._readers.shutdown)

    @property
    def is_closing(self) -> bool:
        """Whether all streams are ending."""
        return self._closing.is_set()

    @property
    def fault(self) -> str | None:
        """Why no events arrive; None if they do, or without subscribers."""
        return None if self._tail is None else self._tail.fault

    async def items(
        self, start: Sequence[int], follower: StreamFollower | None = None
    ) -> AsyncGenerator[Sequence[StreamedEvent] | RecentSpan]:
        """Every event from the offsets on, once, in order within each partition: from the log, then as they come.

        What the follower has been sent meanwhile is left out: an empty span follows, at the place that it has reached.
        A `RecentSpan` is for subscribers that have got everything before it, in every partition; take what you want
        of it before you wait for anything else. Yields [] every few seconds while no event comes, or while the follower
        is written to. Ends when the hub closes. Raises `LogError`.
        """
        offsets = list(start)
        self._enter()
        try:
            while not self.is_closing:
                await self._begin_tail()
                if self._tail is None:  # the hub was closed meanwhile
                    return
                near = self._recent.near(offsets)
                if near is None:
                    page = await self._shared_page(tuple(offsets), self._recent.end.offsets)
                    offsets[:] = page.end.offsets
                    yield page
                    continue
                lacking, place = near
                if lacking:
                    yield _advance(offsets, lacking)
                async for item in self._live(place, offsets, follower):
                    yield item
        finally:
            self._leave()

    async def tell_origins(self, events: Sequence[StreamedEvent], choice: Choice) -> None:
        """Look up what the filter needs to know about these events. Raises `ReadError`."""
        if choice.wanted.needs_origin:
            asked = [event for event in events if event.origin is UNSET and choice.asks_for_origin(event)]
            if asked:
                await self.origins.tell(asked)

    async def _live(
        self, place: Place, offsets: list[int], follower: StreamFollower | None
    ) -> AsyncIterator[Sequence[StreamedEvent] | RecentSpan]:
        """The recent events after a place. Returns once that place is no longer among them."""
        while not self.is_closing:
            if place is self._recent.end:
                if follower is not None and tuple(offsets) == place.offsets:
                    with self._following.following(follower, place):
                        while not await follower.until_released(_IDLE_S):
                            yield []
                    place = follower.place
                    offsets[:] = place.offsets
                    yield RecentSpan((), place)
                    continue
                await self._news.wait()
                if place is self._recent.end:
                    yield []
                continue
            if (span := place.span) is None:
                return
            is_level = tuple(offsets) == place.offsets
            place = span.end
            if is_level:
                offsets[:] = place.offsets
                yield span
            else:
                yield _advance(offsets, span.events)

    async def _begin_tail(self) -> None:
        """Start the tail unless it runs. Nothing may be awaited after it is seen to run: another task could end it."""
        if self._tail is None:
            self._begin_at(dict(await self._ends()))

    def _begin_at(self, ends: Mapping[int, int]) -> None:
        """Start the tail unless another task has started it meanwhile."""
        if self._tail is None and not self.is_closing:
            self._offsets = tuple(ends[partition] for partition in range(self.partitions))
            self._recent = RecentEvents(self._offsets)
            self._following.begin(self._recent)
            self._tail = LogTail(self._servers, self._topic, dict(ends), self._deliver)

    def _enter(self) -> None:
        self._subscribers += 1
        if self._ticking is None:
            self._ticking = self._loop.call_later(_IDLE_S, self._tick)

    def _leave(self) -> None:
        self._subscribers -= 1
        if self._ending_tail is not None:
            self._ending_tail.cancel()
        self._ending_tail = self._loop.call_later(_KEEP_TAIL_S, self._end_unused_tail)

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(_IDLE_S, self._tick) if self._subscribers else None
        self._wake()

    def _wake(self) -> None:
        self._waking, self._woken_at_s = None, self._loop.time()
        if self._recent.has_new:
            self._recent.show()
            self._following.go_on()
        self._news.set()
        self._news = asyncio.Event()

    def _wake_soon(self) -> None:
        if self._waking is not None:
            return
        next_s = self._woken_at_s + min(_MOST_SPACING_S, _SPACING_S * self._subscribers)
        if next_s <= self._loop.time():
            self._wake()
        else:
            self._waking = self._loop.call_at(next_s, self._wake)

    def _end_unused_tail(self) -> None:
        if not self._subscribers:
            self._end_tail()

    def _end_tail(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.end()
            self._ended = {ended for ended in self._ended if ended.is_alive} | {tail}

    async def _shared_page(self, offsets: tuple[int, ...], ends: Sequence[int]) -> RecentSpan:
        """Some of the events before `ends`, read once for all that are at this place and ask soon."""
        reading = self._pages.get(offsets)
        if reading is None:
            while len(self._pages) >= _KEPT_PAGES:
                del self._pages[next(iter(self._pages))]
            reading = self._loop.run_in_executor(self._readers, self._page, offsets, ends)
            self._pages[offsets] = reading
            reading.add_done_callback(partial(self._read_page, offsets))
        return await asyncio.shield(reading)

    def _read_page(self, offsets: tuple[int, ...], reading: "asyncio.Future[RecentSpan]") -> None:
        """Discard a page that advances nobody, and read it again."""
        if reading.cancelled() or reading.exception() is not None or not reading.result().events:
            self._pages.pop(offsets, None)

    def _page(self, offsets: Sequence[int], ends: Sequence[int]) -> RecentSpan:
        """Not all: a slow subscriber must not occupy a thread while it takes its time."""
        page: list[StreamedEvent] = []
        if self._closing.is_set():
            return RecentSpan(page, Place(tuple(offsets)))
        start = {partition: offset for partition, offset in enumerate(offsets) if offset < ends[partition]}
        deadline = time.monotonic() + _PAGE_S
        with Reader(self._servers, self._topic, start) as reader:
            while not self._closing.is_set() and size_of(page) < _PAGE_BYTES:
                for partition, records in reader.poll(0.2, most=1000).items():
                    page += [streamed(record) for record in records if record.offset < ends[partition]]
                positions = reader.positions
                is_done = all(positions[partition] >= ends[partition] for partition in start)
                if is_done or len(page) >= _PAGE_EVENTS or time.monotonic() > deadline:
                    break
        after = list(offsets)
        for event in page:
            after[event.partition] = event.offset + 1
            event.place = place_of(self.topic_id, after)
        return RecentSpan(page, Place(tuple(after)))

    def _deliver(self, tail: LogTail, events: Sequence[StreamedEvent]) -> None:
        if tail is not self._tail:
            return  # it was ended meanwhile; later subscribers read these events from the log
        offsets = list(self._offsets)
        for event in events:
            offsets[event.partition] = event.offset + 1
            event.place = place_of(self.topic_id, offsets)
        self._offsets = tuple(offsets)
        self.origins.learn(events)
        self._recent.add(events)
        self._wake_soon()


def place_of(topic_id: str, offsets: Sequence[int]) -> bytes:
    """The line of a server-sent event that gives its id: the cursor just past it."""
    return f"id: {Cursor(topic_id, tuple(offsets))}\n".encode()


def _advance(offsets: list[int], events: Iterable[StreamedEvent]) -> list[StreamedEvent]:
    """The events at or after the offsets, which move on past them."""
    new = [event for event in events if event.offset >= offsets[event.partition]]
    for event in new:
        offsets[event.partition] = event.offset + 1
    return new
