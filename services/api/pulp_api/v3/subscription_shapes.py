"""Subscriptions in the JSON of the v3 dialect. Pure."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypedDict, cast, get_args
from uuid import UUID

import msgspec
from msgspec import Meta
from pulp_events.cursor import Cursor
from pulp_events.task import Position
from pulp_events.webhook import Webhook, WebhookState
from pulp_projections.times import moment
from pulp_projections.webhooks.reading import Delivery, ParkedTask, WebhookProgress

from pulp_api.respond import instant
from pulp_api.v3.answers import Time
from pulp_api.v3.references import Kind, user_href
from pulp_api.v3.tasks import href_of

DeliveryOutcome = Literal["delivered", "retried", "parked", "given-up", "pending", "failed"]
OUTCOMES: Final[tuple[str, ...]] = get_args(DeliveryOutcome)


class SubscriptionResponse(TypedDict):
    """A subscription; its progress is null until the first delivery."""

    pulp_href: str
    prn: str
    pulp_created: Time
    pulp_last_updated: Time
    name: str
    url: str
    filter: Annotated[
        dict[str, list[str]], Meta(description="Which events to deliver, by field; a field left out matches any.")
    ]
    state: WebhookState
    reason: Annotated[str | None, Meta(description="Why it is parked.")]
    created_by: str | None
    updated_by: str | None
    version: int
    previous_secret_until: Annotated[Time | None, Meta(description="Until when the old secret signs as well.")]
    cursor: Annotated[str | None, Meta(description="All events before it are settled.")]
    delivered: Annotated[int | None, Meta(description="The number of events delivered, including repeated ones.")]
    failures_in_a_row: Annotated[int | None, Meta(description="Of the endpoint.")]
    next_attempt: Time | None
    parked_tasks: Annotated[int | None, Meta(description="Tasks whose events wait for a redelivery.")]
    last_success: Time | None
    last_failure: Time | None
    last_error: str | None


class ParkedTaskResponse(TypedDict):
    """A task whose events wait for a redelivery."""

    task: str
    position: str
    error: str | None
    parked_at: Time


class SingleSubscriptionResponse(SubscriptionResponse):
    """A subscription, and the events that it could not deliver."""

    parked: list[ParkedTaskResponse]


class SubscriptionSecretResponse(SubscriptionResponse):
    """A subscription with its new secret."""

    secret: Annotated[str, Meta(description="It is not shown again.")]


class DeliveryResponse(TypedDict):
    """A row of the delivery log."""

    event_id: Annotated[str, Meta(description="The `webhook-id` of the request.")]
    event_type: str
    position: str | None
    task: str | None
    outcome: DeliveryOutcome
    attempts: int
    status: Annotated[int | None, Meta(description="The HTTP status of the last answer.")]
    error: str | None
    took_ms: int | None
    first_at: Time
    last_at: Time
    next_attempt: Time | None


def subscription_href(subscription_id: UUID) -> str:
    """The subscription's relative URL."""
    return Kind.SUBSCRIPTION.href(subscription_id)


def subscription_shape(webhook: Webhook, progress: WebhookProgress | None, partitions: int) -> SubscriptionResponse:
    """What a user sees of an own subscription. Never a secret."""
    place = None if progress is None else Cursor(progress.topic_id, tuple(progress.offsets(partitions)))
    return {
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
        "cursor": None if place is None else str(place),
        "delivered": None if progress is None else progress.delivered,
        "failures_in_a_row": None if progress is None else progress.failures,
        "next_attempt": None if progress is None else instant(progress.retry_at),
        "parked_tasks": None if progress is None else progress.parked_tasks,
        "last_success": None if progress is None else instant(progress.last_success_at),
        "last_failure": None if progress is None else instant(progress.last_failure_at),
        "last_error": None if progress is None else progress.last_error,
    }


def delivery_shape(delivery: Delivery) -> DeliveryResponse:
    """A row of the delivery log; a test has neither position nor task."""
    is_test = delivery.partition is None or delivery.offset is None
    return {
        "event_id": str(delivery.event_id),
        "event_type": delivery.event_type,
        "position": None if is_test else str(Position(delivery.partition or 0, delivery.offset or 0)),
        "task": None if delivery.task_id is None else href_of(delivery.task_id),
        "outcome": cast("DeliveryOutcome", delivery.outcome),  # as the deliverer writes it
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": delivery.error,
        "took_ms": delivery.took_ms,
        "first_at": instant(delivery.first_at),
        "last_at": instant(delivery.last_at),
        "next_attempt": instant(delivery.next_at),
    }


def parked_shapes(tasks: Sequence[ParkedTask]) -> list[ParkedTaskResponse]:
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
