"""Writing the events of subscriptions into Postgres, and the positions that they set."""

from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import UndecodableRecord
from pulp_events.reader import Record
from pulp_events.webhook import Webhook, WebhookReason, WithoutEffect, evolve_webhook
from pulp_events.webhook_codec import WEBHOOK_TYPES, decode_webhook_event
from pulp_events.webhook_events import (
    RedeliveryRequested,
    SubscriptionCreated,
    SubscriptionRemoved,
    SubscriptionResumed,
    TestRequested,
    WebhookEvent,
)

from pulp_projections.times import clamped_ms, moment
from pulp_projections.topic_projector import TopicProjector, Words
from pulp_projections.webhooks.stored import SQL, values_of, webhook_of

APPLIED: Final = "applied"
TEST_TYPE: Final = "org.pulpproject.subscription.test.v1"
"""The type of the event that a test sends."""
_MAX_REASON: Final = 300


class WebhookProjector(TopicProjector):
    """Projects the topic of subscriptions.

    An event that sets a place, such as a redelivery, does so once, even if the tables are filled again.
    """

    def __init__(self, connection: AsyncConnection, topic: str) -> None:
        words = Words("subscriptions", "no subscription delivers", "pulp-tasks subscriptions rebuild")
        super().__init__(connection, topic, SQL, words)

    async def _write(self, record: Record) -> None:
        at_ms = clamped_ms(record.timestamp_ms)
        values: dict[str, Any] = {"record_offset": record.offset, "broker_time": moment(at_ms), "event": record.value}
        try:
            event = decode_webhook_event(record.key, record.value)
        except UndecodableRecord as error:  # it has no effect, and stays in the topic
            unknown = dict.fromkeys(("subscription_id", "event_id", "type", "actor"))
            effect = error.reason.replace("\0", "")[:_MAX_REASON]
            await self._connection.execute(SQL["event"], {**values, **unknown, "effect": effect})
            return
        known = await find_webhook(self._connection, event.subscription_id)
        found = evolve_webhook(known, event, record.offset, at_ms, is_name_taken=await self._is_name_taken(event))
        effect = str(found.reason) if isinstance(found, WithoutEffect) else APPLIED
        about = {
            "subscription_id": event.subscription_id,
            "event_id": event.id,
            "type": WEBHOOK_TYPES[type(event.data)],
        }
        await self._connection.execute(SQL["event"], {**values, **about, "actor": event.actor, "effect": effect})
        if not isinstance(found, WithoutEffect):
            await self._connection.execute(SQL["put"], values_of(found))
            await self._act(event, record.offset)
            await self._forget_secrets(event.subscription_id, known, found)
        elif found.reason is WebhookReason.NAME_TAKEN:  # its secret was stored before, and nothing else deletes it
            await self._forget_secrets(event.subscription_id, known, None)

    async def _is_name_taken(self, event: WebhookEvent) -> bool:
        if not isinstance(event.data, SubscriptionCreated):
            return False
        values = {"name": event.data.endpoint.name, "subscription_id": event.subscription_id}
        row = await (await self._connection.execute(SQL["is_name_taken"], values)).fetchone()
        return row is not None and bool(row[0])

    async def _act(self, event: WebhookEvent, offset: int) -> None:
        """The event's effects besides the subscription's own row."""
        about = {"subscription_id": event.subscription_id, "record_offset": offset}
        match event.data:
            case SubscriptionCreated(start=start):
                values = {**about, "topic_id": start.topic_id, "offsets": list(start.offsets)}
                if await (await self._connection.execute(SQL["begin_progress"], values)).fetchone():
                    await self._connection.execute(SQL["place"], values)
            case RedeliveryRequested(start=start):
                values = {**about, "topic_id": start.topic_id, "offsets": list(start.offsets)}
                if await (await self._connection.execute(SQL["move_progress"], values)).fetchone():
                    for statement in ("forget_cursors", "forget_parked", "end_retries", "place"):
                        await self._connection.execute(SQL[statement], values)
            case SubscriptionResumed():
                await self._connection.execute(SQL["resume"], about)
            case TestRequested():
                values = {**about, "event_id": event.id, "event_type": TEST_TYPE}
                await self._connection.execute(SQL["begin_test"], values)
            case SubscriptionRemoved():
                for statement in ("forget_progress", "forget_cursors", "forget_parked", "forget_deliveries"):
                    await self._connection.execute(SQL[statement], about)
            case _:
                pass

    async def _forget_secrets(self, subscription_id: UUID, before: Webhook | None, webhook: Webhook | None) -> None:
        """Delete secrets that sign nothing after a change; all of them if the subscription is missing or removed."""
        is_removed = webhook is None or webhook.removed_at_ms is not None
        kept = [] if webhook is None or is_removed else [webhook.secret_id, webhook.previous_secret_id]
        values = {
            "subscription_id": subscription_id,
            "kept": [each for each in kept if each is not None],
            "is_removed": is_removed,
            "replaced": None if before is None else before.previous_secret_id,
            "previous": None if webhook is None else webhook.previous_secret_id,
        }
        await self._connection.execute(SQL["forget_secrets"], values)


async def forget_webhooks(connection: AsyncConnection) -> None:
    """Empty the tables of subscriptions: the elected dispatcher fills them again from the start of the topic.

    How far each has delivered, its secrets and its deliveries stay, except of those that were removed: nothing is sent
    again.
    """
    async with connection.transaction():
        await connection.execute(SQL["forget"])


async def find_webhook(connection: AsyncConnection, subscription_id: UUID) -> Webhook | None:
    """The subscription, removed or not; None if there was never one."""
    row = await (await connection.execute(SQL["one"], {"subscription_id": subscription_id})).fetchone()
    return None if row is None else webhook_of(row)
