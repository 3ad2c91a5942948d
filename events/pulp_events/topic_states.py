"""How topics and brokers are: read for `topic_checks`, and mended."""

from collections.abc import Mapping

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


def findings(connection: Connection, topics: Topics, *, timeout_s: float = 10.0) -> list[Finding]:
    """Everything that is not as it should be with the brokers and the topics of an installation.

    Raises `LogUnavailable` if no broker answers, `LogRefused` if one refuses us.
    """
    cluster = read_cluster(connection, timeout_s=timeout_s)
    found = check_cluster(cluster)
    for name in topics:
        try:
            found += check_topic(read_topic(connection, name, timeout_s=timeout_s), cluster.brokers)
        except TopicNotFound:
            found.append(missing_topic(name, is_needed=name != topics.audit))
        except LogRefused:
            if name == topics.events:
                raise  # each process reads or writes it; the others are not everybody's
    return found


def read_cluster(connection: Connection, *, timeout_s: float = 10.0) -> ClusterState:
    """The brokers; the same errors."""
    try:
        found = connection.wait(connection.client.describe_cluster(request_timeout=timeout_s), timeout_s + 1)
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {connection.kafka} does not answer: {_why(error)}") from error
    broker = str(found.nodes[0].id)
    return ClusterState(len(found.nodes), _settings(connection, ResourceType.BROKER, broker, timeout_s))


def read_topic(connection: Connection, name: str, *, timeout_s: float = 10.0) -> TopicState:
    """A topic; raises `TopicNotFound`, `LogUnavailable`, `LogRefused`."""
    futures = connection.client.describe_topics(TopicCollection([name]), request_timeout=timeout_s)
    try:
        found = connection.wait(futures[name], timeout_s + 1)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].code() in _NO_SUCH_TOPIC:
            raise TopicNotFound(f"there is no topic {name} at {connection.kafka}") from error
        raise LogUnavailable(f"Kafka does not tell about topic {name} at {connection.kafka}: {_why(error)}") from error
    return TopicState(
        name,
        partitions=len(found.partitions),
        replication=min(len(each.replicas) for each in found.partitions),
        offline=sum(each.leader is None or each.leader.id < 0 for each in found.partitions),
        settings=_settings(connection, ResourceType.TOPIC, name, timeout_s),
    )


def newest_time_s(connection: Connection, topic: str, *, timeout_s: float = 10.0) -> float | None:
    """The latest time of a record, since the epoch; None if there is none. Raises `LogUnavailable`, `LogRefused`.

    A partition whose leader cannot tell yet, as one that has only just become it, is left out.
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
    """Give a topic these settings, and leave its others. Raises `LogUnavailable`, `LogRefused`."""
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    futures = connection.client.incremental_alter_configs([resource], request_timeout=timeout_s)
    try:
        connection.wait(futures[resource], timeout_s + 1)
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {connection.kafka} did not change topic {topic}: {_why(error)}") from error


def _settings(connection: Connection, kind: ResourceType, name: str, timeout_s: float) -> Mapping[str, str] | None:
    """None where they may not be read."""
    resource = ConfigResource(kind, name)
    futures = connection.client.describe_configs([resource], request_timeout=timeout_s)
    try:
        found = connection.wait(futures[resource], timeout_s + 1)
    except LogRefused as error:
        if isinstance(error.__cause__, KafkaException):
            return None  # a right is missing; a login that is refused has no such cause
        raise
    except (KafkaException, TimeoutError) as error:
        raise LogUnavailable(f"Kafka at {connection.kafka} does not tell its settings: {_why(error)}") from error
    return {key: entry.value for key, entry in found.items() if entry.value is not None}


def _why(error: KafkaException | TimeoutError) -> str:
    return str(error.args[0].str()) if isinstance(error, KafkaException) else "no answer in time"
