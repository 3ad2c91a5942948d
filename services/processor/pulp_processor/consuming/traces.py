"""The spans of the projection: one for each event of a batch that is part of a trace, below the span that sent it."""

from collections.abc import Sequence
from typing import Final

from pulp_events.codec import decode
from pulp_events.errors import UndecodableRecord
from pulp_events.events import Event
from pulp_events.reader import Record
from pulp_runtime.telemetry.tracing import Kind, Tracing, of_message

_MARK: Final = b'"traceparent"'


class ProjectionTraces:
    """Makes the spans after the commit, because only then is it known which events the transaction wrote."""

    def __init__(self, tracing: Tracing, topic: str, group: str) -> None:
        self._tracing = tracing
        self._topic = topic
        self._group = group

    def projected(self, records: Sequence[Record], from_ns: int) -> None:
        """The records are committed now, in a transaction that began at this time."""
        for record in records:
            if record.value is not None and _MARK in record.value:
                self._trace(record, from_ns)

    def _trace(self, record: Record, from_ns: int) -> None:
        try:
            event = decode(record.key, record.value)
        except UndecodableRecord:  # a dead letter
            return
        if not isinstance(event, Event):
            return
        attributes = of_message(self._topic, "process", event, record.partition) | {
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._group,
        }
        name = f"process {self._topic}"
        span = self._tracing.begin(name, Kind.CONSUMER, event.traceparent, attributes, at_ns=from_ns)
        if span is not None:
            span.end()
