"""Publishes checkpoints, and finds the newest; `pulp_events.checkpoints` describes and reads their topic."""

import logging
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AclOperation
from pulp_archive.writing import Covering
from pulp_events import admin
from pulp_events.audit_log import make_producer
from pulp_events.checkpoints import NEXT_OFFSET, last_records, next_offset_of
from pulp_events.codec import MAX_EVENT_BYTES
from pulp_events.errors import AppendOutcomeUnknown
from pulp_events.kafka import Servers
from pulp_events.outcome import not_accepted, not_delivered

from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.errors import NoteMalformed
from pulp_transparency.note import split

CONTENT_TYPE: Final = b"text/plain; charset=utf-8"
_SEND_S: Final = 10.0
_log = logging.getLogger("pulp.transparency")


class Published(NamedTuple):
    """A checkpoint to publish, and the offset of the first record that it does not cover."""

    partition: int
    origin: str
    size: int
    note: str
    next_offset: int


class CheckpointTopic:
    """Appends checkpoints."""

    def __init__(self, servers: Servers, topic: str) -> None:
        self._servers, self._topic = servers, topic
        self._producer: Producer | None = None

    def append(self, published: Published) -> None:
        """Append a checkpoint, and wait until it is there.

        Raises `TopicNotFound`, `LogRefused` or `LogUnavailable` if nothing was written; or `AppendOutcomeUnknown`.
        """
        producer, self._producer = self._producer or self._connected(), None
        self._append(producer, published)
        self._producer = producer  # a producer that failed may never write again

    def _connected(self) -> Producer:
        """A producer. First checks that the topic exists, since a broker might create a missing one by itself."""
        admin.describe(self._servers, self._topic, rights=[AclOperation.WRITE], timeout_s=_SEND_S)
        return make_producer(self._servers, keep_s=_SEND_S, most=1000)

    def _append(self, producer: Producer, published: Published) -> None:
        value = published.note.encode()
        errors: list[KafkaError | None] = []

        def report(error: KafkaError | None, _: Message) -> None:
            errors.append(error)

        try:
            producer.produce(
                self._topic,
                partition=published.partition,
                key=published.origin.encode(),
                value=value,
                headers=[("content-type", CONTENT_TYPE), (NEXT_OFFSET, str(published.next_offset).encode())],
                on_delivery=report,
            )
            producer.flush(_SEND_S + 1)
        except KafkaException as error:
            raise not_accepted(error.args[0], len(value), MAX_EVENT_BYTES) from error
        except SystemError as error:  # raised by the client after a fault from which the producer does not recover
            raise AppendOutcomeUnknown(f"Kafka did not confirm the checkpoint: {error.__cause__ or error}") from error
        if not errors:
            raise AppendOutcomeUnknown("Kafka did not confirm the checkpoint: no answer")
        if errors[0] is not None:
            raise not_delivered(errors[0], len(value), MAX_EVENT_BYTES)


def newest(servers: Servers, topic: str) -> dict[int, Covering]:
    """The newest checkpoint of each partition, for an archive. Raises `LogUnavailable`."""
    found = {}
    for partition, record in last_records(servers, topic).items():
        note = (record.value or b"").decode(errors="replace")
        try:
            size = Checkpoint.parse(split(note)[0]).size
        except NoteMalformed as error:
            _log.warning("what is in %s is not a checkpoint, and is not archived: %s", topic, error)
            continue
        found[partition] = Covering(size, note, next_offset_of(record))
    return found
