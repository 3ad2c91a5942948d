"""The newest events of the log, which all streams of this process share."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec import UNSET

from pulp_api.streaming.streamed_events import Choice, StreamedEvent, size_of

_MOST_EVENTS: Final = 10_000
_MOST_BYTES: Final = 8_000_000
_KEPT_SPANS: Final = 8
"""Streams that are at different places send different spans; nearly all are at one of a few."""
_CHUNK_BYTES: Final = 64 * 1024
"""The most bytes that are written at once, and so that a slow subscriber holds."""
_KINDS: Final[Mapping[str, Callable[[StreamedEvent], Iterable[object]]]] = {
    "task": lambda event: (event.task_id,),
    "group": lambda event: (event.origin.group_id,) if event.origin else (),
    "resource": lambda event: event.origin.resources if event.origin else (),
}
"""What a stream may follow that concerns few events → its values in an event."""


class RecentSpan:
    """Consecutive events at the end of the log, for all streams that have sent everything before them."""

    def __init__(self, events: Sequence[StreamedEvent], offsets: tuple[int, ...]) -> None:
        self.events = events
        self.offsets = offsets
        """The next offset of each partition behind them."""
        self._has_origins = False
        self._indexes: dict[str, dict[object, list[int]]] = {}
        self._chunks: dict[Choice, list[bytes]] = {}

    def candidates(self, choice: Choice) -> Sequence[StreamedEvent]:
        """The events that may fit: of many streams that each follow a task, none looks at all events.

        The same holds for those that follow a group or a resource, once all origins are known.
        """
        wanted = choice.wanted
        if wanted.tasks:
            return self._having("task", wanted.tasks)
        if (wanted.groups or wanted.resources) and self.has_origins:
            return self._having("group", wanted.groups) if wanted.groups else self._having("resource", wanted.resources)
        return self.events

    @property
    def has_origins(self) -> bool:
        """Whether the origins of all events are known."""
        self._has_origins = self._has_origins or all(event.origin is not UNSET for event in self.events)
        return self._has_origins

    def _having(self, kind: str, values: Iterable[object]) -> Sequence[StreamedEvent]:
        if (index := self._indexes.get(kind)) is None:
            self._indexes[kind] = index = {}
            for number, event in enumerate(self.events):
                for value in _KINDS[kind](event):
                    index.setdefault(value, []).append(number)
        found = {number for value in values for number in index.get(value, ())}
        return [self.events[number] for number in sorted(found)]

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
        while len(self._spans) >= _KEPT_SPANS:
            del self._spans[next(iter(self._spans))]
        self._spans[begin, end] = made = RecentSpan(self._between(begin, end), offsets)
        return made

    def piece_end(self, begin: int, end: int, most_bytes: int) -> int:
        """The number, at most `end`, before which the events from `begin` on have no more bytes than this; there is
        one event at least.
        """
        size = 0
        for number, event in enumerate(self._between(begin, end), begin):
            size += len(event.data)
            if size > most_bytes and number > begin:
                return number
        return end

    def offsets_past(self, offsets: Sequence[int], begin: int, end: int) -> tuple[int, ...]:
        """The next offsets at the number `end`, from those at the number `begin`."""
        found = list(offsets)
        for event in self._between(begin, end):
            found[event.partition] = event.offset + 1
        return tuple(found)

    def since(self, offsets: Sequence[int]) -> list[StreamedEvent] | None:
        """All events from these offsets on; None if some of them were dropped."""
        if any(offset < first for offset, first in zip(offsets, self._first_offset, strict=True)):
            return None
        return [event for event in self._events if event.offset >= offsets[event.partition]]

    def _between(self, begin: int, end: int) -> list[StreamedEvent]:
        newest_first = list(islice(reversed(self._events), self.end - end, self.end - begin))
        return newest_first[::-1]
