"""Subscriptions: which event has which effect, and their bytes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from pulp_events.errors import InvalidEvent, UndecodableRecord
from pulp_events.filters import Filter
from pulp_events.webhook import Webhook, WebhookReason, WebhookState, WithoutEffect, evolve_webhook
from pulp_events.webhook_codec import WEBHOOK_TYPES, decode_webhook_event, encode_webhook_event, webhook_key
from pulp_events.webhook_events import (
    Endpoint,
    RedeliveryRequested,
    SecretRotated,
    Start,
    SubscriptionCreated,
    SubscriptionParked,
    SubscriptionPaused,
    SubscriptionRemoved,
    SubscriptionResumed,
    TestRequested,
    WebhookData,
)

from tests.support.webhooks import NOON, SECRET_ID, created, webhook_event

OTHER_SECRET = UUID("3c1f0c5e-0f5b-4c39-9d3a-7c2a44a1b002")
START = Start(topic_id="topic", offsets=(1, 2))
ROTATED = SecretRotated(secret_id=OTHER_SECRET, previous_until=NOON)
ALL: list[WebhookData] = [
    SubscriptionCreated(endpoint=Endpoint(name="chat", url="https://e.example/"), start=START, secret_id=SECRET_ID),
    SubscriptionPaused(),
    SubscriptionResumed(),
    SubscriptionParked(version=1, reason="it failed"),
    RedeliveryRequested(start=START),
    ROTATED,
    TestRequested(),
    SubscriptionRemoved(),
]


def fold(*data: WebhookData) -> Webhook:
    """The subscription after its creation and these events, each of which must have an effect."""
    found: Webhook | WithoutEffect | None = evolve_webhook(
        None, created("https://e.example/"), 0, 0, is_name_taken=False
    )
    for offset, each in enumerate(data, 1):
        assert isinstance(found, Webhook)
        found = evolve_webhook(found, webhook_event(each), offset, offset, is_name_taken=False)
    assert isinstance(found, Webhook), found
    return found


def effect(webhook: Webhook | None, data: WebhookData, *, is_name_taken: bool = False) -> str:
    """The state that an event leads to, or why it has no effect."""
    found = evolve_webhook(webhook, webhook_event(data), 9, 9, is_name_taken=is_name_taken)
    if isinstance(found, WithoutEffect):
        return str(found.reason)
    return "removed" if found.removed_at_ms is not None else str(found.state)


PARKED = SubscriptionParked(version=1, reason="it failed")
TABLE = [
    # no subscription, active, paused, parked, removed
    ("unknown subscription", "paused", "unchanged", "paused", "removed", SubscriptionPaused()),
    ("unknown subscription", "unchanged", "active", "active", "removed", SubscriptionResumed()),
    ("unknown subscription", "parked", "stale", "stale", "removed", PARKED),
    ("unknown subscription", "active", "active", "active", "removed", RedeliveryRequested(start=START)),
    ("unknown subscription", "active", "paused", "parked", "removed", ROTATED),
    ("unknown subscription", "active", "paused", "parked", "removed", TestRequested()),
    ("unknown subscription", "removed", "removed", "removed", "removed", SubscriptionRemoved()),
    ("active", "duplicate", "duplicate", "duplicate", "removed", ALL[0]),
]


@pytest.mark.parametrize(("unknown", "active", "paused", "parked", "removed", "data"), TABLE)
def test_every_cell_of_the_state_table(
    unknown: str, active: str, paused: str, parked: str, removed: str, data: WebhookData
) -> None:
    found = [
        effect(None, data),
        effect(fold(), data),
        effect(fold(SubscriptionPaused()), data),
        effect(fold(PARKED), data),
        effect(fold(SubscriptionRemoved()), data),
    ]
    assert found == [unknown, active, paused, parked, removed]


def test_a_name_is_taken_only_once() -> None:
    assert effect(None, ALL[0], is_name_taken=True) == WebhookReason.NAME_TAKEN


def test_an_endpoint_is_not_given_up_by_what_was_known_before_a_change() -> None:
    resumed = fold(PARKED, SubscriptionResumed())
    assert effect(resumed, PARKED) == WebhookReason.STALE
    assert effect(resumed, SubscriptionParked(version=3, reason="again")) == WebhookState.PARKED


def test_two_secrets_sign_until_the_overlap_ends() -> None:
    rotated = fold(ROTATED)
    assert rotated.secrets_at(NOON - timedelta(seconds=1)) == [OTHER_SECRET, SECRET_ID]
    assert rotated.secrets_at(NOON) == [OTHER_SECRET]
    assert fold().secrets_at(NOON) == [SECRET_ID]
    assert effect(rotated, ROTATED) == WebhookReason.DUPLICATE


def test_a_test_changes_nothing() -> None:
    before = fold()
    after = fold(TestRequested())
    assert msgspec.structs.replace(after, offset=before.offset) == before


@pytest.mark.parametrize("data", ALL, ids=lambda data: type(data).__name__)
def test_every_event_is_the_same_after_its_bytes(data: WebhookData) -> None:
    event = webhook_event(data)
    value = encode_webhook_event(event)
    assert decode_webhook_event(webhook_key(event), value) == event
    assert msgspec.json.decode(value)["type"] == WEBHOOK_TYPES[type(data)]


def test_a_filter_survives_its_bytes() -> None:
    event = created("https://e.example/", wanted=Filter(types=("finished",), operations=("sync",)))
    found = decode_webhook_event(webhook_key(event), encode_webhook_event(event))
    assert isinstance(found.data, SubscriptionCreated)
    assert found.data.endpoint.wanted == Filter(types=("finished",), operations=("sync",))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"types":["org.pulpproject.task.finished.v1"]', '"types":["ended"]'), ('"name":"chat"', '"name":""')],
)
def test_what_breaks_the_contract_is_no_event(old: str, new: str) -> None:
    event = created("https://e.example/", wanted=Filter(types=("finished",)))
    value = encode_webhook_event(event).decode()
    assert old in value
    with pytest.raises(UndecodableRecord):
        decode_webhook_event(webhook_key(event), value.replace(old, new).encode())


def test_a_time_out_of_range_is_not_written() -> None:
    with pytest.raises(InvalidEvent):
        encode_webhook_event(
            webhook_event(SecretRotated(secret_id=SECRET_ID, previous_until=datetime(9999, 12, 31, tzinfo=UTC)))
        )
