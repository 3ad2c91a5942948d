"""The newest events of the log, which all streams of this process share."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final
from uuid import UUID

from pulp_api.streaming.streamed_events import Choice, StreamedEvent, size_of

_MOST_EVENTS: Final = 10_000
_MOST_BYTES: Final = 8_000_000
_KEPT_SPANS: Final = 8
"""Streams that are at different places send different spans; nearly all are at one of a few."""
_CHUNK_BYTES: Final = 64 * 1024
"""The most bytes that are written at once, and so that a slow subscriber holds."""


class RecentSpan:
    """Consecutive events at the end of the log, for all streams that have sent everything before them."""

    def __init__(self, events: Sequence[StreamedEvent], offsets: tuple[int, ...]) -> None:
        self.events = events
        self.offsets = offsets
        """The next offset of each partition behind them."""
        self._by_task: dict[UUID, list[StreamedEvent]] | None = None
        self._chunks: dict[Choice, list[bytes]] = {}

    def candidates(self, choice: Choice) -> Sequence[StreamedEvent]:
        """The events that may fit: of many streams that each follow a task, none looks at all events."""
        if not choice.wanted.tasks:
            return self.events
        if self._by_task is None:
            self._by_task = {}
            for event in self.events:
                if event.task_id is not None:
                    self._by_task.setdefault(event.task_id, []).append(event)
        found = [self._by_task.get(task_id, []) for task_id in choice.wanted.tasks]
        if len(found) == 1:
            return found[0]
        return sorted((event for events in found for event in events), key=self.events.index)

    def chunks(self, choice: Choice) -> list[bytes]:
        """What a stream sends of it, ids included: made once for all streams with this choice.

        The origins that the choice asks for have to be known.
        """
        if (known := self._chunks.get(choice)) is not None:
            return known
        sent = [(event.place, *choice.lines(event)) for event in self.candidates(choice) if choice.is_sent(event)]
        self._chunks[choice] = made = list(joined(sent))
        return made


def joined(events: Iterable[tuple[bytes, ...]]) -> Iterable[bytes]:
    """The lines of the events in pieces of a size that suits a connection; an event is never divided."""
    chunk: list[bytes] = []
    size = 0
    for lines in events:
        chunk.extend(lines)
        size += sum(map(len, lines))
        if size >= _CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)


class RecentEvents:
    """The newest events, numbered as they came. A stream that was away for a moment needs no reader of its own."""

    def __init__(self, start: Sequence[int]) -> None:
        """`start` is the offset of each partition from which on events come."""
        self.end = 0
        """The number of the next event."""
        self._first_offset = list(start)
        self._events: deque[StreamedEvent] = deque()
        self._bytes = 0
        self._spans: dict[tuple[int, int], RecentSpan] = {}

    @property
    def begin(self) -> int:
        """The number of the first event that is still here."""
        return self.end - len(self._events)

    def add(self, events: Sequence[StreamedEvent]) -> None:
        """Keep these, and drop the oldest beyond the limits."""
        self._events.extend(events)
        self.end += len(events)
        self._bytes += size_of(events)
        while len(self._events) > _MOST_EVENTS or self._bytes > _MOST_BYTES:
            dropped = self._events.popleft()
            self._bytes -= len(dropped.data)
            self._first_offset[dropped.partition] = dropped.offset + 1

    def span(self, begin: int, end: int, offsets: tuple[int, ...]) -> RecentSpan:
        """The events from one number to another, which are still here. Streams at the same place share it."""
        if (known := self._spans.get((begin, end))) is not None:
            return known
        newest_first = list(islice(reversed(self._events), self.end - end, self.end - begin))
        while len(self._spans) >= _KEPT_SPANS:
            del self._spans[next(iter(self._spans))]
        self._spans[begin, end] = made = RecentSpan(newest_first[::-1], offsets)
        return made

    def since(self, offsets: Sequence[int]) -> list[StreamedEvent] | None:
        """All events from these offsets on; None if some of them were dropped."""
        if any(offset < first for offset, first in zip(offsets, self._first_offset, strict=True)):
            return None
        return [event for event in self._events if event.offset >= offsets[event.partition]]
