"""The subscription (webhook) and its state machine: `evolve_webhook` is the only place where its state changes. Pure.

                    ┌── paused ──▶ PAUSED ─┐
created ─▶ ACTIVE ──┤                      ├─ resumed, redelivery-requested ─▶ ACTIVE
                    └── parked ──▶ PARKED ─┘

`removed` ends it in any state.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from pulp_events.webhook_events import (
    Endpoint,
    RedeliveryRequested,
    SecretRotated,
    SubscriptionCreated,
    SubscriptionParked,
    SubscriptionPaused,
    SubscriptionRemoved,
    SubscriptionResumed,
    TestRequested,
    WebhookEvent,
)


class WebhookState(StrEnum):
    """Whether a subscription delivers."""

    ACTIVE = "active"
    PAUSED = "paused"
    """By a user."""
    PARKED = "parked"
    """By the deliverer: the endpoint has failed too often."""


class WebhookReason(StrEnum):
    """Why an event of a subscription has no effect. Kept in the history, word for word."""

    DUPLICATE = "duplicate"
    UNKNOWN_SUBSCRIPTION = "unknown subscription"
    NAME_TAKEN = "name is taken"
    REMOVED = "removed"
    STALE = "stale"
    UNCHANGED = "unchanged"


class WithoutEffect(NamedTuple):
    """The event changes nothing, and why."""

    reason: WebhookReason


class Webhook(Struct, frozen=True, kw_only=True):
    """Everything known about a subscription: the fold of its events. Times are the broker's, in ms since the epoch."""

    subscription_id: UUID
    endpoint: Endpoint
    state: WebhookState = WebhookState.ACTIVE
    reason: str | None = None
    """Why it is parked."""
    version: int = 1
    """It counts the changes."""
    secret_id: UUID
    previous_secret_id: UUID | None = None
    previous_until: datetime | None = None
    """How long the old secret signs requests as well."""
    created_by: str
    created_at_ms: int
    updated_by: str
    updated_at_ms: int
    removed_at_ms: int | None = None
    offset: int
    """The offset of the last effective event."""

    def secrets_at(self, now: datetime) -> list[UUID]:
        """The ids of the secrets that sign a request now; the newest first."""
        if self.previous_secret_id is None or self.previous_until is None or now >= self.previous_until:
            return [self.secret_id]
        return [self.secret_id, self.previous_secret_id]


def evolve_webhook(
    webhook: Webhook | None, event: WebhookEvent, offset: int, at_ms: int, *, is_name_taken: bool
) -> Webhook | WithoutEffect:
    """The subscription after the event, or why the event changes nothing. Total; nothing raises.

    `at_ms` is the broker's time of the record. `is_name_taken` says whether another subscription has the name that the
    event gives this one.
    """
    data = event.data
    if webhook is None:
        if type(data) is not SubscriptionCreated:
            return WithoutEffect(WebhookReason.UNKNOWN_SUBSCRIPTION)
        return WithoutEffect(WebhookReason.NAME_TAKEN) if is_name_taken else _created(event, data, offset, at_ms)
    if webhook.removed_at_ms is not None:
        return WithoutEffect(WebhookReason.REMOVED)
    by = {"version": webhook.version + 1, "updated_by": event.actor, "updated_at_ms": at_ms, "offset": offset}
    match data:
        case SubscriptionCreated():
            return WithoutEffect(WebhookReason.DUPLICATE)
        case SubscriptionPaused():
            if webhook.state is WebhookState.PAUSED:
                return WithoutEffect(WebhookReason.UNCHANGED)
            return replace(webhook, state=WebhookState.PAUSED, reason=None, **by)
        case SubscriptionResumed():
            if webhook.state is WebhookState.ACTIVE:
                return WithoutEffect(WebhookReason.UNCHANGED)
            return replace(webhook, state=WebhookState.ACTIVE, reason=None, **by)
        case SubscriptionParked(version=version, reason=reason):
            if version != webhook.version or webhook.state is not WebhookState.ACTIVE:
                return WithoutEffect(WebhookReason.STALE)
            return replace(webhook, state=WebhookState.PARKED, reason=reason, **by)
        case RedeliveryRequested():
            return replace(webhook, state=WebhookState.ACTIVE, reason=None, **by)
        case SecretRotated(secret_id=secret_id, previous_until=until):
            if secret_id == webhook.secret_id:
                return WithoutEffect(WebhookReason.DUPLICATE)
            previous = {"previous_secret_id": webhook.secret_id, "previous_until": until.astimezone(UTC)}
            return replace(webhook, secret_id=secret_id, **previous, **by)
        case TestRequested():
            return replace(webhook, offset=offset)
        case SubscriptionRemoved():
            return replace(webhook, removed_at_ms=at_ms, **by)
    assert_never(data)


def _created(event: WebhookEvent, data: SubscriptionCreated, offset: int, at_ms: int) -> Webhook:
    return Webhook(
        subscription_id=event.subscription_id,
        endpoint=data.endpoint,
        secret_id=data.secret_id,
        created_by=event.actor,
        created_at_ms=at_ms,
        updated_by=event.actor,
        updated_at_ms=at_ms,
        offset=offset,
    )
