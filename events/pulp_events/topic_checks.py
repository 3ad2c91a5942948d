"""What must be true of the topics and the brokers, so that no event is lost and every time is the broker's. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pulp_events.findings import Finding, Severity

LARGEST_RECORD: Final = 1_048_588
"""Bytes that a topic must take: an event of the greatest size with what Kafka adds."""
MEND: Final = "pulp-tasks topics mend"
CREATE: Final = "pulp-tasks topics create"


class TopicState(NamedTuple):
    """A topic as the brokers describe it."""

    name: str
    partitions: int
    replication: int
    """Replicas of the partition that has the fewest."""
    offline: int = 0
    """Partitions without a leader."""
    settings: Mapping[str, str] | None = None
    """None where they may not be read."""


class ClusterState(NamedTuple):
    """The brokers."""

    brokers: int
    settings: Mapping[str, str] | None = None
    """Of one broker; None where they may not be read."""


class Rule(NamedTuple):
    """A setting that a topic must have."""

    check: str
    setting: str
    value: str
    endangers: str


RULES: Final = (
    Rule("topic-retention", "retention.ms", "-1", "Kafka deletes older records, and with them the history of tasks"),
    Rule("topic-retention", "retention.bytes", "-1", "Kafka deletes the oldest records, and with them history"),
    Rule("topic-cleanup", "cleanup.policy", "delete", "compaction keeps only the last record of each key"),
    Rule(
        "topic-times",
        "message.timestamp.type",
        "LogAppendTime",
        "times are those of the clients' clocks, not the broker's; records that are there keep theirs",
    ),
    Rule(
        "topic-unclean-election",
        "unclean.leader.election.enable",
        "false",
        "a replica that lacks confirmed events may become the leader, and they are lost",
    ),
)


def check_topic(state: TopicState, brokers: int) -> list[Finding]:
    """What is wrong with a topic on so many brokers."""
    return [*_settings(state), *_replicas(state, brokers)]


def missing_topic(name: str, *, is_needed: bool) -> Finding:
    """Of a topic that is not there. The audit topic is not needed: what it would hold is only logged."""
    severity = Severity.FAULT if is_needed else Severity.WARNING
    endangers = "nothing can be written to it" if is_needed else "the audit is lost"
    return Finding("topic-missing", name, severity, "there is no such topic", endangers, CREATE)


def check_cluster(state: ClusterState) -> list[Finding]:
    """What is to be said of the brokers."""
    found = []
    if state.brokers == 1:
        found.append(
            Finding(
                "brokers-one",
                "Kafka",
                Severity.NOTE,
                "there is one broker",
                "while it is down nothing can be submitted, and its disk holds the only copy",
                "three brokers, and a replication of 3",
            )
        )
    if (state.settings or {}).get("auto.create.topics.enable") == "true":
        found.append(
            Finding(
                "brokers-auto-create",
                "Kafka",
                Severity.NOTE,
                "auto.create.topics.enable is true",
                "a client with a wrong PULP_TOPIC_PREFIX makes topics that delete their records after some days",
                "auto.create.topics.enable=false in the brokers' settings",
            )
        )
    return found


def mends(state: TopicState) -> dict[str, str]:
    """The settings that `pulp-tasks topics mend` would give the topic; {} if all are right or cannot be read."""
    settings = state.settings or {}
    found = {rule.setting: rule.value for rule in RULES if settings.get(rule.setting, rule.value) != rule.value}
    if _is_small(settings):
        found["max.message.bytes"] = str(LARGEST_RECORD)
    if _is_thin(state):
        found["min.insync.replicas"] = "2"
    return found


def _settings(state: TopicState) -> Iterable[Finding]:
    if state.settings is None:
        yield Finding(
            "topic-unread",
            state.name,
            Severity.WARNING,
            "its settings may not be read",
            "nobody notices if Kafka deletes its records",
            "the right DescribeConfigs: pulp-tasks topics acls --apply",
        )
        return
    for rule in RULES:
        value = state.settings.get(rule.setting, rule.value)
        if value != rule.value:
            wrong = f"{rule.setting} is {value}, not {rule.value}"
            yield Finding(rule.check, state.name, Severity.FAULT, wrong, rule.endangers, MEND)
    if _is_small(state.settings):
        yield Finding(
            "topic-record-size",
            state.name,
            Severity.FAULT,
            f"max.message.bytes is {state.settings['max.message.bytes']}, not {LARGEST_RECORD} or more",
            "large events are refused after they were accepted",
            MEND,
        )


def _replicas(state: TopicState, brokers: int) -> Iterable[Finding]:
    if state.offline:
        yield Finding(
            "topic-offline",
            state.name,
            Severity.WARNING,
            f"{state.offline} of {state.partitions} partitions have no leader",
            "their tasks can be neither submitted nor read",
            "start the brokers that hold them",
        )
    if state.replication < min(3, brokers):
        yield Finding(
            "topic-replication",
            state.name,
            Severity.WARNING,
            f"it has {state.replication} replica(s) on {brokers} brokers",
            "a disk that is lost takes history with it",
            "kafka-reassign-partitions.sh with three replicas for each partition",
        )
    if _is_thin(state):
        yield Finding(
            "topic-insync",
            state.name,
            Severity.WARNING,
            f"min.insync.replicas is 1 with {state.replication} replicas",
            "an event counts as written when one disk has it",
            MEND,
        )


def _is_thin(state: TopicState) -> bool:
    return state.replication >= 3 and (state.settings or {}).get("min.insync.replicas") == "1"


def _is_small(settings: Mapping[str, str]) -> bool:
    return int(settings.get("max.message.bytes", LARGEST_RECORD)) < LARGEST_RECORD
