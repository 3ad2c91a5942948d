"""Topics: creating them, and reading their properties before a process uses them."""

import contextlib
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewTopic

from pulp_events.errors import LogRefused, LogUnavailable, TopicMismatch, TopicNotFound
from pulp_events.kafka import Kafka, Servers, client_settings
from pulp_events.offsets import RETRY_S, AskAgain, answered, learn_leaders
from pulp_events.refusals import Refusals, refusal
from pulp_events.topics import Topics

T = TypeVar("T")
_NO_SUCH_TOPIC: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION)

EVENTS_SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": "1048588",
}
"""Records are kept for ever, with the broker's times. All topics except that of states use these settings."""
_KNOWN_S: Final = 0.02
COMPACTED: Final[Mapping[str, str]] = {"cleanup.policy": "compact"}
"""In the topic of states the last record of each key is kept for ever."""


class TopicInfo(NamedTuple):
    """A topic as the broker describes it. A topic that was deleted and created again has another `topic_id`."""

    name: str
    topic_id: str
    partitions: int


class Connection(NamedTuple):
    """A client that stays connected, for repeated requests."""

    kafka: Kafka
    client: AdminClient
    refusals: Refusals

    def wait(self, future: "Future[T]", timeout_s: float) -> T:
        """The future's result. Raises its error, `TimeoutError`, or `LogRefused` as soon as a broker refuses us."""
        try:
            return self.refusals.wait(self.client, future, timeout_s)
        except KafkaException as error:
            if (refused := refusal(self.kafka, error.args[0])) is not None:
                raise refused from error
            self.client.poll(0)
            self.refusals.check()
            raise


def connect(servers: Servers, **settings: Any) -> Connection:
    """A new client. Keep it: on a busy machine its first answer may take a second, later ones do not.

    Call its `poll` now and then, which writes its log lines. `settings` are passed to `client_settings`. Raises
    `SettingsError` for a file of a secret or certificate that cannot be used.
    """
    kafka = Kafka.of(servers)
    refusals = Refusals(kafka)
    return Connection(kafka, AdminClient(client_settings(kafka, error_cb=refusals.note, **settings)), refusals)


def create_topics(
    servers: Servers, topics: Topics, *, partitions: int, replication: int, timeout_s: float = 30.0
) -> list[str]:
    """Create the missing topics, and return their names. With a replication of 3, two replicas must confirm each write.

    Raises `TopicMismatch` if the events topic exists with another partition count, which can never change because it
    decides where a task's history is, and `LogUnavailable` if Kafka does not answer or refuses.
    """
    settings = dict(EVENTS_SETTINGS)
    if replication >= 3:
        settings["min.insync.replicas"] = "2"
    connection = connect(servers)  # its futures fail when it is garbage-collected
    futures = connection.client.create_topics(
        [
            NewTopic(topics.events, num_partitions=partitions, replication_factor=replication, config=settings),
            NewTopic(topics.dead_letters, num_partitions=1, replication_factor=replication, config=settings),
            NewTopic(topics.audit, num_partitions=1, replication_factor=replication, config=settings),
            NewTopic(topics.schedules, num_partitions=1, replication_factor=replication, config=settings),
            NewTopic(topics.subscriptions, num_partitions=1, replication_factor=replication, config=settings),
            # A partition for each one of the events, so that the last record of each is its newest checkpoint.
            NewTopic(topics.checkpoints, num_partitions=partitions, replication_factor=replication, config=settings),
            NewTopic(
                topics.states,
                num_partitions=partitions,
                replication_factor=replication,
                config={**settings, **COMPACTED},
            ),
        ],
        operation_timeout=timeout_s,
        request_timeout=timeout_s,
    )
    created = [name for name, future in futures.items() if _is_created(connection, future, timeout_s)]
    _wait_until_known(connection, created, timeout_s)
    if topics.events not in created:
        found = describe(connection, topics.events, timeout_s=timeout_s)
        if found.partitions != partitions:
            raise TopicMismatch(
                f"topic {topics.events} has {found.partitions} partitions, {partitions} were asked for:"
                " the count is fixed when a topic is made"
            )
    return created


def _wait_until_known(connection: Connection, names: Collection[str], timeout_s: float) -> None:
    """The controller has created the topics; the brokers learn of them a moment later."""
    deadline_s = time.monotonic() + timeout_s
    for name in names:
        while True:
            try:
                describe(connection, name, timeout_s=timeout_s)
            except TopicNotFound:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_KNOWN_S)
            except LogRefused:  # a login may be allowed to create a topic, and not to describe it
                break
            else:
                break


def ping(servers: Servers, *, timeout_s: float = 10.0) -> None:
    """Raises `LogUnavailable` if no broker answers, `LogRefused` if one refuses us."""
    connection = connect(servers)
    try:
        connection.wait(connection.client.describe_cluster(request_timeout=timeout_s), timeout_s)
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"no broker answers: {_reason(connection, error)}") from error


