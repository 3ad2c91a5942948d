"""A topic with Kafka's defaults is reported with its risks, and one command fixes it."""

import json
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pulp_events import admin, topic_states
from pulp_events.findings import Severity, faults
from pulp_events.topic_checks import ClusterState as Cluster
from pulp_events.topic_checks import TopicState, check_cluster, check_topic, mends
from pulp_events.topics import Topics

from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks

RIGHT = dict(admin.EVENTS_SETTINGS) | {"unclean.leader.election.enable": "false", "min.insync.replicas": "2"}


def state(*, replication: int = 3, changed: Mapping[str, str] | None = None) -> TopicState:
    settings = RIGHT | {key.replace("_", "."): value for key, value in (changed or {}).items()}
    return TopicState("t.events", 4, replication, settings=settings)


def test_a_right_topic_has_no_finding() -> None:
    assert check_topic(state(), brokers=3) == []
    assert mends(state()) == {}


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("retention_ms", "604800000", "topic-retention"),
        ("retention_bytes", "1073741824", "topic-retention"),
        ("cleanup_policy", "compact", "topic-cleanup"),
        ("cleanup_policy", "compact,delete", "topic-cleanup"),
        ("message_timestamp_type", "CreateTime", "topic-times"),
        ("max_message_bytes", "65536", "topic-record-size"),
        ("unclean_leader_election_enable", "true", "topic-unclean-election"),
    ],
)
def test_each_setting_that_loses_events_is_a_fault(setting: str, value: str, check: str) -> None:
    wrong = state(changed={setting: value})
    [finding] = faults(check_topic(wrong, brokers=3))
    assert (finding.check, finding.mend) == (check, "pulp-tasks topics mend")
    assert value in finding.wrong
    mended = wrong._replace(settings={**(wrong.settings or {}), **mends(wrong)})
    assert check_topic(mended, brokers=3) == []


def test_events_may_have_a_retention_where_they_are_archived() -> None:
    wrong = state(changed={"retention_ms": "604800000"})
    [finding] = faults(check_topic(wrong._replace(is_archived=False), brokers=3))
    assert finding.check == "topic-retention"
    assert "pulp-tasks topics mend" in str(finding)
    assert "pulp-tasks archive write" in str(finding)
    assert "PULP_ARCHIVE=FOLDER" in str(finding)
    assert check_topic(wrong._replace(is_archived=True), brokers=3) == []
    assert mends(wrong._replace(is_archived=True)) == {}
    by_size = state(changed={"retention_bytes": "604800000"})._replace(is_archived=True)
    [finding] = faults(check_topic(by_size, brokers=3))
    assert (finding.check, finding.mend) == ("topic-retention", "pulp-tasks topics mend")
    assert mends(by_size) == {"retention.bytes": "-1"}
    compacted = state(changed={"cleanup_policy": "compact"})._replace(is_archived=True)
    assert [each.check for each in faults(check_topic(compacted, brokers=3))] == ["topic-cleanup"]


def test_the_topic_of_states_is_compacted_and_its_retention_does_not_matter() -> None:
    right = state(changed={"cleanup_policy": "compact", "retention_ms": "604800000"})._replace(is_compacted=True)
    assert check_topic(right, brokers=3) == []
    wrong = state()._replace(is_compacted=True)
    [finding] = faults(check_topic(wrong, brokers=3))
    assert (finding.check, finding.wrong) == ("topic-cleanup", "cleanup.policy is delete, not compact")
    assert mends(wrong) == {"cleanup.policy": "compact"}


@pytest.mark.parametrize(
    ("wrong", "brokers", "check"),
    [
        (state(replication=1), 3, "topic-replication"),
        (state(changed={"min_insync_replicas": "1"}), 3, "topic-insync"),
        (state()._replace(offline=1), 3, "topic-offline"),
        (state()._replace(settings=None), 3, "topic-unread"),
    ],
)
def test_what_endangers_only_with_another_failure_is_a_warning(wrong: TopicState, brokers: int, check: str) -> None:
    [finding] = check_topic(wrong, brokers)
    assert (finding.check, finding.severity) == (check, Severity.WARNING)


def test_one_replica_on_one_broker_is_told_once() -> None:
    assert check_topic(state(replication=1), brokers=1) == []
    [finding] = check_cluster(Cluster(1, {"auto.create.topics.enable": "false"}))
    assert (finding.check, finding.severity) == ("brokers-one", Severity.NOTE)
    assert [each.check for each in check_cluster(Cluster(3, {"auto.create.topics.enable": "true"}))] == [
        "brokers-auto-create"
    ]


def test_topics_with_kafkas_defaults_are_told_and_mended(backend: Backend, tmp_path: Path) -> None:
    prefix = f"made-before-{uuid4().hex[:8]}"
    topics = Topics.named(prefix)
    client = AdminClient({"bootstrap.servers": backend.kafka})
    made = client.create_topics([NewTopic(name, num_partitions=2, replication_factor=1) for name in topics[:2]])
    for future in made.values():
        future.result()
    connection = admin.connect(backend.kafka)
    found = topic_states.findings(connection, topics)
    assert {(each.check, each.subject) for each in faults(found)} == {
        (check, name) for check in ("topic-retention", "topic-times") for name in topics[:2]
    }
    assert ("topic-missing", topics.audit, Severity.WARNING) in [
        (each.check, each.subject, each.severity) for each in found
    ]
    env = environment(tmp_path, PULP_KAFKA=backend.kafka, PULP_TOPIC_PREFIX=prefix)
    tried = pulp_tasks("topics", "mend", "--dry-run", "--output", "json", env=env)
    assert tried.returncode == 0, tried.stderr
    assert "pulp-tasks topics create" in tried.stderr
    changes = json.loads(tried.stdout)["changes"]
    assert {(each["setting"], each["before"], each["after"]) for each in changes} == {
        ("retention.ms", "604800000", "-1"),
        ("message.timestamp.type", "CreateTime", "LogAppendTime"),
    }
    assert faults(topic_states.findings(connection, topics))  # nothing was changed
    mended = pulp_tasks("topics", "mend", "--output", "json", env=env)
    assert json.loads(mended.stdout) == {"changed": True, "changes": changes}
    assert faults(topic_states.findings(connection, topics)) == []
    again = pulp_tasks("topics", "mend", env=env)
    assert again.stdout == "nothing to mend\n"
