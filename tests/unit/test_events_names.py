"""What never changes, or what others rely on: public names, wire names, partitions, ids, settings."""

import pulp_events
from pulp_events.codec import EVERY_TYPE, key_of
from pulp_events.events import Access, ErrorCode, Resource
from pulp_events.ids import derived_id, new_id
from pulp_events.task import FINAL, Reason, State
from pulp_events.topics import Topics, partition_of

from tests.support.events import TASK


def test_the_public_names() -> None:
    assert sorted(pulp_events.__all__) == [
        "Accepted",
        "Access",
        "AsyncSubscription",
        "AttemptFailed",
        "CancelRequested",
        "Cursor",
        "Event",
        "FINAL",
        "Filter",
        "Finished",
        "Ignored",
        "Outcome",
        "Position",
        "Progress",
        "PulpError",
        "Purged",
        "Reason",
        "Received",
        "Resource",
        "Retry",
        "Start",
        "Started",
        "State",
        "Subscription",
        "Task",
        "TaskError",
        "UnknownEvent",
        "Unparked",
        "evolve",
        "json_value",
        "parse_start",
        "subscribe",
        "subscribe_async",
    ]
    assert all(getattr(pulp_events, name) is not None for name in pulp_events.__all__)


def test_the_words_of_the_wire() -> None:
    assert sorted(EVERY_TYPE.values()) == [
        "org.pulpproject.task.accepted.v1",
        "org.pulpproject.task.accepted.v2",
        "org.pulpproject.task.attempt-failed.v1",
        "org.pulpproject.task.cancel-requested.v1",
        "org.pulpproject.task.cancel-requested.v2",
        "org.pulpproject.task.finished.v1",
        "org.pulpproject.task.progress.v1",
        "org.pulpproject.task.purged.v1",
        "org.pulpproject.task.started.v1",
        "org.pulpproject.task.unparked.v1",
    ]
    assert [*ErrorCode] == [
        "operation-failed",
        "bad-arguments",
        "operation-crashed",
        "operation-stuck",
        "loop-blocked",
        "result-too-large",
        "result-not-json",
        "worker-lost",
        "worker-stopped",
        "lease-lost",
        "timeout",
        "deadline-exceeded",
        "cancel-abandoned",
        "dependency-failed",
        "personal-data-erased",
        "personal-data-unreadable",
    ]
    assert key_of(TASK) == b"e0e0a250-eded-468f-9d97-0419a00b130f"
    names = (
        "pulp.tasks.events",
        "pulp.tasks.dead-letters",
        "pulp.tasks.audit",
        "pulp.schedules.events",
        "pulp.subscriptions.events",
        "pulp.tasks.checkpoints",
        "pulp.tasks.state",
    )
    assert Topics.named() == names
    assert Topics.named("x").schedules == "x.schedules"
    assert Topics.named("x").subscriptions == "x.subscriptions"
    assert Topics.named("x").events == "x.events"
    assert Topics.named("x").states == "x.state"
    assert [name for name in Topics.named() if Topics.named().is_compacted(name)] == ["pulp.tasks.state"]


def test_the_words_of_the_history() -> None:
    assert {*State} - FINAL == {"waiting", "running", "cancelling"}
    assert [*Reason] == [
        "duplicate",
        "unknown task",
        "attempt is taken",
        "cancel came first",
        "not started",
        "stale",
        "not cancellable",
        "already requested",
        "final",
        "not finished",
        "already purged",
        "wrong partition",
        "unknown type",
        "about a dead letter",
    ]


def crc32_bit_by_bit(data: bytes) -> int:
    """CRC-32 of ISO 3309, from its definition: reflected polynomial EDB88320, all ones before and after."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


ZOO = Resource("repository", "zoo")
ORPHANS = Resource("content_unit", "orphans", Access.SHARED)


def test_the_partition_is_that_of_the_first_resource_exclusive_before_shared() -> None:
    assert crc32_bit_by_bit(b"123456789") == 0xCBF43926  # the check value of the standard
    zoo, orphans, task = map(crc32_bit_by_bit, (b"repository:zoo", b"content_unit:orphans", str(TASK).encode()))
    assert (zoo, orphans, task) == (0xDDEAFEFC, 0x12951B81, 0x02E6DFC0)
    for partitions in (1, 4, 48):
        assert partition_of(TASK, [ZOO], partitions) == zoo % partitions
        assert partition_of(TASK, [ORPHANS, ZOO], partitions) == zoo % partitions
        assert partition_of(TASK, [ORPHANS, Resource("a", "b", Access.SHARED)], partitions) == orphans % partitions
        assert partition_of(TASK, [ZOO, Resource("a", "b")], partitions) == zoo % partitions
        assert partition_of(TASK, [], partitions) == task % partitions


def test_new_ids_are_of_version_7_and_in_the_order_of_their_making() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {found.version for found in ids} == {7}


def test_derived_ids_are_the_same_for_ever() -> None:
    assert str(derived_id("a", 1, None)) == "1972e0aa-5b55-500b-9ac3-907952f4e1fe"  # SHA-1 of RFC 9562, 5.5
    assert derived_id("a", "b") != derived_id("ab")
    assert derived_id("a", "b").version == 5
