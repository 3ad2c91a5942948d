"""The topics themselves: making them, and what a process checks before it trusts them."""

import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeVar

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewTopic

from pulp_events.errors import LogUnavailable, TopicMismatch, TopicNotFound
from pulp_events.kafka import client_settings
from pulp_events.offsets import ASK_AGAIN
from pulp_events.topics import Topics

T = TypeVar("T")
_RETRY_S: Final = 0.05
_NO_SUCH_TOPIC: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION)

EVENTS_SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": "1048588",
}
"""Kept for ever, the broker's times. The topics of dead letters and of the audit have the same."""


class TopicInfo(NamedTuple):
    """A topic as the broker describes it. A topic made anew under the same name has another `topic_id`."""

    name: str
    topic_id: str
    partitions: int


class Connection(NamedTuple):
    """A client that stays, for who asks again and again."""

    bootstrap: str
    client: AdminClient


def connect(bootstrap: str) -> Connection:
    """On a busy machine the first answer to a new client may take a second, those after it do not.

    Whoever has it calls the client's `poll` now and then, which logs what there is to say.
    """
    return Connection(bootstrap, _admin(bootstrap))


def create_topics(
    bootstrap: str, topics: Topics, *, partitions: int, replication: int, timeout_s: float = 30.0
) -> list[str]:
    """Make the topics that are missing; their names. With a replication of 3 two replicas must take each write.

    Raises `TopicMismatch` if the events topic is there with another partition count, which can never be changed:
    it decides where a task's history is. Raises `LogUnavailable` if Kafka does not answer or refuses.
    """
    settings = dict(EVENTS_SETTINGS)
    if replication >= 3:
        settings["min.insync.replicas"] = "2"
    client = _admin(bootstrap)  # its futures fail when it is let go
    futures = client.create_topics(
        [
            NewTopic(topics.events, num_partitions=partitions, replication_factor=replication, config=settings),
            NewTopic(topics.dead_letters, num_partitions=1, replication_factor=replication, config=settings),
            NewTopic(topics.audit, num_partitions=1, replication_factor=replication, config=settings),
        ],
        operation_timeout=timeout_s,
        request_timeout=timeout_s,
    )
    made = [name for name, future in futures.items() if _made(future, timeout_s)]
    if topics.events not in made:
        found = describe(bootstrap, topics.events, timeout_s=timeout_s)
        if found.partitions != partitions:
            raise TopicMismatch(
                f"topic {topics.events} has {found.partitions} partitions, {partitions} were asked for:"
                " the count is fixed when a topic is made"
            )
    return made


def ping(bootstrap: str, *, timeout_s: float = 10.0) -> None:
    """Raises `LogUnavailable` if no broker answers."""
    client = _admin(bootstrap)
    try:
        client.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise LogUnavailable(f"no broker answers: {error.args[0].str()}") from error


def describe(kafka: str | Connection, topic: str, *, timeout_s: float = 10.0) -> TopicInfo:
    """The topic's id and partition count; raises `LogUnavailable` if Kafka is away or has no such topic."""
    bootstrap, client = _connected(kafka)
    futures = client.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)
    found = _described(futures[topic], timeout_s, topic, bootstrap)
    return TopicInfo(topic, str(found.topic_id), len(found.partitions))


def begin_offsets(kafka: str | Connection, topic: str, partitions: int, *, timeout_s: float = 10.0) -> dict[int, int]:
    """The first offset that is still in the log, of each partition."""
    return _offsets(kafka, topic, partitions, OffsetSpec.earliest(), timeout_s)


def end_offsets(kafka: str | Connection, topic: str, partitions: int, *, timeout_s: float = 10.0) -> dict[int, int]:
    """The offset that the next record will get, of each partition."""
    return _offsets(kafka, topic, partitions, OffsetSpec.latest(), timeout_s)


def offsets_since(
    bootstrap: str, topic: str, partitions: int, timestamp_ms: int, *, timeout_s: float = 10.0
) -> dict[int, int]:
    """The first offset at or after a broker time, of each partition; the end where there is none."""
    ends = end_offsets(bootstrap, topic, partitions, timeout_s=timeout_s)  # first: what comes meanwhile is not left out
    found = _offsets(bootstrap, topic, partitions, OffsetSpec.for_timestamp(timestamp_ms), timeout_s)
    return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}


def _offsets(
    kafka: str | Connection, topic: str, partitions: int, spec: OffsetSpec, timeout_s: float
) -> dict[int, int]:
    wanted = {TopicPartition(topic, partition): spec for partition in range(partitions)}
    bootstrap, client = _connected(kafka)
    ends_s = time.monotonic() + timeout_s
    while True:
        futures = client.list_offsets(wanted, request_timeout=timeout_s)
        reason = "no offset, and no error"
        try:
            found = {where.partition: int(future.result(timeout_s + 5).offset) for where, future in futures.items()}
        except TimeoutError as error:
            raise LogUnavailable(f"Kafka does not tell about {topic} at {bootstrap} within {timeout_s:g} s") from error
        except KafkaException as error:
            reason = error.args[0].str()
            if error.args[0].code() not in ASK_AGAIN:
                raise LogUnavailable(f"Kafka does not tell about {topic} at {bootstrap}: {reason}") from error
        else:
            if OFFSET_INVALID not in found.values():
                return found
        if time.monotonic() > ends_s:
            raise LogUnavailable(f"Kafka does not tell about {topic} at {bootstrap} within {timeout_s:g} s: {reason}")
        time.sleep(_RETRY_S)
        with contextlib.suppress(KafkaException):
            client.list_topics(topic, timeout_s)  # who leads now


def _made(future: "Future[None]", timeout_s: float) -> bool:
    try:
        future.result(timeout=timeout_s + 5)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise LogUnavailable(f"Kafka did not make the topic: {error.args[0].str()}") from error
    return True


def _described(future: "Future[T]", timeout_s: float, topic: str, bootstrap: str) -> T:
    try:
        return future.result(timeout=timeout_s + 5)
    except KafkaException as error:
        if error.args[0].code() in _NO_SUCH_TOPIC:
            raise TopicNotFound(
                f"there is no topic {topic} at {bootstrap}: PULP_TOPIC_PREFIX says how those of an installation begin,"
                " and pulp-tasks topics create creates them"
            ) from error
        raise LogUnavailable(
            f"Kafka does not tell about topic {topic} at {bootstrap}: {error.args[0].str()}"
        ) from error
    except TimeoutError as error:
        raise LogUnavailable(
            f"Kafka does not tell about topic {topic} at {bootstrap} within {timeout_s:g} s"
        ) from error


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient(client_settings(bootstrap))


def _connected(kafka: str | Connection) -> Connection:
    return connect(kafka) if isinstance(kafka, str) else kafka
