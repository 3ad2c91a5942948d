"""Writing to the audit topic, and checking that it exists."""

import asyncio
import logging
import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pulp_events import admin
from pulp_events.audit import AuditRecord, encode_audit
from pulp_events.codec import HEADERS, MAX_EVENT_BYTES
from pulp_events.errors import AppendOutcomeUnknown, LogUnavailable, TopicNotFound
from pulp_events.kafka import Servers, client_settings
from pulp_events.outcome import not_accepted, not_delivered

_KEEP_S: Final = 300.0
"""How long a record waits while Kafka is away."""
_log = logging.getLogger("pulp.audit")


class AuditLog:
    """Appends records without waiting, and counts and logs lost records. Creating it needs no broker.

    It sends nothing before `check` has found the topic: a broker that creates missing topics would create this one with
    its default retention. Use it from one event loop.
    """

    def __init__(self, servers: Servers, topic: str, *, most: int = 10_000) -> None:
        self._servers, self._topic, self._most = servers, topic, most
        self._held: list[AuditRecord] = []
        self._producer: Producer | None = None
        self._lost = 0
        self.fault: str | None = None
        """What is wrong with the topic and how to fix it; None if no fault is known."""

    @property
    def lost(self) -> int:
        """The number of lost records."""
        return self._lost

    def append(self, record: AuditRecord) -> None:
        """Accept a record; never waits, never raises."""
        if self._producer is not None:
            self._send(self._producer, record)
        elif len(self._held) < self._most:
            self._held.append(record)
        else:
            self._lose("too many wait for the topic")

    async def check(self) -> None:
        """Look for the topic for a few seconds; after it was found, do nothing."""
        if self._producer is not None:
            return
        fault = await asyncio.to_thread(topic_fault, self._servers, self._topic)
        if fault is not None:
            if fault != self.fault:
                _log.warning("nothing is audited: %s", fault)
            self.fault = fault
            return
        self.fault = None
        producer = make_producer(self._servers, keep_s=_KEEP_S, most=self._most)
        held, self._held = self._held, []
        self._producer = producer
        for record in held:
            self._send(producer, record)

    def poll(self) -> None:
        """Handle delivery reports. Call it now and then."""
        if self._producer is not None:
            self._producer.poll(0)

    async def close(self, timeout_s: float) -> None:
        """Wait for records in flight, at most `timeout_s`, and log how many were lost."""
        left = len(self._held)
        if self._producer is not None:
            left += await asyncio.to_thread(self._producer.flush, timeout_s)
        if left or self._lost:
            _log.warning("audit records were not written", extra={"records": left + self._lost})

    def _send(self, producer: Producer, record: AuditRecord) -> None:
        try:
            producer.produce(self._topic, value=encode_audit(record), headers=HEADERS, on_delivery=self._report)
        except BufferError:
            self._lose("too many wait for Kafka")
        except KafkaException as error:
            self._lose(error.args[0].str())

    def _report(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._lose(error.str())

    def _lose(self, why: str) -> None:
        self._lost += 1
        if self._lost & (self._lost - 1) == 0:  # logs the 1st, 2nd, 4th, 8th, … loss
            _log.warning("audit records are lost: %s", why, extra={"records": self._lost})


def write_audit(servers: Servers, topic: str, record: AuditRecord, *, timeout_s: float = 10.0) -> None:
    """Append a record, and wait until it is in the topic.

    Raises `TopicNotFound`, `LogUnavailable` or `EventTooLarge`, and nothing was written; or `AppendOutcomeUnknown`.
    """
    ends_s = time.monotonic() + timeout_s
    admin.describe(servers, topic, timeout_s=timeout_s)
    producer = make_producer(servers, keep_s=timeout_s, most=1000)
    value = encode_audit(record)
    errors: list[KafkaError | None] = []
    try:
        producer.produce(topic, value=value, headers=HEADERS, on_delivery=lambda error, _: errors.append(error))
    except KafkaException as error:
        raise not_accepted(error.args[0], len(value), MAX_EVENT_BYTES) from error
    producer.flush(max(1.0, ends_s - time.monotonic()))
    if not errors:
        raise AppendOutcomeUnknown("Kafka did not confirm the audit record: no answer")
    if errors[0] is not None:
        raise not_delivered(errors[0], len(value), MAX_EVENT_BYTES)


def topic_fault(servers: Servers, topic: str, *, timeout_s: float = 3.0) -> str | None:
    """What is wrong with the audit topic and how to fix it, without addresses; None if it exists."""
    try:
        admin.describe(servers, topic, timeout_s=timeout_s)
    except TopicNotFound:
        return f"there is no topic {topic}: pulp-tasks topics create makes it"
    except LogUnavailable:
        return f"Kafka does not tell about topic {topic}"
    return None


def make_producer(servers: Servers, *, keep_s: float, most: int) -> Producer:
    """An idempotent producer with a queue of at most `most` records, each kept for `keep_s`."""
    return Producer(
        client_settings(
            servers,
            enable_idempotence=True,
            acks="all",
            compression_type="lz4",
            linger_ms=5,
            delivery_timeout_ms=int(keep_s * 1000),
            queue_buffering_max_messages=most,
            queue_buffering_max_kbytes=16 * 1024,
        )
    )
