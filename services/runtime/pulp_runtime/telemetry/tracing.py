"""Traces: what processes do for a task, step by step. A part that does not trace has None instead.

The context travels in the `traceparent` of an event (CloudEvents' extension for distributed tracing) and of a claim.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec.structs import replace
from pulp_events.codec import decode, type_of
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Event
from pulp_events.log import Log, TimedLog
from pulp_events.task import Position

Attributes = Mapping[str, str | int]
TASK_ID: Final = "pulp.task.id"
_MARK: Final = b'"traceparent"'


class Kind(StrEnum):
    """The role of a span."""

    PRODUCER = "producer"
    CONSUMER = "consumer"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """Something that takes time, as part of a trace."""

    @property
    def traceparent(self) -> str:
        """Its context, for the work that it leads to (W3C Trace Context)."""
        ...

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def end(self, error: str | None = None) -> None:
        """It is over; `error` is the type of what went wrong. Only the first call counts."""
        ...


class Tracing(Protocol):
    """Makes the spans of a process."""

    @property
    def current(self) -> str | None:
        """The context in which the caller runs; None outside of a trace."""
        ...

    def begin(
        self, name: str, kind: Kind, parent: str | None, attributes: Attributes, *, at_ns: int | None = None
    ) -> Span | None:
        """A span below the parent, from now or from a time on; None without a parent, or if that is not sampled."""
        ...

    def begin_trace(self, name: str, attributes: Attributes) -> Span | None:
        """A span that begins a trace of its own; None if that is not sampled."""
        ...

    def within(self, span: Span | None) -> AbstractContextManager[None]:
        """What is called in the block runs in the span."""
        ...

    def of_api(self) -> dict[str, Any]:
        """The `telemetry` of a FastAPI application."""
        ...


OFF: Final[dict[str, Any]] = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""The same for an application that makes no spans."""


def of_message(topic: str, operation: str, event: Event, partition: int) -> dict[str, str | int]:
    """The attributes of a span about an event, by the semantic conventions of messaging and of CloudEvents."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.message.id": str(event.id),
        "messaging.kafka.message.key": str(event.task_id),
        "cloudevents.event_id": str(event.id),
        "cloudevents.event_source": event.source,
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": type_of(event),
        TASK_ID: str(event.task_id),
    }


def traced_event(key: bytes | None, value: bytes | None) -> Event | None:
    """The event of a record, if it is part of a trace; most are not, and are not decoded for that. Pure."""
    if value is None or _MARK not in value:
        return None
    try:
        event = decode(key, value)
    except UndecodableRecord:  # a dead letter
        return None
    return event if isinstance(event, Event) else None


def of_task(task_id: UUID) -> dict[str, str | int]:
    """The attributes of a span about a task."""
    return {TASK_ID: str(task_id)}


class TracedLog:
    """A `Log` whose appends are spans. An event carries the context of the span that sends it.

    The parent is the context that the event already has, or else the caller's. An event outside of a trace stays as it
    is. A second try of an append is another span, so the bytes of the event differ; its id does not, which is what
    matters.
    """

    def __init__(self, log: Log, tracing: Tracing, topic: str) -> None:
        self._log = log
        self._tracing = tracing
        self._topic = topic
        self._name = f"send {topic}"

    async def append(self, event: Event, partition: int) -> Position:
        """See `Log.append`."""
        parent = event.traceparent or self._tracing.current
        span = self._tracing.begin(self._name, Kind.PRODUCER, parent, {})
        if span is None:  # nearly always
            return await self._log.append(event, partition)
        span.set(of_message(self._topic, "send", event, partition))
        try:
            position = await self._log.append(replace(event, traceparent=span.traceparent), partition)
        except BaseException as error:
            span.end(type(error).__name__)
            raise
        span.set({"messaging.kafka.offset": position.offset})
        span.end()
        return position

    async def end_offsets(self) -> dict[int, int]:
        """See `Log.end_offsets`."""
        return await self._log.end_offsets()


class TracedTimedLog(TracedLog):
    """The same for a `TimedLog`."""

    def __init__(self, log: TimedLog, tracing: Tracing, topic: str) -> None:
        super().__init__(log, tracing, topic)
        self._timed = log

    async def offsets_since(self, timestamp_ms: int) -> dict[int, int]:
        """See `TimedLog.offsets_since`."""
        return await self._timed.offsets_since(timestamp_ms)
