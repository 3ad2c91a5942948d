"""Subscriptions (webhooks) in the v3 dialect. Not in Pulp 3."""

from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import Struct
from pulp_accounts.users import Role
from pulp_events.webhook import Webhook
from pulp_projections.reading.queries import Condition
from pulp_projections.webhooks import reading

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.bodies import decoded
from pulp_api.respond import json
from pulp_api.subscriptions import (
    BadSubscription,
    MadeSubscription,
    NoSubscription,
    Redelivery,
    Rotation,
    Subscriptions,
    parse_new,
)
from pulp_api.v3.declared_filters import DeclaredFilters, column
from pulp_api.v3.dialect import ROOT, FieldErrors
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import TEXT, QueryParameter, controls, names_of, refuse_unknown
from pulp_api.v3.subscription_shapes import (
    OUTCOMES,
    SingleSubscriptionResponse,
    SubscriptionResponse,
    SubscriptionSecretResponse,
    delivery_shape,
    parked_shapes,
    subscription_href,
    subscription_shape,
)

router = APIRouter(prefix=ROOT)
T = TypeVar("T", bound=Struct)
SUBSCRIPTION_FILTERS: Final = DeclaredFilters(
    controls("limit offset"), column("name", "s.name", "exact contains"), column("state", "s.state", "exact in")
)
DELIVERY_PARAMETERS: Final = [*controls("limit offset"), QueryParameter("outcome", {**TEXT, "enum": list(OUTCOMES)})]
_MOST_PARKED: Final = 100
_NO_STORE: Final = {"Cache-Control": "no-store"}


@router.get("/subscriptions/")
async def list_subscriptions(call: Authenticated, request: Request) -> Response:
    """A page of the user's subscriptions, newest first; administrators see all."""
    conditions = SUBSCRIPTION_FILTERS.conditions(request.query_params, [])
    if call.principal.role is not Role.ADMIN:
        conditions.append(Condition("s.created_by = %(owner)s", {"owner": call.principal.actor}))
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        found, total = await reading.list_webhooks(connection, conditions, limit=limit, offset=offset)
        progress = await reading.progress_of(connection, [each.subscription_id for each in found])
    partitions = await _partitions(call)
    shown = [subscription_shape(each, progress.get(each.subscription_id), partitions) for each in found]
    return json(page_of(request, total, shown))


@router.post("/subscriptions/")
async def create_subscription(call: Authenticated, request: Request) -> Response:
    """Create a subscription: 201, with its secret, which nothing shows again."""
    call.need_subscriber()
    wanted = parse_new(await request.body() or b"{}")
    await call.task_rights.need_sight_of_user(call.principal)
    await call.quotas.action(call.asking)
    try:
        made = await _subscriptions(call).create(wanted, call.principal, correlation_id=_cid(request))
    except BadSubscription as error:
        raise _field_error(error) from error
    return await _with_secret(call, made, 201)


@router.get("/subscriptions/{subscription_id}/")
async def read_subscription(call: Authenticated, subscription_id: str) -> Response:
    """A subscription, its progress, and the tasks whose events are parked."""
    found = await _subscriptions(call).get(_uuid(subscription_id), call.principal)
    shown = await _shown(call, found)
    async with call.service.connection() as connection:  # read after the count, so that it is not shorter
        parked = await reading.parked_tasks(connection, found.subscription_id, most=_MOST_PARKED)
    single: SingleSubscriptionResponse = {**shown, "parked": parked_shapes(parked)}
    return json(single)


@router.delete("/subscriptions/{subscription_id}/")
async def delete_subscription(call: Authenticated, request: Request, subscription_id: str) -> Response:
    """Remove a subscription, with its secrets: 204."""
    await _admit(call)
    await _subscriptions(call).remove(_uuid(subscription_id), call.principal, correlation_id=_cid(request))
    return Response(status_code=204)


@router.post("/subscriptions/{subscription_id}/pause/")
async def pause_subscription(call: Authenticated, request: Request, subscription_id: str) -> Response:
    """Stop deliveries until the subscription is resumed; it keeps its place."""
    await _admit(call)
    found = await _subscriptions(call).pause(_uuid(subscription_id), call.principal, correlation_id=_cid(request))
    return json(await _shown(call, found))


