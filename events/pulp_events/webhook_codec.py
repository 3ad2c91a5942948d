"""Bytes ↔ events of subscriptions."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from pulp_events.ordered_codec import OrderedCodec, key_of_subject
from pulp_events.webhook_events import (
    RedeliveryRequested,
    SecretRotated,
    SubscriptionCreated,
    SubscriptionParked,
    SubscriptionPaused,
    SubscriptionRemoved,
    SubscriptionResumed,
    TestRequested,
    WebhookData,
    WebhookEvent,
)

WEBHOOK_TYPES: Final[dict[type[WebhookData], str]] = {
    SubscriptionCreated: "org.pulpproject.subscription.created.v1",
    SubscriptionPaused: "org.pulpproject.subscription.paused.v1",
    SubscriptionResumed: "org.pulpproject.subscription.resumed.v1",
    SubscriptionParked: "org.pulpproject.subscription.parked.v1",
    RedeliveryRequested: "org.pulpproject.subscription.redelivery-requested.v1",
    SecretRotated: "org.pulpproject.subscription.secret-rotated.v1",
    TestRequested: "org.pulpproject.subscription.test-requested.v1",
    SubscriptionRemoved: "org.pulpproject.subscription.removed.v1",
}
"""The wire types: literals, which never change."""


def encode_webhook_event(event: WebhookEvent) -> bytes:
    """The value of the event's record. Raises `InvalidEvent` for one that breaks the contract, `EventTooLarge`."""
    return _CODEC.encode(event.id, event.subscription_id, event.time, event.actor, event.data, event.correlation_id)


def decode_webhook_event(key: bytes | None, value: bytes | None) -> WebhookEvent:
    """The event of a record. Raises `UnknownType` for another type, else `UndecodableRecord`."""
    envelope, data = _CODEC.decode(key, value)
    return WebhookEvent(
        id=envelope.id,
        subscription_id=envelope.subject,
        time=envelope.time,
        actor=envelope.actor,
        data=data,
        correlation_id=envelope.correlationid or None,
    )


def webhook_key(event: WebhookEvent) -> bytes:
    """The record's key: the subscription's id as text."""
    return key_of_subject(event.subscription_id)


def _times(data: WebhookData) -> Iterator[datetime]:
    if isinstance(data, SecretRotated):
        yield data.previous_until


_CODEC: Final = OrderedCodec[WebhookData](WEBHOOK_TYPES, "a subscription", _times)
