"""The spans of the projection: one for each event of a batch that is part of a trace, below the span that sent it."""

from collections.abc import Sequence

from pulp_events.events import Event
from pulp_events.reader import Record
from pulp_runtime.telemetry.tracing import Kind, Tracing, of_message, traced_event


class ProjectionTraces:
    """Makes the spans after the commit, because only then is it known which events the transaction wrote."""

    def __init__(self, tracing: Tracing, topic: str, group: str) -> None:
        self._tracing = tracing
        self._topic = topic
        self._group = group

    def projected(self, records: Sequence[Record], from_ns: int) -> None:
        """The records are committed now, in a transaction that began at this time."""
        for record in records:
            event = traced_event(record.key, record.value)
            if event is not None:
                self._trace(record, event, from_ns)

    def _trace(self, record: Record, event: Event, from_ns: int) -> None:
        attributes = of_message(self._topic, "process", event, record.partition) | {
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._group,
        }
        name = f"process {self._topic}"
        span = self._tracing.begin(name, Kind.CONSUMER, event.traceparent, attributes, at_ns=from_ns)
        if span is not None:
            span.end()
