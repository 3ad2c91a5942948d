"""Schedules in the v3 dialect: Pulp 3's task schedules to list and read; creating and changing them is our own."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Final, LiteralString

from fastapi import APIRouter, Query, Request, Response
from pulp_events.schedule import Schedule
from pulp_events.schedule_events import Definition
from pulp_projections.schedules import reading
from pulp_projections.schedules.reading import ListedSchedule
from pulp_projections.schedules.stored import tick_to_come
from pulp_projections.schedules.ticks import ticks_after

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.respond import instant, json
from pulp_api.schedules import BadSchedule, ScheduleChange, new_definition, parse_change
from pulp_api.v3.asked import asked
from pulp_api.v3.declared_filters import DeclaredFilters, column
from pulp_api.v3.dialect import ROOT, FieldErrors
from pulp_api.v3.identity import identity
from pulp_api.v3.ordering import order_by, ordering
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import TEXT, QueryParameter, controls, names_of, refuse_unknown
from pulp_api.v3.picking import picker
from pulp_api.v3.references import Kind
from pulp_api.v3.schedule_shapes import (
    PreviewResponse,
    ScheduleResponse,
    run_shape,
    schedule_href,
    schedule_id_of,
    schedule_shape,
)

router = APIRouter(prefix=ROOT)
MOST_PREVIEWED: Final = 100
RUN_PARAMETERS: Final = controls("limit offset")


_ORDERS: Final[Mapping[str, LiteralString]] = {
    "pulp_id": "s.schedule_id",
    "pk": "s.schedule_id",
    "pulp_created": "s.created_at",
    "pulp_last_updated": "s.updated_at",
    "name": "s.name",
    "task_name": "s.operation",
    "next_dispatch": "s.next_tick",
    "dispatch_interval": "(convert_from(s.definition, 'UTF8')::json ->> 'interval_seconds')::bigint",
}
SCHEDULE_FILTERS: Final = DeclaredFilters(
    [*controls("limit offset fields exclude_fields"), ordering(_ORDERS), QueryParameter("q", TEXT)],
    column("name", "s.name", "exact contains"),
    column("task_name", "s.operation", "exact contains"),
    identity(Kind.SCHEDULE, "s.schedule_id"),
)


def _order_of(texts: Sequence[str]) -> LiteralString:
    return order_by(texts, _ORDERS, "s.created_at desc, s.schedule_id desc")


@router.get("/task-schedules/")
async def list_schedules(call: Authenticated, request: Request) -> Response:
    """A page of the schedules, newest first; filters, `q`, `ordering`, `limit`, `offset`, `fields` as in Pulp 3."""
    query = request.query_params
    if query.get("q", "").strip():
        await call.quotas.search(call.asking)
    conditions, order = asked(query, SCHEDULE_FILTERS, _order_of)
    scope = call.task_rights.schedule_scope(call.principal)
    conditions += [] if scope is None else [scope]
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        page = await reading.list_schedules(connection, conditions, order=order, limit=limit, offset=offset)
        runs = await reading.recent_runs(connection, [row.schedule.schedule_id for row in page.rows])
    picked = picker(request)
    opened = await call.schedules.shown([row.schedule for row in page.rows])
    rows = [row._replace(schedule=schedule) for row, schedule in zip(page.rows, opened, strict=True)]
    shown = [picked(schedule_shape(row, runs[row.schedule.schedule_id])) for row in rows]
    return json(page_of(request, page.total, shown))


@router.post("/task-schedules/")
async def create_schedule(call: Authenticated, request: Request) -> Response:
    """Create a schedule: 201. Its tasks are submitted as the user who creates it, within that user's rights then."""
    call.need_submitter()
    change = parse_change(await request.body())
    await call.quotas.action(call.asking)
    try:
        made = await call.schedules.create(change, call.principal, key=_key(request), correlation_id=_cid(request))
    except BadSchedule as error:
        raise _field_error(error) from error
    return json(await _shown(call, made), 201, {"Location": schedule_href(made.schedule_id)})


@router.post("/task-schedules/preview/")
async def preview_new_schedule(
    call: Authenticated, request: Request, count: Annotated[int, Query(ge=1, le=MOST_PREVIEWED)] = 5
) -> Response:
    """The next ticks of a schedule that is not created: the body is that of a creation."""
    try:
        definition = new_definition(parse_change(await request.body()), datetime.now(UTC))
    except BadSchedule as error:
        raise _field_error(error) from error
    return json(_previewed(definition, datetime.now(UTC), count))