@router.post("/subscriptions/{subscription_id}/resume/")
async def resume_subscription(call: Authenticated, request: Request, subscription_id: str) -> Response:
    """Resume deliveries from where they stopped."""
    await _admit(call)
    found = await _subscriptions(call).resume(_uuid(subscription_id), call.principal, correlation_id=_cid(request))
    return json(await _shown(call, found))


@router.post("/subscriptions/{subscription_id}/redeliver/")
async def redeliver_subscription(call: Authenticated, request: Request, subscription_id: str) -> Response:
    """Deliver again from `since` on (`beginning`, `now`, a time or a cursor), or from the first parked event.

    A subscription that is paused or parked is resumed.
    """
    await _admit(call)
    wanted = await _body(request, Redelivery)
    try:
        found = await _subscriptions(call).redeliver(
            _uuid(subscription_id), wanted.since, call.principal, correlation_id=_cid(request)
        )
    except BadSubscription as error:
        raise _field_error(error) from error
    return json(await _shown(call, found))


@router.post("/subscriptions/{subscription_id}/rotate-secret/")
async def rotate_secret(call: Authenticated, request: Request, subscription_id: str) -> Response:
    """Another secret, which nothing shows again; for `overlap_seconds` the one before signs as well."""
    await _admit(call)
    wanted = await _body(request, Rotation)
    overlap = timedelta(seconds=wanted.overlap_seconds)
    made = await _subscriptions(call).rotate(
        _uuid(subscription_id), overlap, call.principal, correlation_id=_cid(request)
    )
    return await _with_secret(call, made, 200)


@router.post("/subscriptions/{subscription_id}/test/")
async def test_subscription(call: Authenticated, request: Request, subscription_id: str) -> Response:
    """Send one test event, once, and tell what came of it: 200, or 202 while that is not known."""
    await _admit(call)
    found = await _subscriptions(call).test(_uuid(subscription_id), call.principal, correlation_id=_cid(request))
    return json(delivery_shape(found), 202 if found.outcome == "pending" else 200)


@router.get("/subscriptions/{subscription_id}/deliveries/")
async def list_deliveries(call: Authenticated, request: Request, subscription_id: str) -> Response:
    """A page of what came of each event that was sent, latest first; the last 10,000 are kept."""
    refuse_unknown(request.query_params, names_of(DELIVERY_PARAMETERS))
    outcome = request.query_params.get("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        raise FieldErrors({"outcome": [f"One of {', '.join(OUTCOMES)} is expected."]})
    found = await _subscriptions(call).get(_uuid(subscription_id), call.principal)
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        rows, total = await reading.page_of_deliveries(
            connection, found.subscription_id, outcome=outcome, limit=limit, offset=offset
        )
    return json(page_of(request, total, [delivery_shape(row) for row in rows]))


async def _admit(call: AuthenticatedCall) -> None:
    call.need_subscriber()
    await call.quotas.action(call.asking)


async def _with_secret(call: AuthenticatedCall, made: MadeSubscription, status: int) -> Response:
    shown: SubscriptionSecretResponse = {**await _shown(call, made.webhook), "secret": made.secret}
    return json(shown, status, {"Location": subscription_href(made.webhook.subscription_id), **_NO_STORE})


async def _shown(call: AuthenticatedCall, webhook: Webhook) -> SubscriptionResponse:
    async with call.service.connection() as connection:
        progress = await reading.progress_of(connection, [webhook.subscription_id])
    return subscription_shape(webhook, progress.get(webhook.subscription_id), await _partitions(call))


async def _partitions(call: AuthenticatedCall) -> int:
    return len(await call.service.log.end_offsets())


async def _body(request: Request, kind: type[T]) -> T:
    return decoded(await request.body() or b"{}", kind, "the subscription")


def _subscriptions(call: AuthenticatedCall) -> Subscriptions:
    found: Subscriptions = call.request.app.state.subscriptions
    return found


def _field_error(error: BadSubscription) -> FieldErrors:
    return FieldErrors({error.field: [error.message]})


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NoSubscription(text) from None


def _cid(request: Request) -> str | None:
    found: str | None = request.state.correlation_id
    return found
