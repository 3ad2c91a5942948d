"""Reading subscriptions: lists, positions, and outcomes of deliveries; and adding secrets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.webhook import Webhook, WebhookState

from pulp_projections.reading.queries import Condition, parameters_of
from pulp_projections.webhooks.stored import COLUMNS, SQL, webhook_of


class WebhookProgress(NamedTuple):
    """How far a subscription has delivered."""

    subscription_id: UUID
    topic_id: str
    epoch: int
    failures: int
    """The endpoint's consecutive failures."""
    retry_at: datetime | None
    delivered: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str | None
    cursors: Mapping[int, int]
    """Partition → the first offset that is not settled."""
    parked_tasks: int

    def offsets(self, partitions: int) -> list[int]:
        """The place in each partition."""
        return [self.cursors.get(partition, 0) for partition in range(partitions)]


class ParkedTask(NamedTuple):
    """A task whose events wait for a redelivery, and the event that was refused."""

    task_id: UUID
    partition: int
    offset: int
    error: str | None
    parked_at: datetime


class Delivery(NamedTuple):
    """The outcome of a sent event, or of a test, whose position is None."""

    delivery_id: UUID
    partition: int | None
    offset: int | None
    event_id: UUID
    event_type: str
    task_id: UUID | None
    outcome: str
    """`delivered`, `retried`, `parked`, `given-up`; for a test `pending`, `delivered` or `failed`."""
    attempts: int
    status: int | None
    error: str | None
    took_ms: int | None
    first_at: datetime
    last_at: datetime
    next_at: datetime | None


async def list_webhooks(
    connection: AsyncConnection,
    conditions: Sequence[Condition] = (),
    *,
    order: LiteralString = "s.created_at desc, s.subscription_id desc",
    limit: int,
    offset: int = 0,
) -> tuple[list[Webhook], int]:
    """A page of the subscriptions that are not removed, and how many there are."""
    where: LiteralString = " and ".join(["(" + each.sql + ")" for each in conditions] or ["true"])
    values = parameters_of(conditions)
    query = _filled("list", where, order)
    rows = await (await connection.execute(query, {**values, "limit": limit, "offset": offset})).fetchall()
    if rows or offset == 0:
        total = rows[0][COLUMNS] if rows else 0
    else:
        [(total,)] = await (await connection.execute(_filled("count", where, order), values)).fetchall()
    return [webhook_of(row) for row in rows], total


async def progress_of(connection: AsyncConnection, subscription_ids: Sequence[UUID]) -> dict[UUID, WebhookProgress]:
    """How far each subscription has delivered."""
    rows = await (await connection.execute(SQL["progress"], {"subscription_ids": list(subscription_ids)})).fetchall()
    found = []
    for row in rows:
        each = WebhookProgress(*row)
        found.append(each._replace(cursors={int(partition): offset for partition, offset in each.cursors.items()}))
    return {each.subscription_id: each for each in found}


async def parked_tasks(connection: AsyncConnection, subscription_id: UUID, *, most: int | None) -> list[ParkedTask]:
    """The tasks whose events wait for a redelivery, in the order of the log."""
    values = {"subscription_id": subscription_id, "most": most}
    return [ParkedTask(*row) for row in await (await connection.execute(SQL["parked"], values)).fetchall()]


class WaitingDeliveries(NamedTuple):
    """What a subscription has not delivered yet."""

    name: str
    state: WebhookState
    reason: str | None
    """Why it is parked."""
    events: int
    """The events after its place, as far as they are projected, including those that its filter does not want."""
    oldest_s: float
    """The age of the first of them; 0 if there are none."""
    parked_tasks: int


async def waiting_deliveries(connection: AsyncConnection) -> list[WaitingDeliveries]:
    """What waits for every subscription, by name."""
    rows = await (await connection.execute(SQL["waiting"])).fetchall()
    return [
        WaitingDeliveries(name, WebhookState(state), reason, events, max(0.0, oldest_s or 0.0), parked)
        for name, state, reason, events, oldest_s, parked in rows
    ]


async def page_of_deliveries(
    connection: AsyncConnection, subscription_id: UUID, *, outcome: str | None, limit: int, offset: int
) -> tuple[list[Delivery], int]:
    """A page of the delivery log, latest first, and how many rows there are."""
    where: LiteralString = "true" if outcome is None else "d.outcome = %(outcome)s"
    values = {"subscription_id": subscription_id, "outcome": outcome, "limit": limit, "offset": offset}
    rows = await (await connection.execute(_filled("deliveries", where, ""), values)).fetchall()
    [(total,)] = await (await connection.execute(_filled("count_deliveries", where, ""), values)).fetchall()
    return [Delivery(*row) for row in rows], total


async def find_test(connection: AsyncConnection, event_id: UUID) -> Delivery | None:
    """The outcome of a test; None before it is projected."""
    row = await (await connection.execute(SQL["test"], {"event_id": event_id})).fetchone()
    return None if row is None else Delivery(*row)


async def effect_of_webhook_event(connection: AsyncConnection, offset: int) -> str | None:
    """The effect of an event: `applied`, or the reason for none; None if it is not projected yet."""
    row = await (await connection.execute(SQL["effect"], {"record_offset": offset})).fetchone()
    return None if row is None else str(row[0])


async def add_secret(connection: AsyncConnection, subscription_id: UUID, secret_id: UUID, secret: bytes) -> None:
    """Keep a new secret. It signs nothing before an event of the subscription names it."""
    values = {"subscription_id": subscription_id, "secret_id": secret_id, "secret": secret}
    await connection.execute(SQL["add_secret"], values)


def _filled(name: str, where: LiteralString, order: LiteralString) -> LiteralString:
    return SQL[name].replace("{conditions}", where).replace("{order}", order)
