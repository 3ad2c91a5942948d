"""Subscriptions in the JSON of the v3 dialect. Pure."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from pulp_events.cursor import Cursor
from pulp_events.task import Position
from pulp_events.webhook import Webhook
from pulp_projections.times import moment
from pulp_projections.webhooks.reading import Delivery, ParkedTask, WebhookProgress

from pulp_api.respond import instant
from pulp_api.v3.references import Kind, user_href
from pulp_api.v3.tasks import href_of


def subscription_href(subscription_id: UUID) -> str:
    """The subscription's relative URL."""
    return Kind.SUBSCRIPTION.href(subscription_id)


def subscription_shape(webhook: Webhook, progress: WebhookProgress | None, partitions: int) -> dict[str, Any]:
    """What a user sees of an own subscription. Never a secret."""
    shown = {
        "pulp_href": subscription_href(webhook.subscription_id),
        "prn": Kind.SUBSCRIPTION.prn(webhook.subscription_id),
        "pulp_created": instant(moment(webhook.created_at_ms)),
        "pulp_last_updated": instant(moment(webhook.updated_at_ms)),
        "name": webhook.endpoint.name,
        "url": webhook.endpoint.url,
        "filter": msgspec.to_builtins(webhook.endpoint.wanted, str_keys=True),
        "state": webhook.state,
        "reason": webhook.reason,
        "created_by": user_href(webhook.created_by),
        "updated_by": user_href(webhook.updated_by),
        "version": webhook.version,
        "previous_secret_until": instant(webhook.previous_until),
    }
    if progress is None:
        return {**shown, **dict.fromkeys(_PROGRESS)}
    place = Cursor(progress.topic_id, tuple(progress.offsets(partitions)))
    values = (
        str(place),
        progress.delivered,
        progress.failures,
        instant(progress.retry_at),
        progress.parked_tasks,
        instant(progress.last_success_at),
        instant(progress.last_failure_at),
        progress.last_error,
    )
    return {**shown, **dict(zip(_PROGRESS, values, strict=True))}


_PROGRESS = (
    *("cursor", "delivered", "failures_in_a_row", "next_attempt", "parked_tasks"),
    *("last_success", "last_failure", "last_error"),
)


def delivery_shape(delivery: Delivery) -> dict[str, Any]:
    """A row of the delivery log; a test has neither position nor task."""
    is_test = delivery.partition is None or delivery.offset is None
    return {
        "event_id": str(delivery.event_id),
        "event_type": delivery.event_type,
        "position": None if is_test else str(Position(delivery.partition or 0, delivery.offset or 0)),
        "task": None if delivery.task_id is None else href_of(delivery.task_id),
        "outcome": delivery.outcome,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": delivery.error,
        "took_ms": delivery.took_ms,
        "first_at": instant(delivery.first_at),
        "last_at": instant(delivery.last_at),
        "next_attempt": instant(delivery.next_at),
    }


def parked_shapes(tasks: Sequence[ParkedTask]) -> list[dict[str, Any]]:
    """The tasks whose events wait for a redelivery."""
    return [
        {
            "task": href_of(task.task_id),
            "position": str(Position(task.partition, task.offset)),
            "error": task.error,
            "parked_at": instant(task.parked_at),
        }
        for task in tasks
    ]
