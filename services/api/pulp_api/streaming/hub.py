"""New events for any number of subscribers of this process.

One thread tails the topic while there are subscribers; each has a bounded queue. A subscriber that does not keep up
leaves its queue and reads what it missed from the log, from where it was: it loses nothing, and nothing accumulates.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pulp_events.kafka import Servers
from pulp_events.reader import Reader

from pulp_api.streaming.streamed_events import StreamedEvent, size_of, streamed
from pulp_api.streaming.subscriber_queue import RecentEvents, SubscriberQueue
from pulp_api.streaming.tail import LogTail

_IDLE_S: Final = 5.0
"""After so long without an event a subscriber is told that there is none."""
_PAGE_EVENTS: Final = 5000
_PAGE_BYTES: Final = 1_000_000
_PAGE_S: Final = 10.0
_KEEP_TAIL_S: Final = 30.0
"""How long the tail goes on without subscribers: one whose connection broke comes back."""
_REPLAYS: Final = 4
"""Threads that read the log for subscribers that are behind; further ones wait."""


class Hub:
    """Tails the topic once for all subscribers, and not at all while there are none. `close` it after use."""

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
        self._queues: set[SubscriberQueue] = set()
        self._tail: LogTail | None = None
        self._ended: set[LogTail] = set()
        self._ending_tail: asyncio.TimerHandle | None = None
        self._positions: dict[int, int] = {}
        self._recent = RecentEvents({})
        self._closing = threading.Event()
        self._readers = ThreadPoolExecutor(_REPLAYS, "event-replay")
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """End every stream."""
        self._closing.set()
        for queue in self._queues:
            queue.wake()
        self._end_tail()
        await asyncio.gather(*(asyncio.to_thread(tail.join) for tail in self._ended))
        await asyncio.to_thread(self._readers.shutdown)

    @property
    def is_closing(self) -> bool:
        """Whether all streams are ending."""
        return self._closing.is_set()

    @property
    def fault(self) -> str | None:
        """Why no events arrive; None if they do, or if there are no subscribers."""
        return None if self._tail is None else self._tail.fault

    async def items(self, start: Mapping[int, int]) -> AsyncIterator[Sequence[StreamedEvent]]:
        """Every event from the offsets on, once, in order within each partition: from the log, then as they come.

        Yields [] every few seconds while no event comes. Ends when the hub closes. Raises `LogError`.
        """
        offsets = dict(start)
        while not self.is_closing:
            await self._begin_tail()
            queue = SubscriberQueue(self._positions)
            self._queues.add(queue)
            try:
                async for page in self._missed(offsets, queue.start):
                    yield _advance(offsets, page)
                while not self.is_closing:
                    events = await queue.take(_IDLE_S)
                    if not events and queue.has_overflowed:
                        break
                    yield _advance(offsets, events)
            finally:
                self._leave(queue)

    async def _begin_tail(self) -> None:
        """Start the tail unless it runs. Nothing may be awaited after it is seen to run: another task could end it."""
        if self._tail is None:
            self._begin_at(dict(await self._ends()))

    def _begin_at(self, ends: dict[int, int]) -> None:
        """Start the tail unless another task has started it meanwhile."""
        if self._tail is None and not self.is_closing:
            self._positions, self._recent = ends, RecentEvents(ends)
            self._tail = LogTail(self._servers, self._topic, ends, self._deliver)

    def _leave(self, queue: SubscriberQueue) -> None:
        self._queues.discard(queue)
        if self._ending_tail is not None:
            self._ending_tail.cancel()
        self._ending_tail = self._loop.call_later(_KEEP_TAIL_S, self._end_unused_tail)

    def _end_unused_tail(self) -> None:
        if not self._queues:
            self._end_tail()

    def _end_tail(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.end()
            self._ended = {ended for ended in self._ended if ended.is_alive} | {tail}

    async def _missed(
        self, offsets: Mapping[int, int], ends: Mapping[int, int]
    ) -> AsyncIterator[Sequence[StreamedEvent]]:
        """The events before `ends`. The caller moves `offsets` on with each page that it takes."""
        while not self.is_closing:
            missing = {partition: offset for partition, offset in offsets.items() if offset < ends[partition]}
            if not missing:
                return
            page = self._recent.since(missing)
            if page is None:
                page = await self._loop.run_in_executor(self._readers, self._page, missing, ends)
            yield page

    def _page(self, start: Mapping[int, int], ends: Mapping[int, int]) -> list[StreamedEvent]:
        """Some of the events before `ends`: a slow subscriber must not occupy a thread while it takes its time."""
        page: list[StreamedEvent] = []
        if self._closing.is_set():
            return page
        deadline = time.monotonic() + _PAGE_S
        with Reader(self._servers, self._topic, start) as reader:
            while not self._closing.is_set() and size_of(page) < _PAGE_BYTES:
                for partition, records in reader.poll(0.2, most=1000).items():
                    page += [streamed(record) for record in records if record.offset < ends[partition]]
                positions = reader.positions
                is_done = all(positions[partition] >= ends[partition] for partition in start)
                if is_done or len(page) >= _PAGE_EVENTS or time.monotonic() > deadline:
                    break
        return page

    def _deliver(self, tail: LogTail, events: Sequence[StreamedEvent]) -> None:
        if tail is not self._tail:
            return  # it was ended meanwhile; later subscribers read these events from the log
        self._positions[events[-1].partition] = events[-1].offset + 1
        self._recent.add(events)
        for queue in self._queues:
            queue.put(events)


def _advance(offsets: dict[int, int], events: Iterable[StreamedEvent]) -> list[StreamedEvent]:
    """The events at or after the offsets, which move on past them."""
    new = [event for event in events if event.offset >= offsets[event.partition]]
    for event in new:
        offsets[event.partition] = event.offset + 1
    return new