@router.get("/task-schedules/{schedule_id}/")
async def read_schedule(call: Authenticated, request: Request, schedule_id: str) -> Response:
    """One schedule."""
    found = await call.read_schedule(schedule_id_of(schedule_id))
    return json(picker(request)(await _shown(call, found)))


@router.patch("/task-schedules/{schedule_id}/")
async def change_schedule(call: Authenticated, request: Request, schedule_id: str) -> Response:
    """Change what the body names. Past ticks are dropped: they are neither run nor counted as missed."""
    call.need_submitter()
    return await _change(call, request, schedule_id, parse_change(await request.body()))


@router.post("/task-schedules/{schedule_id}/enable/")
async def enable_schedule(call: Authenticated, request: Request, schedule_id: str) -> Response:
    """Let a schedule run again, from now on."""
    call.need_submitter()
    return await _change(call, request, schedule_id, ScheduleChange(enabled=True))


@router.post("/task-schedules/{schedule_id}/disable/")
async def disable_schedule(call: Authenticated, request: Request, schedule_id: str) -> Response:
    """Keep a schedule from running until it is enabled."""
    call.need_submitter()
    return await _change(call, request, schedule_id, ScheduleChange(enabled=False))


@router.delete("/task-schedules/{schedule_id}/")
async def delete_schedule(call: Authenticated, request: Request, schedule_id: str) -> Response:
    """Remove a schedule: 204. The tasks that it has submitted stay."""
    call.need_submitter()
    await call.quotas.action(call.asking)
    found = await call.read_own_schedule(schedule_id_of(schedule_id))
    await call.schedules.remove(found.schedule_id, call.principal, correlation_id=_cid(request))
    return Response(status_code=204)


@router.get("/task-schedules/{schedule_id}/preview/")
async def preview_schedule(
    call: Authenticated, schedule_id: str, count: Annotated[int, Query(ge=1, le=MOST_PREVIEWED)] = 5
) -> Response:
    """The next ticks of a schedule."""
    found = await call.read_schedule(schedule_id_of(schedule_id))
    return json(_previewed(found.definition, datetime.now(UTC), count))


@router.get("/task-schedules/{schedule_id}/runs/")
async def list_runs(call: Authenticated, request: Request, schedule_id: str) -> Response:
    """A page of what came of the ticks of a schedule, latest first."""
    refuse_unknown(request.query_params, names_of(RUN_PARAMETERS))
    found = await call.read_schedule(schedule_id_of(schedule_id))
    limit, offset = limit_and_offset(request)
    async with call.service.connection() as connection:
        runs, total = await reading.page_of_runs(connection, found.schedule_id, limit=limit, offset=offset)
    return json(page_of(request, total, [run_shape(run) for run in runs]))


async def _change(call: AuthenticatedCall, request: Request, schedule_id: str, change: ScheduleChange) -> Response:
    await call.quotas.action(call.asking)
    found = await call.read_own_schedule(schedule_id_of(schedule_id))
    try:
        changed = await call.schedules.change(found.schedule_id, change, call.principal, correlation_id=_cid(request))
    except BadSchedule as error:
        raise _field_error(error) from error
    return json(await _shown(call, changed))


async def _shown(call: AuthenticatedCall, schedule: Schedule) -> ScheduleResponse:
    async with call.service.connection() as connection:
        runs = await reading.recent_runs(connection, [schedule.schedule_id])
    [schedule] = await call.schedules.shown([schedule])
    return schedule_shape(ListedSchedule(schedule, tick_to_come(schedule)), runs[schedule.schedule_id])


def _previewed(definition: Definition, now: datetime, count: int) -> PreviewResponse:
    ticks = islice(ticks_after(definition, now), count)
    return {
        "time_zone": definition.time_zone,
        "enabled": definition.enabled,
        "ticks": [instant(tick) for tick in ticks],
    }


def _field_error(error: BadSchedule) -> FieldErrors:
    return FieldErrors({error.field: [error.message]})


def _key(request: Request) -> str | None:
    return request.headers.get("idempotency-key") or None


def _cid(request: Request) -> str | None:
    found: str | None = request.state.correlation_id
    return found
