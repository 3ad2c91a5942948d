"""Rows of subscriptions ↔ subscriptions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

import msgspec
from pulp_events.webhook import Webhook, WebhookState
from pulp_events.webhook_events import Endpoint

from pulp_projections.sql import load
from pulp_projections.times import moment

_PARTS: Final = load("pulp_projections.webhooks", "webhooks.sql")
SQL: Final[dict[str, LiteralString]] = load("pulp_projections.webhooks", "webhooks.sql", {"columns": _PARTS["columns"]})
"""The statements; `{conditions}` and `{order}` of the lists are still to be filled in."""
COLUMNS: Final = 14
_endpoint: Final = msgspec.json.Decoder(Endpoint).decode


def webhook_of(row: Sequence[Any]) -> Webhook:
    """The subscription in the first `COLUMNS` values of a row."""
    subscription_id, endpoint, state, reason, version, secret_id, previous_secret_id, previous_until = row[:8]
    created_by, created_at, updated_by, updated_at, removed_at, last_offset = row[8:COLUMNS]
    return Webhook(
        subscription_id=subscription_id,
        endpoint=_endpoint(endpoint),
        state=WebhookState(state),
        reason=reason,
        version=version,
        secret_id=secret_id,
        previous_secret_id=previous_secret_id,
        previous_until=None if previous_until is None else previous_until.astimezone(UTC),
        created_by=created_by,
        created_at_ms=_ms(created_at),
        updated_by=updated_by,
        updated_at_ms=_ms(updated_at),
        removed_at_ms=None if removed_at is None else _ms(removed_at),
        offset=last_offset,
    )


def values_of(webhook: Webhook) -> dict[str, Any]:
    """The values of the row, by name."""
    return {
        "subscription_id": webhook.subscription_id,
        "name": webhook.endpoint.name,
        "endpoint": msgspec.json.encode(webhook.endpoint),
        "state": webhook.state,
        "reason": webhook.reason,
        "version": webhook.version,
        "secret_id": webhook.secret_id,
        "previous_secret_id": webhook.previous_secret_id,
        "previous_until": webhook.previous_until,
        "created_by": webhook.created_by,
        "created_at": moment(webhook.created_at_ms),
        "updated_by": webhook.updated_by,
        "updated_at": moment(webhook.updated_at_ms),
        "removed_at": moment(webhook.removed_at_ms),
        "last_offset": webhook.offset,
    }


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