def describe(
    servers: Servers | Connection,
    topic: str,
    *,
    rights: Collection[AclOperation] = (),
    timeout_s: float = 10.0,
) -> TopicInfo:
    """The topic's id and partition count.

    Raises `LogUnavailable` if Kafka is away, `TopicNotFound` if it has no such topic, `LogRefused` if it refuses us or
    denies one of the `rights` on the topic.
    """
    connection = _connected(servers)
    futures = connection.client.describe_topics(
        TopicCollection([topic]), include_authorized_operations=bool(rights), request_timeout=timeout_s
    )
    found = _described(connection, futures[topic], timeout_s, topic)
    allowed = rights if found.authorized_operations is None else found.authorized_operations
    if lacking := [each.name.lower() for each in rights if each not in allowed]:
        raise LogRefused(
            f"Kafka at {connection.kafka} does not let {connection.kafka.security.login} {' and '.join(lacking)} topic"
            f" {topic}: pulp-tasks topics acls lists what each process needs, and grants it with --apply"
        )
    return TopicInfo(topic, str(found.topic_id), len(found.partitions))


def begin_offsets(
    servers: Servers | Connection, topic: str, partitions: int, *, timeout_s: float = 10.0
) -> dict[int, int]:
    """The first offset of each partition that is still in the log."""
    return _offsets(servers, topic, partitions, OffsetSpec.earliest(), timeout_s)


def end_offsets(
    servers: Servers | Connection, topic: str, partitions: int, *, timeout_s: float = 10.0
) -> dict[int, int]:
    """The offset of the next record of each partition."""
    return _offsets(servers, topic, partitions, OffsetSpec.latest(), timeout_s)


def offsets_since(
    servers: Servers | Connection, topic: str, partitions: int, timestamp_ms: int, *, timeout_s: float = 10.0
) -> dict[int, int]:
    """The first offset of each partition at or after a broker time; its end if there is none."""
    ends = end_offsets(servers, topic, partitions, timeout_s=timeout_s)  # read first, so that no later record is missed
    found = _offsets(servers, topic, partitions, OffsetSpec.for_timestamp(timestamp_ms), timeout_s)
    return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}


def _offsets(
    servers: Servers | Connection, topic: str, partitions: int, spec: OffsetSpec, timeout_s: float
) -> dict[int, int]:
    wanted = {TopicPartition(topic, partition): spec for partition in range(partitions)}
    connection = _connected(servers)
    ends_s = time.monotonic() + timeout_s
    while True:
        futures = connection.client.list_offsets(wanted, request_timeout=timeout_s)
        try:
            for future in futures.values():
                with contextlib.suppress(KafkaException):  # reported below, all together
                    connection.wait(future, timeout_s + 5)
            return answered(futures)
        except TimeoutError as error:
            raise _unknown_offsets(connection, topic, f" within {timeout_s:g} s") from error
        except KafkaException as error:
            raise _unknown_offsets(connection, topic, f": {error.args[0].str()}") from error
        except AskAgain as error:
            if time.monotonic() > ends_s:
                raise _unknown_offsets(connection, topic, f" within {timeout_s:g} s: {error}") from error
        time.sleep(RETRY_S)
        learn_leaders(connection.client, topic, timeout_s)


def _unknown_offsets(connection: Connection, topic: str, why: str) -> LogUnavailable:
    return LogUnavailable(f"Kafka does not tell the offsets of {topic} at {connection.kafka}{why}")


def _is_created(connection: Connection, future: "Future[None]", timeout_s: float) -> bool:
    try:
        connection.wait(future, timeout_s + 5)
    except TimeoutError as error:
        raise LogUnavailable(f"Kafka did not make the topic: {error}") from error
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise LogUnavailable(f"Kafka did not make the topic: {error.args[0].str()}") from error
    return True


def _described(connection: Connection, future: "Future[T]", timeout_s: float, topic: str) -> T:
    try:
        return connection.wait(future, timeout_s + 5)
    except KafkaException as error:
        if error.args[0].code() in _NO_SUCH_TOPIC:
            raise TopicNotFound(
                f"there is no topic {topic} at {connection.kafka}: PULP_TOPIC_PREFIX says how those of an installation"
                " begin, and pulp-tasks topics create creates them"
            ) from error
        raise LogUnavailable(
            f"Kafka does not tell about topic {topic} at {connection.kafka}: {_reason(connection, error)}"
        ) from error
    except TimeoutError as error:
        raise LogUnavailable(
            f"Kafka does not tell about topic {topic} at {connection.kafka} within {timeout_s:g} s"
        ) from error


def _reason(connection: Connection, error: KafkaException | TimeoutError) -> str:
    """The error, and the client's last error about the brokers, which says more than a timeout."""
    said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
    heard = connection.refusals.last
    return said if not heard or heard in said else f"{said} ({heard})"


def _connected(servers: Servers | Connection) -> Connection:
    return servers if isinstance(servers, Connection) else connect(servers)
