"""Which records of the log a subscription returns, and in which form."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from pulp_events.broker_times import broker_time
from pulp_events.codec import decode, key_of, task_id_of, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Accepted, Event, UnknownEvent
from pulp_events.filters import UNDECODABLE, Filter, Origin, Origins
from pulp_events.reader import Record
from pulp_events.task import Position

Find = Callable[[Mapping[UUID, Position]], Mapping[UUID, Origin]]
"""Looks up the origins of tasks, each accepted before an event at this position. Raises `LogError`."""
_SHOWN_REASON: Final = 60


class Received(NamedTuple):
    """One record of the log. Store `Subscription.cursor` together with its effect."""

    position: Position
    timestamp_ms: int
    """The broker's time of the append."""
    event: Event | UnknownEvent | None
    """None if the record is not an event of the contract; `error` says why."""
    error: str | None
    raw: bytes | None
    """The record's value as it is in the log, unknown fields included."""

    @property
    def time(self) -> datetime:
        """The broker's time of the append, in UTC."""
        return broker_time(self.timestamp_ms)

    def __repr__(self) -> str:
        what = f"not an event: {(self.error or '')[:_SHOWN_REASON]}"
        if self.event is not None:
            what = f"{type_of(self.event)} of task {self.event.task_id}"
        return f"<Received {self.position} at {self.time:%Y-%m-%dT%H:%M:%SZ}: {what}>"


class Selection:
    """Applies a filter to pages of records."""

    def __init__(self, wanted: Filter, memory: Origins, find: Find) -> None:
        self.wanted = wanted
        self._memory, self._find = memory, find
        self._keys = frozenset(map(key_of, wanted.tasks))

    def of(self, records: Sequence[Record]) -> list[Received | None]:
        """Each record as it is returned; None for one that is not wanted. Records are in log order for each partition.

        Raises `LogError` if an origin cannot be looked up.
        """
        found = [self._decoded(record) for record in records]
        origins = self._origins([item for item in found if item is not None]) if self.wanted.needs_origin else {}
        return [
            item if item is not None and self._is_wanted(item, record, origins.get(item.position)) else None
            for item, record in zip(found, records, strict=True)
        ]

    def _origins(self, items: Sequence[Received]) -> dict[Position, Origin | None]:
        """The origins that matter, by the position of the event."""
        asked = [(item.position, item.event) for item in items if item.event is not None and self._is_asked(item.event)]
        look_up = self._memory.look_up([event for _, event in asked])
        missing = look_up.missing
        places = {event.task_id: position for position, event in reversed(asked) if event.task_id in missing}
        found = self._find(places) if places else {}
        return dict(zip((position for position, _ in asked), look_up.origins(found), strict=True))

    def _decoded(self, record: Record) -> Received | None:
        if self._keys and record.key not in self._keys:
            return None  # most records of other tasks need not be decoded
        return received(record)

    def _is_asked(self, event: Event | UnknownEvent) -> bool:
        """Whether the event's origin matters now or later: an `accepted` is the origin of the events after it."""
        is_first = isinstance(event, Event) and isinstance(event.data, Accepted)
        return is_first or self.wanted.asks_for_origin(type_of(event), event.task_id)

    def _is_wanted(self, item: Received, record: Record, origin: Origin | None) -> bool:
        if item.event is None:
            return self.wanted.matches(UNDECODABLE, task_id_of(record.key), None)
        return self.wanted.matches(type_of(item.event), item.event.task_id, origin)


def received(record: Record) -> Received:
    """A record as subscriptions return it."""
    position = Position(record.partition, record.offset)
    try:
        event = decode(record.key, record.value)
    except UndecodableRecord as error:
        return Received(position, record.timestamp_ms, None, error.reason, record.value)
    return Received(position, record.timestamp_ms, event, None, record.value)
