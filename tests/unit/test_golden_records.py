"""The records of all topics besides the tasks' stay readable for ever: these were written once, and are fixed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from msgspec import Raw
from pulp_events.audit import AuditRecord, decode_audit, encode_audit
from pulp_events.events import Access, Resource, TaskError
from pulp_events.filters import Filter
from pulp_events.task import State
from pulp_events.task_states import TaskState, decode_state
from pulp_events.webhook_codec import WEBHOOK_TYPES, decode_webhook_event, encode_webhook_event
from pulp_events.webhook_events import (
    Endpoint,
    RedeliveryRequested,
    SecretRotated,
    Start,
    SubscriptionCreated,
    SubscriptionParked,
)

GOLDEN = Path(__file__).parents[1] / "golden"
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
TOPIC = "Zq2kWm1bR9mQmXc0f7yJxw"
GROUP = UUID("0193f3f0-7a00-7000-8000-0000000000aa")
FIRST_SECRET, SECOND_SECRET = (UUID(f"3c1f0c5e-0f5b-4c39-9d3a-7c2a44a1b00{number}") for number in (1, 2))


def lines_of(name: str) -> list[bytes]:
    return (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()


SUBSCRIPTIONS, STATES, AUDIT = map(lines_of, ("subscription-events-v1", "states-v1", "audit-records-v1"))


def key_of_line(line: bytes) -> bytes:
    subject: str = json.loads(line)["subject"]
    return subject.encode()


def test_the_golden_events_of_subscriptions_are_of_every_type() -> None:
    assert {json.loads(line)["type"] for line in SUBSCRIPTIONS} == set(WEBHOOK_TYPES.values())


@pytest.mark.parametrize("line", SUBSCRIPTIONS, ids=lambda line: json.loads(line)["id"][-3:])
def test_a_golden_event_of_a_subscription_decodes_for_ever(line: bytes) -> None:
    event = decode_webhook_event(key_of_line(line), line)
    assert WEBHOOK_TYPES[type(event.data)] == json.loads(line)["type"]
    assert json.loads(encode_webhook_event(event)) == json.loads(line)


def test_the_golden_events_of_subscriptions_mean_what_they_meant() -> None:
    first, second, _, _, parked, redelivered, rotated, *_ = (
        decode_webhook_event(key_of_line(line), line) for line in SUBSCRIPTIONS
    )
    chat = Endpoint(name="chat", url="https://chat.example/hooks/pulp")
    start = Start(topic_id=TOPIC, offsets=(120, 0, 98, 7))
    assert (first.actor, first.time, first.correlation_id) == ("user:zoë", NOON + timedelta(seconds=1), None)
    assert first.data == SubscriptionCreated(endpoint=chat, start=start, secret_id=FIRST_SECRET)
    assert second.correlation_id == "6f1d"
    assert isinstance(second.data, SubscriptionCreated)
    assert second.data.endpoint.wanted == Filter(
        types=("finished",),
        operations=("sync",),
        resources=("repository:zoo",),
        actors=("user:jo",),
        groups=(GROUP,),
    )
    assert parked.data == SubscriptionParked(version=4, reason="https://chat.example/hooks/pulp answered 410 Gone")
    assert redelivered.data == RedeliveryRequested(start=Start(topic_id=TOPIC, offsets=(100, 0, 98, 7)))
    assert rotated.data == SecretRotated(secret_id=SECOND_SECRET, previous_until=datetime(2026, 11, 30, 12, tzinfo=UTC))


def test_the_golden_states_mean_what_they_meant() -> None:
    accepted_at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    zoo = Resource("repository", "zoo", Access.EXCLUSIVE)
    expected = [
        TaskState(
            state=State.RUNNING,
            version=3,
            position="2:42",
            operation="sync",
            resources=(zoo,),
            created_by="user:admin",
            group_id=None,
            parent_id=None,
            queue="default",
            priority=0,
            attempt=1,
            worker="w1",
            progress=Raw(b'{"items_done":7,"items_total":12}'),
            error=None,
            accepted_at=accepted_at,
            started_at=accepted_at + timedelta(seconds=1.5),
            finished_at=None,
            updated_at=accepted_at + timedelta(seconds=3),
        ),
        TaskState(
            state=State.FAILED,
            version=3,
            position="0:42",
            operation="publish",
            resources=(zoo, Resource("content_unit", "orphans", Access.SHARED)),
            created_by="user:admin",
            group_id=GROUP,
            parent_id=None,
            queue="slow",
            priority=-5,
            attempt=1,
            worker="w1",
            progress=Raw(b"{}"),
            error=TaskError("operation-failed", "no route to host"),
            accepted_at=accepted_at,
            started_at=accepted_at + timedelta(seconds=1.5),
            finished_at=accepted_at + timedelta(seconds=3),
            updated_at=accepted_at + timedelta(seconds=3),
        ),
    ]
    found = [decode_state(key_of_line(line), line).state for line in STATES]
    assert [json.loads(msgspec.json.encode(each)) for each in found] == [
        json.loads(msgspec.json.encode(each)) for each in expected
    ]


@pytest.mark.parametrize("line", AUDIT, ids=lambda line: json.loads(line)["id"][-3:])
def test_a_golden_record_of_the_audit_decodes_for_ever(line: bytes) -> None:
    assert json.loads(encode_audit(decode_audit(line))) == json.loads(line)


def test_the_golden_records_of_the_audit_mean_what_they_meant() -> None:
    first, second, third = map(decode_audit, AUDIT)
    assert first == AuditRecord(
        what="login-failed",
        outcome="failure",
        actor="user:jo",
        is_claimed=True,
        address="192.0.2.7",
        method="basic",
        count=3,
        since=NOON,
        time=NOON + timedelta(seconds=9),
        id=UUID("0193f3f0-7a00-7000-8000-000000000301"),
    )
    assert (second.actor, second.target, second.detail, second.correlation_id) == ("user:zoë", "jo", "operator", "6f1d")
    assert (third.what, third.detail) == ("task-healed", "generation 1, at 1:18: tasks.worker")
