"""The topic of states, and the publisher's position, which Kafka stores in the same transaction. Synchronous."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Self
from uuid import UUID

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from pulp_events import admin
from pulp_events.codec import HEADERS
from pulp_events.errors import LogError, LogUnavailable
from pulp_events.kafka import Kafka, Servers, client_settings
from pulp_events.refusals import refusal
from pulp_events.topics import Topics

_TIMEOUT_S: Final = 10.0
_TRANSACTION_S: Final = 60
"""Longer than anything in one transaction takes; a killed publisher leaves one open for at most this long."""


class StateRecord(NamedTuple):
    """A record to publish; without a value it is a tombstone."""

    key: bytes
    value: bytes | None
    partition: int


class StatePlace(NamedTuple):
    """The position up to which the states of a partition are published."""

    next_offset: int
    generation: int
    """The generation of the read model that they were read from."""
    after: UUID | None = None
    """Of the tasks that had changed before the position, those with greater ids are still to be published."""

    def text(self) -> str:
        """What Kafka keeps beside the position."""
        return str(self.generation) if self.after is None else f"{self.generation} {self.after}"

    @classmethod
    def read(cls, next_offset: int, text: str) -> Self | None:
        """The inverse of `text`; None for anything else, after which every task is published again."""
        generation, _, after = text.partition(" ")
        try:
            return cls(next_offset, int(generation), UUID(after) if after else None)
        except ValueError:
            return None


class StateLog:
    """Publishes states, exactly once: the records of a call and the places behind them are in one transaction.

    Opening one fences every other one off: Kafka refuses what those would still write, so a publisher that was frozen
    and goes on later cannot put an old state after a new one. For one thread at a time; `close` it.
    """

    def __init__(self, servers: Servers, topics: Topics, partitions: int) -> None:
        """Connects on `open`; `partitions` is the partition count of the topic of events."""
        self._kafka, self._topics, self._partitions = Kafka.of(servers), topics, partitions
        self._producer = Producer(
            client_settings(
                servers,
                transactional_id=topics.states,
                transaction_timeout_ms=_TRANSACTION_S * 1000,
                compression_type="lz4",
                linger_ms=0,
            )
        )
        # It joins no group; it only names the group that keeps the positions.
        self._group = Consumer(client_settings(servers, group_id=group_of(topics), enable_auto_commit=False))

    @classmethod
    def open(cls, servers: Servers, topics: Topics, partitions: int) -> Self:
        """Connected, and every other one fenced off. Raises `LogUnavailable`, `LogRefused`."""
        made = cls(servers, topics, partitions)
        try:
            made._producer.init_transactions(_TIMEOUT_S)
        except KafkaException as error:
            made.close()
            raise _failed(made._kafka, error) from error
        return made

    def places(self) -> dict[int, StatePlace]:
        """See `places_of`."""
        return places_of(self._kafka, self._topics, self._partitions)

    def publish(self, records: Iterable[StateRecord], places: Mapping[int, StatePlace]) -> None:
        """Write the records and the place to continue from, or nothing. After an error `close` it and open another one.

        Raises `LogUnavailable`, `LogRefused`.
        """
        offsets = [
            TopicPartition(self._topics.events, partition, place.next_offset, place.text())
            for partition, place in places.items()
        ]
        undelivered: list[KafkaError] = []

        def told(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                undelivered.append(error)

        try:
            self._producer.begin_transaction()
            for record in records:
                self._producer.produce(
                    self._topics.states,
                    key=record.key,
                    value=record.value,
                    partition=record.partition,
                    headers=HEADERS if record.value is not None else None,
                    on_delivery=told,
                )
            self._producer.send_offsets_to_transaction(offsets, self._group.consumer_group_metadata(), _TIMEOUT_S)
            self._producer.commit_transaction(_TIMEOUT_S)
        except (KafkaException, BufferError) as error:
            # The transaction's own error says only how many records were not accepted.
            with contextlib.suppress(KafkaException):
                self._producer.poll(0)
            raise _failed(self._kafka, KafkaException(undelivered[0]) if undelivered else error) from error

    def close(self) -> None:
        """Release the connections; a transaction that is open is aborted by the next `open`, or after a minute."""
        self._group.close()
        with contextlib.suppress(KafkaException):  # a fenced producer reports it at every call
            self._producer.purge()
            self._producer.flush(0)


def group_of(topics: Topics) -> str:
    """The consumer group that keeps the publisher's place, so that tools for lag show it."""
    return f"{topics.events}.states"


def places_of(servers: Servers, topics: Topics, partitions: int) -> dict[int, StatePlace]:
    """How far the states are published, by partition; partitions without published states are left out.

    Raises `LogUnavailable`, `LogRefused`.
    """
    kafka = Kafka.of(servers)
    wanted = [TopicPartition(topics.events, partition) for partition in range(partitions)]
    group = group_of(topics)
    asked = [ConsumerGroupTopicPartitions(group, wanted)]
    # Not with the consumer, which does not report a refusal.
    connection = admin.connect(kafka)
    futures = connection.client.list_consumer_group_offsets(asked, require_stable=True, request_timeout=_TIMEOUT_S)
    try:
        found = connection.wait(futures[group], _TIMEOUT_S + 1).topic_partitions or []
    except (KafkaException, TimeoutError) as error:
        raise _failed(kafka, error) from error
    return {
        each.partition: place
        for each in found
        if each.offset >= 0 and (place := StatePlace.read(each.offset, each.metadata or "")) is not None
    }


def start_over(servers: Servers, topics: Topics, partitions: int) -> None:
    """Have every state published again; a publisher at work is fenced off, and starts over.

    Raises `LogUnavailable`, `LogRefused`.
    """
    log = StateLog.open(servers, topics, partitions)
    try:
        log.publish((), {partition: StatePlace(0, 0) for partition in range(partitions)})
    finally:
        log.close()


def _failed(kafka: Kafka, error: KafkaException | BufferError | TimeoutError) -> LogError:
    said = error.args[0] if error.args else "it did not answer in time"
    if isinstance(said, KafkaError):
        return refusal(kafka, said) or LogUnavailable(f"Kafka at {kafka} does not take states of tasks: {said.str()}")
    return LogUnavailable(f"Kafka at {kafka} does not take states of tasks: {said}")
