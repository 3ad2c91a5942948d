"""Subscriptions (webhooks): making and changing them. Each change is an event; it answers once that is projected."""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NamedTuple
from uuid import UUID

from msgspec import Meta, Struct
from pulp_accounts.users import Role
from pulp_events.cursor import Cursor, parse_start
from pulp_events.errors import BadInput, LogUnavailable, OffsetOutOfRange, TopicMismatch
from pulp_events.events import Name
from pulp_events.filters import EVERYTHING, UNDECODABLE, Filter
from pulp_events.ids import new_id
from pulp_events.log import TimedLog
from pulp_events.webhook import Webhook, WebhookReason, WebhookState
from pulp_events.webhook_events import (
    MOST_URL,
    Endpoint,
    RedeliveryRequested,
    SecretRotated,
    Start,
    SubscriptionCreated,
    SubscriptionPaused,
    SubscriptionRemoved,
    SubscriptionResumed,
    TestRequested,
    WebhookData,
    WebhookEvent,
)
from pulp_events.webhook_log import WebhookLog
from pulp_projections.reading.queries import Condition
from pulp_projections.webhooks.projector import find_webhook
from pulp_projections.webhooks.reading import (
    Delivery,
    add_secret,
    effect_of_webhook_event,
    find_test,
    list_webhooks,
    parked_tasks,
    progress_of,
)
from pulp_runtime.outgoing.rules import Refused, literal
from pulp_runtime.outgoing.targets import parse_target

from pulp_api.bodies import check_names, decoded
from pulp_api.effects import effect_of
from pulp_api.errors import NoSuch
from pulp_api.logins.auth import Connect, Principal

SECRET_PREFIX: Final = "whsec_"
LONGEST_OVERLAP_S: Final = 30 * 86_400
MOST_OF_A_USER: Final = 100
"""Each costs the elected processor a look at every event, so what any submitter may make is bounded."""
_SECRET_BYTES: Final = 32
_TEST_S: Final = 35.0
"""How long a test is waited for: longer than a delivery takes by default."""
_TEST_LOOK_S: Final = 0.1
_WHO: Final = (Role.SUBMITTER, Role.OPERATOR)


class NoSubscription(NoSuch):
    """No subscription has this id, or it was removed, or it belongs to another user."""

    def __init__(self, subscription_id: UUID | str) -> None:
        super().__init__("subscription", str(subscription_id))


class BadSubscription(BadInput):
    """A field of a subscription is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class NewSubscription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates a subscription."""

    name: Name
    url: Annotated[str, Meta(max_length=MOST_URL)]
    filter: Filter = EVERYTHING
    since: str = "now"


def parse_new(body: bytes) -> NewSubscription:
    """Raises `BadInput`, which says what is wrong and where."""
    what = "the subscription"
    found = decoded(body, NewSubscription, what)
    check_names(what, [("name", found.name)])
    return found


