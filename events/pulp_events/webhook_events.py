"""The events of subscriptions (webhooks), as frozen facts. Their union, `WebhookData`, closes the set.

They are in a topic of their own, `Topics.subscriptions`, with one partition. No event holds a secret: a secret has an
id here, and is kept in Postgres alone.
"""

from datetime import datetime
from typing import Annotated, Final, TypeAlias, final
from uuid import UUID

from msgspec import Meta, Struct

from pulp_events.events import Name
from pulp_events.filters import EVERYTHING, Filter

MOST_URL: Final = 2000
"""The longest URL, in characters."""
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
Version: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1, description="Of the subscription that it was made from.")]
Offsets: TypeAlias = Annotated[
    tuple[Annotated[int, Meta(ge=0)], ...],
    Meta(max_length=100_000, description="The next offset of each partition of the topic of tasks, in their order."),
]


class Start(Struct, frozen=True, kw_only=True, gc=False):
    """From where on events are delivered: a place in one topic of tasks."""

    topic_id: Name
    offsets: Offsets
    """A partition that came later starts at its beginning."""


class Endpoint(Struct, frozen=True, kw_only=True, gc=False):
    """What a subscription delivers, and where to."""

    name: Name
    url: Annotated[str, Meta(min_length=1, max_length=MOST_URL)]
    wanted: Filter = EVERYTHING


@final
class SubscriptionCreated(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants events to be delivered, as far as the event's actor may see their tasks."""

    endpoint: Endpoint
    start: Start
    secret_id: UUID


@final
class SubscriptionPaused(Struct, frozen=True, kw_only=True, gc=False):
    """Nothing is delivered until it is resumed; its place stays."""


@final
class SubscriptionResumed(Struct, frozen=True, kw_only=True, gc=False):
    """Deliver again, from where it stopped."""


@final
class SubscriptionParked(Struct, frozen=True, kw_only=True, gc=False):
    """The deliverer gives the endpoint up until somebody resumes it. It has no effect on another version."""

    version: Version
    reason: Annotated[str, Meta(max_length=1024)]


@final
class RedeliveryRequested(Struct, frozen=True, kw_only=True, gc=False):
    """Deliver again from here on, with the ids of before; what is parked as well. It resumes the subscription."""

    start: Start


@final
class SecretRotated(Struct, frozen=True, kw_only=True, gc=False):
    """There is a new secret. Until then, requests are signed with the one before as well."""

    secret_id: UUID
    previous_until: Moment


@final
class TestRequested(Struct, frozen=True, kw_only=True, gc=False):
    """Send one test event, once, whatever the state is. The test has the id of this event."""

    __test__ = False  # not a pytest test


@final
class SubscriptionRemoved(Struct, frozen=True, kw_only=True, gc=False):
    """The subscription ends; its secrets are deleted."""


WebhookData = (
    SubscriptionCreated
    | SubscriptionPaused
    | SubscriptionResumed
    | SubscriptionParked
    | RedeliveryRequested
    | SecretRotated
    | TestRequested
    | SubscriptionRemoved
)


class WebhookEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One CloudEvents 1.0 envelope with its data. `time` is the author's clock: data, never an order."""

    id: UUID
    subscription_id: UUID
    time: datetime
    actor: Name
    """Who: `user:NAME`, or `deliverer`."""
    data: WebhookData
    correlation_id: str | None = None
