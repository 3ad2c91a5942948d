"""The spans of the log: one for each event that is part of a trace, below the span that sent it."""

from typing import Final

from pulp_events.reader import Record
from pulp_runtime.telemetry.tracing import Kind, Span, Tracing, of_message, traced_event

_MOST: Final = 10_000
"""How many spans may wait for a checkpoint. After a long absence there may be more events than anybody looks at."""


class LogTraces:
    """Creates the spans: each lasts from when its event was read until a checkpoint covers it."""

    def __init__(self, tracing: Tracing, topic: str) -> None:
        self._tracing = tracing
        self._topic = topic
        self._open: dict[int, list[Span]] = {}
        self._waiting = 0

    def added(self, record: Record) -> None:
        """The log has the record now, and no checkpoint covers it yet."""
        event = traced_event(record.key, record.value)
        if event is None or self._waiting >= _MOST:
            return
        attributes = of_message(self._topic, "log", event, record.partition) | {"messaging.kafka.offset": record.offset}
        span = self._tracing.begin(f"log {self._topic}", Kind.CONSUMER, event.traceparent, attributes)
        if span is not None:
            self._open.setdefault(record.partition, []).append(span)
            self._waiting += 1

    def covered(self, partition: int, size: int) -> None:
        """A checkpoint of this many records covers everything in the partition's log."""
        for span in self._open.pop(partition, []):
            span.set({"pulp.log.size": size})
            span.end()
            self._waiting -= 1
