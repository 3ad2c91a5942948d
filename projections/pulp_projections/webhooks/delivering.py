"""What a deliverer reads and writes: a subscription's position, its secrets, and the outcome of each event."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import PulpError
from pulp_events.filters import Origin
from pulp_events.task import Position
from pulp_events.webhook import Webhook

from pulp_projections.webhooks.stored import SQL, webhook_of


class Superseded(PulpError):
    """Another deliverer has taken over the subscription, or its position was moved; nothing was written."""


class TakenOver(NamedTuple):
    """A subscription that a deliverer has taken over."""

    topic_id: str
    epoch: int
    failures: int
    retry_at: datetime | None
    cursors: dict[int, int]
    ahead: dict[int, list[int]]
    parked: set[UUID]
    attempts: dict[Position, int]


class DeliveryRow(NamedTuple):
    """The outcome of a sent event."""

    position: Position
    event_id: UUID
    event_type: str
    task_id: UUID
    outcome: str
    attempts: int
    status: int | None
    error: str | None
    took_ms: int
    retry_in_s: float | None


class DeliveryReport(NamedTuple):
    """What a deliverer stores in one transaction."""

    failures: int
    retry_in_s: float | None
    cursors: Mapping[int, int]
    ahead: Mapping[int, Collection[int]]
    parked: Sequence[DeliveryRow]
    deliveries: Sequence[DeliveryRow]
    error: str | None


async def all_webhooks(connection: AsyncConnection) -> list[Webhook]:
    """All subscriptions that are not removed."""
    return [webhook_of(row) for row in await (await connection.execute(SQL["all"])).fetchall()]


async def take_over(connection: AsyncConnection, subscription_id: UUID) -> TakenOver:
    """Make this deliverer the only one that writes for the subscription. Raises `Superseded` if it has no position."""
    about = {"subscription_id": subscription_id}
    async with connection.transaction():
        row = await (await connection.execute(SQL["take_over"], about)).fetchone()
        if row is None:
            raise Superseded(f"subscription {subscription_id} has no place")
        cursors = await (await connection.execute(SQL["cursors"], about)).fetchall()
        parked = await (await connection.execute(SQL["parked"], {**about, "most": None})).fetchall()
        attempts = await (await connection.execute(SQL["failed_attempts"], about)).fetchall()
    topic_id, epoch, failures, retry_at = row
    return TakenOver(
        topic_id=topic_id,
        epoch=epoch,
        failures=failures,
        retry_at=retry_at,
        cursors={partition: next_offset for partition, next_offset, _ in cursors},
        ahead={partition: list(ahead) for partition, _, ahead in cursors if ahead},
        parked={each[0] for each in parked},
        attempts={Position(partition, offset): count for partition, offset, count in attempts},
    )


async def keep(connection: AsyncConnection, subscription_id: UUID, epoch: int, report: DeliveryReport) -> None:
    """Store it, or nothing: raises `Superseded`."""
    about = {"subscription_id": subscription_id}
    values = {
        **about,
        "epoch": epoch,
        "failures": report.failures,
        "retry_in_s": report.retry_in_s,
        "delivered": sum(row.outcome == "delivered" for row in report.deliveries),
        "error": report.error,
    }
    async with connection.transaction():
        if await (await connection.execute(SQL["keep_progress"], values)).fetchone() is None:
            raise Superseded(f"another process delivers for subscription {subscription_id}, or its place was moved")
        for partition, next_offset in report.cursors.items():
            ahead = list(report.ahead.get(partition, ()))
            cursor = {**about, "partition": partition, "next_offset": next_offset, "ahead": ahead}
            await connection.execute(SQL["keep_cursor"], cursor)
        for row in report.parked:
            await connection.execute(SQL["keep_parked"], {**about, **_values(row)})
        for row in report.deliveries:
            await connection.execute(SQL["keep_delivery"], {**about, **_values(row)})


async def secrets_of(connection: AsyncConnection, secret_ids: Sequence[UUID]) -> list[bytes]:
    """Those of the secrets that exist, in this order."""
    rows = await (await connection.execute(SQL["secrets"], {"secret_ids": list(secret_ids)})).fetchall()
    found: dict[UUID, bytes] = dict(rows)
    return [bytes(found[secret_id]) for secret_id in secret_ids if secret_id in found]


async def pending_tests(connection: AsyncConnection, *, most_each: int) -> list[tuple[UUID, UUID]]:
    """The subscription and the id of the oldest pending tests, at most `most_each` of a subscription."""
    rows = await (await connection.execute(SQL["pending_tests"], {"most_each": most_each})).fetchall()
    return [(row[0], row[1]) for row in rows]


async def end_test(
    connection: AsyncConnection, event_id: UUID, *, outcome: str, status: int | None, error: str | None, took_ms: int
) -> None:
    """Store the outcome of a test."""
    values = {"event_id": event_id, "outcome": outcome, "status": status, "error": error, "took_ms": took_ms}
    await connection.execute(SQL["end_test"], values)


async def prune(connection: AsyncConnection, subscription_id: UUID, *, most: int) -> None:
    """Delete all but the latest deliveries of a subscription; its tests stay."""
    await connection.execute(SQL["prune"], {"subscription_id": subscription_id, "most": most})


async def origins_of(connection: AsyncConnection, task_ids: Collection[UUID]) -> dict[UUID, Origin]:
    """What filters need to know about those of the tasks that are projected."""
    rows = await (await connection.execute(SQL["origins"], {"task_ids": list(task_ids)})).fetchall()
    return {
        task_id: Origin(operation=operation, group_id=group_id, actor=actor, resources=tuple(resources))
        for task_id, operation, group_id, actor, resources in rows
    }


async def with_roles(connection: AsyncConnection, user_name: str, task_ids: Collection[UUID]) -> set[UUID]:
    """Those of the tasks on which the user was given a role."""
    values = {"user_name": user_name, "task_ids": list(task_ids)}
    return {row[0] for row in await (await connection.execute(SQL["with_roles"], values)).fetchall()}


def _values(row: DeliveryRow) -> dict[str, object]:
    values = row._asdict()
    position = values.pop("position")
    return {**values, "partition": position.partition, "record_offset": position.offset}