class Redelivery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that asks for a redelivery."""

    since: str | None = None
    """By default from the first event that is parked."""


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that asks for another secret."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=LONGEST_OVERLAP_S)] = 86_400
    """How long requests are signed with the secret before as well."""


class MadeSubscription(NamedTuple):
    """A subscription with its new secret, which nothing shows again."""

    webhook: Webhook
    secret: str


class Subscriptions:
    """Changes subscriptions for users: submitters, operators and administrators their own, administrators all."""

    def __init__(
        self,
        log: WebhookLog | None,
        tasks: TimedLog,
        topic_id: str,
        connect: Connect,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`tasks` is the log of tasks, `topic_id` the id of its topic."""
        self._log, self._tasks, self._topic_id = log, tasks, topic_id
        self._connect, self._clock = connect, clock

    async def get(self, subscription_id: UUID, principal: Principal) -> Webhook:
        """Raises `NoSubscription`, also for one of another user, unless an administrator asks."""
        async with self._connect() as connection:
            found = await find_webhook(connection, subscription_id)
        if found is None or found.removed_at_ms is not None:
            raise NoSubscription(subscription_id)
        if principal.role is not Role.ADMIN and found.created_by != principal.actor:
            raise NoSubscription(subscription_id)
        return found

    async def create(
        self, wanted: NewSubscription, principal: Principal, *, correlation_id: str | None
    ) -> MadeSubscription:
        """Raises `Forbidden`, `BadSubscription`, `BadInput`, `LogUnavailable`, `PositionNotReached`."""
        principal.need(*_WHO)
        _check_url(wanted.url)
        _check_filter(wanted.filter)
        start = await self._start(wanted.since)
        await self._check_number(principal)
        subscription_id, secret_id, secret = new_id(), new_id(), secrets.token_bytes(_SECRET_BYTES)
        async with self._connect() as connection:
            await add_secret(connection, subscription_id, secret_id, secret)
        endpoint = Endpoint(name=wanted.name, url=wanted.url, wanted=wanted.filter)
        data = SubscriptionCreated(endpoint=endpoint, start=start, secret_id=secret_id)
        if await self._append(subscription_id, data, principal, correlation_id) == WebhookReason.NAME_TAKEN:
            raise BadSubscription("name", "This field must be unique.")
        return MadeSubscription(await self.get(subscription_id, principal), _shown(secret))

    async def pause(self, subscription_id: UUID, principal: Principal, *, correlation_id: str | None) -> Webhook:
        """Stop deliveries until the subscription is resumed; it keeps its place. Raises as `create`, and
        `NoSubscription`."""
        return await self._change(subscription_id, SubscriptionPaused(), principal, correlation_id)

    async def resume(self, subscription_id: UUID, principal: Principal, *, correlation_id: str | None) -> Webhook:
        """Resume deliveries from where they stopped. Raises as `pause`."""
        return await self._change(subscription_id, SubscriptionResumed(), principal, correlation_id)

    async def redeliver(
        self, subscription_id: UUID, since: str | None, principal: Principal, *, correlation_id: str | None
    ) -> Webhook:
        """Deliver again from a start on, or from the first parked event. Raises as `pause`."""
        found = await self._changeable(subscription_id, principal)
        start = await (self._first_parked(found) if since is None else self._start(since))
        return await self._change(subscription_id, RedeliveryRequested(start=start), principal, correlation_id)

    async def rotate(
        self, subscription_id: UUID, overlap: timedelta, principal: Principal, *, correlation_id: str | None
    ) -> MadeSubscription:
        """Another secret; for the overlap, requests are signed with the one before as well. Raises as `pause`."""
        await self._changeable(subscription_id, principal)
        secret_id, secret = new_id(), secrets.token_bytes(_SECRET_BYTES)
        async with self._connect() as connection:
            await add_secret(connection, subscription_id, secret_id, secret)
        data = SecretRotated(secret_id=secret_id, previous_until=self._clock() + overlap)
        return MadeSubscription(await self._change(subscription_id, data, principal, correlation_id), _shown(secret))

    async def test(self, subscription_id: UUID, principal: Principal, *, correlation_id: str | None) -> Delivery:
        """Send one test event, and say what came of it; `pending` if that takes too long. Raises as `pause`."""
        await self._changeable(subscription_id, principal)
        test_id = new_id()
        await self._append(subscription_id, TestRequested(), principal, correlation_id, event_id=test_id)
        ends_s = asyncio.get_running_loop().time() + _TEST_S
        while True:
            async with self._connect() as connection:
                found = await find_test(connection, test_id)
            if found is None:
                raise NoSubscription(subscription_id)  # removed meanwhile
            if found.outcome != "pending" or asyncio.get_running_loop().time() >= ends_s:
                return found
            await asyncio.sleep(_TEST_LOOK_S)

    async def remove(self, subscription_id: UUID, principal: Principal, *, correlation_id: str | None) -> None:
        """End it, and delete its secrets. Raises as `pause`."""
        await self._changeable(subscription_id, principal)
        await self._append(subscription_id, SubscriptionRemoved(), principal, correlation_id)

    async def _check_number(self, principal: Principal) -> None:
        """Raises `BadInput` for a user who has as many as one may have; administrators may have any number."""
        if principal.role is Role.ADMIN:
            return
        own = Condition("s.created_by = %(owner)s", {"owner": principal.actor})
        async with self._connect() as connection:
            _, count = await list_webhooks(connection, [own], limit=1)
        if count >= MOST_OF_A_USER:
            raise BadInput(
                f"user {principal.name} has {count} subscriptions, at most {MOST_OF_A_USER} are allowed: delete one"
                " that is not needed any more, or ask an administrator to make it"
            )

    async def _changeable(self, subscription_id: UUID, principal: Principal) -> Webhook:
        principal.need(*_WHO)
        return await self.get(subscription_id, principal)

    async def _change(
        self, subscription_id: UUID, data: WebhookData, principal: Principal, correlation_id: str | None
    ) -> Webhook:
        await self._changeable(subscription_id, principal)
        await self._append(subscription_id, data, principal, correlation_id)
        return await self.get(subscription_id, principal)

    async def _start(self, text: str) -> Start:
        """Raises `BadSubscription` for a text that is not a start, or a place that the log does not have."""
        try:
            start = parse_start(text)
        except BadInput as error:
            raise BadSubscription("since", str(error)) from error
        ends = await self._tasks.end_offsets()
        if isinstance(start, Cursor):
            try:
                start.check(self._topic_id, ends)
            except TopicMismatch as error:
                raise BadSubscription("since", str(error)) from error
            return await self._remaining(start)
        if start == "now":
            found = ends
        else:
            since_ms = 0 if isinstance(start, str) else max(0, int(start.timestamp() * 1000))
            found = await self._tasks.offsets_since(since_ms)
        return Start(topic_id=self._topic_id, offsets=Cursor.at(self._topic_id, found).offsets)

    async def _first_parked(self, webhook: Webhook) -> Start:
        """The current place, moved back to the first parked event. Raises `BadSubscription` if nothing is parked."""
        ends = await self._tasks.end_offsets()
        async with self._connect() as connection:
            progress = (await progress_of(connection, [webhook.subscription_id])).get(webhook.subscription_id)
            parked = await parked_tasks(connection, webhook.subscription_id, most=None)
        if progress is None or progress.topic_id != self._topic_id:
            raise BadSubscription("since", "Its place is in another topic: give beginning, now, a time or a cursor.")
        if not parked:
            hint = " It is parked: resume it." if webhook.state is WebhookState.PARKED else ""
            raise BadSubscription("since", f"No event is parked: give beginning, a time or a cursor.{hint}")
        offsets = progress.offsets(len(ends))
        for task in parked:
            offsets[task.partition] = min(offsets[task.partition], task.offset)
        return await self._remaining(Cursor(self._topic_id, tuple(offsets)))

    async def _remaining(self, start: Cursor) -> Start:
        """Raises `BadSubscription` if the log has lost records after the cursor."""
        begins = await self._tasks.offsets_since(0)
        try:
            start.check_begin(begins)
        except OffsetOutOfRange as error:
            raise BadSubscription("since", str(error)) from error
        return Start(topic_id=start.topic_id, offsets=start.offsets)

    async def _append(
        self,
        subscription_id: UUID,
        data: WebhookData,
        principal: Principal,
        correlation_id: str | None,
        *,
        event_id: UUID | None = None,
    ) -> str:
        """The effect of the event. Raises `PositionNotReached` if that is not known in time."""
        if self._log is None:
            raise LogUnavailable("this API has no topic of subscriptions")
        event = WebhookEvent(
            id=event_id or new_id(),
            subscription_id=subscription_id,
            time=self._clock(),
            actor=principal.actor,
            data=data,
            correlation_id=correlation_id,
        )
        offset = await self._log.append(event)
        return await effect_of(self._connect, effect_of_webhook_event, offset, "subscription")


def _check_url(url: str) -> None:
    """Raises `BadSubscription` for a URL that no delivery could go to; its address is checked at each delivery."""
    target = parse_target(url)
    if target is None:
        raise BadSubscription("url", "Enter a valid http or https URL.")
    if target.url.userinfo:
        raise BadSubscription("url", "A URL with a user name or password is refused: each request is signed instead.")
    try:
        literal(target.host)
    except Refused:
        raise BadSubscription("url", "Write an address in full, such as 192.0.2.7, or a name.") from None


def _check_filter(wanted: Filter) -> None:
    """Raises `BadSubscription` for a type that is never delivered."""
    if UNDECODABLE in wanted.types:
        raise BadSubscription(
            "filter",
            f"types: {UNDECODABLE} stands for records that are not events, and a subscription delivers only events."
            " Leave it out; a stream or a reader of Kafka gets such records.",
        )


def _shown(secret: bytes) -> str:
    return SECRET_PREFIX + b64encode(secret).decode()
