"""Reads the settings of topics and brokers for `topic_checks`, and corrects those of topics."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from pulp_events.admin import Connection
from pulp_events.errors import LogRefused, LogUnavailable, TopicNotFound
from pulp_events.findings import Finding
from pulp_events.offsets import ASK_AGAIN
from pulp_events.topic_checks import ClusterState, TopicState, check_cluster, check_topic, missing_topic
from pulp_events.topics import Topics

_NO_SUCH_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION)


def findings(
    connection: Connection, topics: Topics, *, is_archived: bool = False, timeout_s: float = 10.0
) -> list[Finding]:
    """The findings about the brokers and topics of an installation, whose events may be archived.

    Raises `LogUnavailable` if no broker answers, `LogRefused` if one refuses us.
    """
    asked = _ask_topics(connection, topics, timeout_s)
    cluster = read_cluster(connection, timeout_s=timeout_s)
    found = check_cluster(cluster)
    for name in topics:
        try:
            seen = _topic(connection, name, asked, timeout_s, is_compacted=topics.is_compacted(name))
            kept = is_archived if name == topics.events else None
            found += check_topic(seen._replace(is_archived=kept), cluster.brokers)
        except TopicNotFound:
            found.append(missing_topic(name, topics))
        except LogRefused:
            if name == topics.events:
                raise  # every process reads or writes it; not every one needs the others
    return found


def read_cluster(connection: Connection, *, timeout_s: float = 10.0) -> ClusterState:
    """The state of the brokers. Raises the same errors as `findings`."""
    try:
        found = connection.wait(connection.client.describe_cluster(request_timeout=timeout_s), timeout_s + 1)
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {connection.kafka} does not answer: {_why(error)}") from error
    broker = ConfigResource(ResourceType.BROKER, str(found.nodes[0].id))
    futures = connection.client.describe_configs([broker], request_timeout=timeout_s)
    return ClusterState(len(found.nodes), _settings(connection, futures[broker], timeout_s))


def read_topic(connection: Connection, name: str, *, is_compacted: bool = False, timeout_s: float = 10.0) -> TopicState:
    """The state of a topic. Raises `TopicNotFound`, `LogUnavailable`, `LogRefused`."""
    asked = _ask_topics(connection, [name], timeout_s)
    return _topic(connection, name, asked, timeout_s, is_compacted=is_compacted)


class _Asked(NamedTuple):
    """Pending answers, by topic."""

    descriptions: Mapping[str, "Future[Any]"]
    settings: Mapping[str, "Future[Any]"]


def _ask_topics(connection: Connection, names: Iterable[str], timeout_s: float) -> _Asked:
    """Two requests, however many topics there are."""
    resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in names}
    settings = connection.client.describe_configs([*resources.values()], request_timeout=timeout_s)
    return _Asked(
        connection.client.describe_topics(TopicCollection([*resources]), request_timeout=timeout_s),
        {name: settings[resource] for name, resource in resources.items()},
    )


def _topic(connection: Connection, name: str, asked: _Asked, timeout_s: float, *, is_compacted: bool) -> TopicState:
    try:
        found = connection.wait(asked.descriptions[name], timeout_s + 1)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].code() in _NO_SUCH_TOPIC:
            raise TopicNotFound(f"there is no topic {name} at {connection.kafka}") from error
        raise LogUnavailable(f"Kafka does not tell about topic {name} at {connection.kafka}: {_why(error)}") from error
    return TopicState(
        name,
        partitions=len(found.partitions),
        replication=min(len(each.replicas) for each in found.partitions),
        offline=sum(each.leader is None or each.leader.id < 0 for each in found.partitions),
        settings=_settings(connection, asked.settings[name], timeout_s),
        is_compacted=is_compacted,
    )


def newest_time_s(connection: Connection, topic: str, *, timeout_s: float = 10.0) -> float | None:
    """The time of the latest record, in seconds since the epoch; None without records.

    A partition whose leader cannot answer yet, for example just after an election, is left out. Raises
    `LogUnavailable`, `LogRefused`.
    """
    places = range(read_topic(connection, topic, timeout_s=timeout_s).partitions)
    wanted = {TopicPartition(topic, partition): OffsetSpec.max_timestamp() for partition in places}
    futures = connection.client.list_offsets(wanted, request_timeout=timeout_s)
    newest_ms = -1
    for future in futures.values():
        try:
            newest_ms = max(newest_ms, connection.wait(future, timeout_s + 1).timestamp)
        except (KafkaException, TimeoutError) as error:
            if not isinstance(error, KafkaException) or error.args[0].code() not in ASK_AGAIN:
                raise LogUnavailable(
                    f"Kafka does not tell about topic {topic} at {connection.kafka}: {_why(error)}"
                ) from error
    return newest_ms / 1000 if newest_ms >= 0 else None


def mend(connection: Connection, topic: str, settings: Mapping[str, str], *, timeout_s: float = 10.0) -> None:
    """Set these settings of a topic, and leave all others. Raises `LogUnavailable`, `LogRefused`."""
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    futures = connection.client.incremental_alter_configs([resource], request_timeout=timeout_s)
    try:
        connection.wait(futures[resource], timeout_s + 1)
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {connection.kafka} did not change topic {topic}: {_why(error)}") from error


def _settings(connection: Connection, asked: "Future[Any]", timeout_s: float) -> Mapping[str, str] | None:
    """The settings of a topic or broker; None if this login may not read them."""
    try:
        found = connection.wait(asked, timeout_s + 1)
    except LogRefused as error:
        if isinstance(error.__cause__, KafkaException):
            return None  # a missing right; a refused login has another cause
        raise
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {connection.kafka} does not tell its settings: {_why(error)}") from error
    return {key: entry.value for key, entry in found.items() if entry.value is not None}


def _why(error: KafkaException | TimeoutError) -> str:
    return str(error.args[0].str()) if isinstance(error, KafkaException) else "no answer in time"
