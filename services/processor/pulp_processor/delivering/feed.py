"""The records of the log of tasks, for any number of subscriptions, each at its own pace.

One thread follows the end of the log and keeps a bounded number of recent records. A subscription that is further
behind reads from the log. None waits for another one.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Final

from pulp_events.errors import LogError
from pulp_events.kafka import Servers
from pulp_events.reader import Reader, Record

_RECENT_BYTES: Final = 4 * 1024 * 1024
_RETRY_S: Final = 1.0
_PAGE_S: Final = 5.0
_THREADS: Final = 2
"""Threads that read for subscriptions that are behind; further subscriptions wait for their turn."""
_log = logging.getLogger("pulp.deliverer")


class TaskFeed:
    """Starts at the given ends of the partitions. Use it in one event loop, and `close` it."""

    def __init__(self, servers: Servers, topic: str, ends: Mapping[int, int], wake: Callable[[], None]) -> None:
        """`wake` is called when new records arrive."""
        self.ends = dict(ends)
        """Partition → the offset after the last record that it has seen."""
        self._servers, self._topic, self._wake = servers, topic, wake
        self._starts = dict(ends)
        self._recent: dict[int, deque[Record]] = {partition: deque() for partition in ends}
        self._order: deque[int] = deque()
        self._bytes = 0
        self._loop = asyncio.get_running_loop()
        self._ending = threading.Event()
        self._readers = ThreadPoolExecutor(_THREADS, "webhook-replay")
        self._thread = threading.Thread(target=self._follow, name="webhook-tail", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End the threads."""
        self._ending.set()
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)

    def has_more(self, offsets: Mapping[int, int]) -> bool:
        """Whether any record is at or after one of these offsets."""
        return any(offsets.get(partition, 0) < end for partition, end in self.ends.items())

    async def page(self, offsets: Mapping[int, int], most: int) -> Sequence[Record]:
        """Some of the records from the offsets on, in order for each partition. Raises `LogError`."""
        missing = {
            partition: offsets.get(partition, 0)
            for partition, end in self.ends.items()
            if offsets.get(partition, 0) < end
        }
        if not missing:
            return ()
        if all(offset >= self._starts[partition] for partition, offset in missing.items()):
            return in_turn(
                [
                    [record for record in self._recent[partition] if record.offset >= start]
                    for partition, start in missing.items()
                ],
                most,
            )
        return await self._loop.run_in_executor(self._readers, self._read, missing, dict(self.ends), most)

    def _read(self, start: Mapping[int, int], ends: Mapping[int, int], most: int) -> list[Record]:
        """A page from the log; bounded in time as well, so that all have their turn."""
        page: list[Record] = []
        deadline_s = time.monotonic() + _PAGE_S
        with Reader(self._servers, self._topic, start) as reader:
            while not self._ending.is_set() and len(page) < most and time.monotonic() < deadline_s:
                for partition, records in reader.poll(0.2, most=most - len(page)).items():
                    page += [record for record in records if record.offset < ends[partition]]
                if all(reader.positions[partition] >= ends[partition] for partition in start):
                    break
        return page

    def _follow(self) -> None:
        said = ""
        positions = dict(self.ends)
        while not self._ending.is_set():
            try:
                with Reader(self._servers, self._topic, positions) as reader:
                    while not self._ending.is_set():
                        found = reader.poll(0.2, most=1000)
                        positions = reader.positions
                        if found:
                            said = ""
                            with contextlib.suppress(RuntimeError):  # the loop is closed
                                self._loop.call_soon_threadsafe(self._add, found)
            except LogError as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("the events cannot be followed for subscriptions: %s", said)
                self._ending.wait(_RETRY_S)

    def _add(self, found: Mapping[int, Sequence[Record]]) -> None:
        for partition, records in found.items():
            self._recent[partition].extend(records)
            self._order.extend([partition] * len(records))
            self._bytes += sum(map(_size, records))
            self.ends[partition] = records[-1].offset + 1
        while self._bytes > _RECENT_BYTES:
            partition = self._order.popleft()
            oldest = self._recent[partition].popleft()
            self._bytes -= _size(oldest)
            self._starts[partition] = oldest.offset + 1
        self._wake()


def in_turn(partitions: Iterable[Sequence[Record]], most: int) -> list[Record]:
    """The first records of all partitions by the broker's time, so that a busy partition does not hold back the others.

    Those of one partition stay in their order, also where the broker's clock was set back. Pure.
    """
    return list(islice(merge(*partitions, key=attrgetter("timestamp_ms")), most))


def _size(record: Record) -> int:
    return len(record.value or b"") + 200
