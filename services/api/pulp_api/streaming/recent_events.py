"""The newest events of the log, which all streams of this process share.

They are cut into spans, and a stream that has sent everything before a span sends that span and no part of it. So those
that are a little behind, however far each is, send the same bytes, which are made once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import UNSET

from pulp_api.streaming.streamed_events import Choice, StreamedEvent, size_of

_MOST_EVENTS: Final = 10_000
_MOST_BYTES: Final = 8_000_000
_MOST_MADE_BYTES: Final = 16_000_000
_ENTRY_BYTES: Final = 100
"""The memory for noting that a choice selects nothing from a span."""
_CHUNK_BYTES: Final = 64 * 1024
"""The most bytes that are written at once, unless an event has more, and so that a slow subscriber holds."""
_KINDS: Final[Mapping[str, Callable[[StreamedEvent], Iterable[object]]]] = {
    "task": lambda event: (event.task_id,),
    "group": lambda event: (event.origin.group_id,) if event.origin else (),
    "resource": lambda event: event.origin.resources if event.origin else (),
}
"""What a stream may follow that concerns few events → its values in an event."""


class Place:
    """A place between two spans."""

    __slots__ = ("offsets", "span")

    def __init__(self, offsets: tuple[int, ...]) -> None:
        self.offsets = offsets
        """The next offset of each partition."""
        self.span: RecentSpan | None = None
        """What comes next; None at the end, and once it was dropped."""


class _Made:
    """Recently encoded spans, up to a number of bytes."""

    def __init__(self) -> None:
        self._chunks: dict[RecentSpan, dict[Choice, list[bytes]]] = {}
        self._bytes = 0

    def of(self, span: "RecentSpan", choice: Choice) -> list[bytes] | None:
        """None if it was not made, or too long ago."""
        return self._chunks.get(span, {}).get(choice)

    def keep(self, span: "RecentSpan", choice: Choice, chunks: list[bytes]) -> None:
        """Remember it; the span that was used first is forgotten first."""
        self._chunks.setdefault(span, {})[choice] = chunks
        self._bytes += sum(map(len, chunks)) + _ENTRY_BYTES
        while self._bytes > _MOST_MADE_BYTES and len(self._chunks) > 1:
            self.forget(next(iter(self._chunks)))

    def forget(self, span: "RecentSpan") -> None:
        """Forget its encoded form."""
        for chunks in self._chunks.pop(span, {}).values():
            self._bytes -= sum(map(len, chunks)) + _ENTRY_BYTES


class RecentSpan:
    """Consecutive events at the end of the log, for all streams that have sent everything before them."""

    def __init__(self, events: Sequence[StreamedEvent], end: Place, made: _Made | None = None) -> None:
        self.events = events
        self.end = end
        self._has_origins = False
        self._indexes: dict[str, dict[object, list[int]]] = {}
        self._made = made or _Made()

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
        if (known := self._made.of(self, choice)) is not None:
            return known
        sent = [(event.place, *choice.lines(event)) for event in self.candidates(choice) if choice.is_sent(event)]
        chunks = list(joined(sent))
        self._made.keep(self, choice, chunks)
        return chunks


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
    """The newest events. A stream that was away for a moment needs no reader of its own."""

    def __init__(self, start: Sequence[int]) -> None:
        """`start` is the first offset of each partition."""
        self.end = Place(tuple(start))
        """Behind the last span."""
        self._places: deque[Place] = deque()
        """Those that have a span."""
        self._new: list[StreamedEvent] = []
        self._events = self._bytes = 0
        self._made = _Made()

    @property
    def has_new(self) -> bool:
        """Whether events wait for `show`."""
        return bool(self._new)

    def add(self, events: Sequence[StreamedEvent]) -> None:
        """These have come; `show` makes spans of them."""
        self._new += events

    def show(self) -> None:
        """Move the end behind all that has come, and drop the oldest spans beyond the limits."""
        span: list[StreamedEvent] = []
        size = 0
        for event in self._new:
            if span and size + len(event.data) > _CHUNK_BYTES:
                self._append(span)
                span, size = [], 0
            span.append(event)
            size += len(event.data)
        if span:
            self._append(span)
        self._new = []
        while self._places and (self._events > _MOST_EVENTS or self._bytes > _MOST_BYTES):
            dropped = self._places.popleft()
            assert dropped.span is not None
            self._events -= len(dropped.span.events)
            self._bytes -= size_of(dropped.span.events)
            self._made.forget(dropped.span)
            dropped.span = None

    def near(self, offsets: Sequence[int]) -> tuple[list[StreamedEvent], Place] | None:
        """The first place that these offsets have not passed in any partition, or the end, and the events before it
        that they lack; None if some of those were dropped.
        """
        first = self._places[0] if self._places else self.end
        if any(offset < begin for offset, begin in zip(offsets, first.offsets, strict=True)):
            return None
        found = self.end
        before: list[RecentSpan] = []
        for place in reversed(self._places):
            assert place.span is not None
            if all(offset <= other for offset, other in zip(offsets, place.offsets, strict=True)):
                found = place
            elif any(offset < other for offset, other in zip(offsets, place.span.end.offsets, strict=True)):
                before.append(place.span)
            else:
                break
        lacking = [event for span in reversed(before) for event in span.events]
        return [event for event in lacking if event.offset >= offsets[event.partition]], found

    def _append(self, events: list[StreamedEvent]) -> None:
        offsets = list(self.end.offsets)
        for event in events:
            offsets[event.partition] = event.offset + 1
        begin, self.end = self.end, Place(tuple(offsets))
        begin.span = RecentSpan(events, self.end, self._made)
        self._places.append(begin)
        self._events += len(events)
        self._bytes += size_of(events)
