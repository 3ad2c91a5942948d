"""Checks of topics and brokers: that no event is lost, and that all times are the broker's. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pulp_events.findings import Finding, Severity
from pulp_events.topics import Topics

LARGEST_RECORD: Final = 1_048_588
"""The record size, in bytes, that a topic must accept: the largest event, and what Kafka adds to it."""
MEND: Final = "pulp-tasks topics mend"
CREATE: Final = "pulp-tasks topics create"
ARCHIVE: Final = (
    f"{MEND}, which keeps everything in Kafka; or, to let Kafka delete what is archived: pulp-tasks archive write --to"
    " FOLDER, again and again, and PULP_ARCHIVE=FOLDER for every process"
)
"""For the topic of events."""
_RETENTION: Final = "topic-retention"
_RETENTION_MS: Final = "retention.ms"


class TopicState(NamedTuple):
    """A topic as the brokers describe it."""

    name: str
    partitions: int
    replication: int
    """The number of replicas of the partition with the fewest."""
    offline: int = 0
    """The number of partitions without a leader."""
    settings: Mapping[str, str] | None = None
    """None if this login may not read them."""
    is_compacted: bool = False
    """Whether it must keep only the last record of each key (`Topics.is_compacted`)."""
    is_archived: bool | None = None
    """Whether an archive keeps what a retention deletes; None for a topic that is never archived."""


class ClusterState(NamedTuple):
    """The brokers."""

    brokers: int
    settings: Mapping[str, str] | None = None
    """Those of one broker; None if this login may not read them."""


class Rule(NamedTuple):
    """A setting that a topic must have."""

    check: str
    setting: str
    value: str
    endangers: str


RULES: Final = (
    Rule(_RETENTION, _RETENTION_MS, "-1", "Kafka deletes older records, and with them the history of tasks"),
    Rule(_RETENTION, "retention.bytes", "-1", "Kafka deletes the oldest records, and with them history"),
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
_UNCLEAN: Final = RULES[-1]
COMPACTED_RULES: Final = (
    Rule("topic-cleanup", "cleanup.policy", "compact", "it keeps every state that a task ever had, or loses the last"),
    _UNCLEAN,
)
"""The settings of the topic of states, which can be written again from the log of events."""


def check_topic(state: TopicState, brokers: int) -> list[Finding]:
    """The findings about a topic in a cluster with this number of brokers."""
    return [*_settings(state), *_replicas(state, brokers)]


def missing_topic(name: str, topics: Topics) -> Finding:
    """The finding for a topic that does not exist. Tasks need only those of events and dead letters."""
    severity, endangers = Severity.FAULT, "nothing can be written to it"
    if name == topics.audit:
        severity, endangers = Severity.WARNING, "the audit is lost"
    elif name == topics.schedules:
        severity, endangers = Severity.WARNING, "no schedule can be created, changed or run"
    elif name == topics.subscriptions:
        severity, endangers = Severity.WARNING, "no subscription can be created or changed, and none delivers"
    elif name == topics.checkpoints:
        severity, endangers = Severity.WARNING, "checkpoints of the log are in its folder alone"
    elif name == topics.states:
        severity, endangers = Severity.NOTE, "PULP_STATE_TOPIC=yes would publish the states of tasks to nobody"
    return Finding("topic-missing", name, severity, "there is no such topic", endangers, CREATE)


def check_cluster(state: ClusterState) -> list[Finding]:
    """The findings about the brokers."""
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
    """The settings that `pulp-tasks topics mend` would change; {} if all are right or unreadable."""
    settings = state.settings or {}
    found = {rule.setting: rule.value for rule in _rules(state) if settings.get(rule.setting, rule.value) != rule.value}
    if _refuses_large_events(settings):
        found["max.message.bytes"] = str(LARGEST_RECORD)
    if _needs_two_replicas_in_sync(state):
        found["min.insync.replicas"] = "2"
    return found


def _rules(state: TopicState) -> tuple[Rule, ...]:
    rules = COMPACTED_RULES if state.is_compacted else RULES
    return tuple(rule for rule in rules if not (state.is_archived and rule.setting == _RETENTION_MS))


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
    for rule in _rules(state):
        value = state.settings.get(rule.setting, rule.value)
        if value != rule.value:
            wrong = f"{rule.setting} is {value}, not {rule.value}"
            mend = ARCHIVE if rule.setting == _RETENTION_MS and state.is_archived is not None else MEND
            yield Finding(rule.check, state.name, Severity.FAULT, wrong, rule.endangers, mend)
    if _refuses_large_events(state.settings):
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
    if _needs_two_replicas_in_sync(state):
        yield Finding(
            "topic-insync",
            state.name,
            Severity.WARNING,
            f"min.insync.replicas is 1 with {state.replication} replicas",
            "an event counts as written when one disk has it",
            MEND,
        )


def _needs_two_replicas_in_sync(state: TopicState) -> bool:
    return state.replication >= 3 and (state.settings or {}).get("min.insync.replicas") == "1"


def _refuses_large_events(settings: Mapping[str, str]) -> bool:
    return int(settings.get("max.message.bytes", LARGEST_RECORD)) < LARGEST_RECORD
