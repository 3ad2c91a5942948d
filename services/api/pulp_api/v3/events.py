"""The event stream's endpoint."""

from collections.abc import AsyncIterator, Collection
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse
from pulp_events.audit import What
from pulp_events.codec import TYPES
from pulp_events.cursor import Cursor
from pulp_events.errors import BadInput, PulpError
from starlette.types import Receive, Scope, Send

from pulp_api.auditing.audit import Audit
from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.basic import RequestOrigin
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.seats import Seat, Seats
from pulp_api.streaming.sse import Wanted, messages
from pulp_api.streaming.streamed_events import UNDECODABLE, StreamedEvent
from pulp_api.streaming.visible_tasks import VisibleTasks
from pulp_api.submitting.submission import task_id_of
from pulp_api.times import zoned_time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.parameters import TEXT, TIME, QueryParameter, list_of, one_of

router = APIRouter(prefix=ROOT)
_TYPES: Final = {
    name: literal
    for literal in (*TYPES.values(), UNDECODABLE)
    for name in (literal, literal.removeprefix("org.pulpproject.task.").removesuffix(".v1"))
}
"""What a client calls a type of event → the type."""
PARAMETERS: Final = (
    QueryParameter("task", TEXT),
    QueryParameter("type", list_of(one_of(_TYPES)), is_repeated=True),
    QueryParameter("since", TIME),
    QueryParameter("last_event_id", TEXT),
)
_NAMES: Final = frozenset(parameter.name for parameter in PARAMETERS)


async def stream_start(
    call: Authenticated, request: Request, since: str | None = None, last_event_id: str | None = None
) -> Cursor:
    """Where the stream starts. Checked before the response begins, as its status cannot change after that."""
    hub: Hub = request.app.state.hub
    for name in request.query_params:
        if name not in _NAMES:  # a misspelt start must not give another one
            raise BadInput(f"{name}: no such parameter, there are {', '.join(sorted(_NAMES))}")
    since_ms = None if since is None else _milliseconds(since)
    last = request.headers.get("last-event-id") or last_event_id
    cursor = Cursor.parse(last) if last else None
    ends = await call.service.log.end_offsets()
    if cursor is not None:
        cursor.check(hub.topic_id, ends)
        return cursor
    if since_ms is not None:
        start = await call.service.log.offsets_since(since_ms)
    else:
        # Start where the read model is, so that a client which opens a stream and then reads a task misses nothing.
        shown = call.service.positions.current()
        start = {partition: min(end, shown.get(partition, end)) for partition, end in ends.items()}
    return Cursor.at(hub.topic_id, start)


@router.get("/events/")
async def stream_events(
    call: Authenticated,
    request: Request,
    start: Annotated[Cursor, Depends(stream_start)],
    task: str | None = None,
    since: str | None = None,
    type: Annotated[list[str] | None, Query()] = None,  # the attribute's name
) -> Response:
    """Server-sent events: first those that reads do not show yet, or all `since` a time (RFC 3339), then new ones.

    `Last-Event-ID` resumes exactly. Ends within 15 seconds if the user is removed or gets another role or password.
    """
    hub: Hub = request.app.state.hub
    wanted = _wanted(task, since, type)
    return _Counted(
        call,
        await _seat(call),
        messages(hub, start, wanted, partial(_why_ended, call), _visible(call)),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _visible(call: AuthenticatedCall) -> VisibleTasks | None:
    """None for a user who may see all tasks."""
    if not call.scope:
        return None

    async def look(task_ids: Collection[UUID]) -> set[UUID]:
        async with call.service.connection() as connection:
            return await call.task_rights.visible(connection, call.principal, task_ids)

    return VisibleTasks(call.service.positions, look)


async def _seat(call: AuthenticatedCall) -> Seat:
    """Admit one more stream. Raises `QuotaExceeded`, `TooManyStreams`, `NoSeat`, `psycopg.OperationalError`."""
    await call.quotas.open_stream(call.asking)
    seats: Seats = call.request.app.state.seats
    client = call.request.client
    try:
        return seats.take(client.host if client else None)
    except PulpError:
        call.quotas.close_stream(call.asking)
        raise


class _Counted(EventSourceResponse):
    """A stream that counts against the limits of its user, its address and the process until it ends in any way."""

    def __init__(self, call: AuthenticatedCall, seat: Seat, content: AsyncIterator[bytes], **more: Any) -> None:
        super().__init__(content, **more)
        self._call, self._seat = call, seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._seat.give_back()
            self._call.quotas.close_stream(self._call.asking)


async def _why_ended(call: AuthenticatedCall) -> str | None:
    """Why the user's stream has to end; None while the login is still valid."""
    authenticator: Authenticator = call.request.app.state.authenticator
    if await authenticator.still_valid(call.principal):
        return None
    audit: Audit = call.request.app.state.audit
    audit.note(
        What.STREAM_ENDED,
        actor=call.principal.actor,
        address=RequestOrigin.of(call.request).address,
        correlation_id=call.caller.correlation_id,
    )
    name = call.principal.name
    return f"user {name} was removed, or has another role or password now: the stream has ended. Log in again"


def _wanted(task: str | None, since: str | None, types: list[str] | None) -> Wanted:
    task_id = None if task is None else str(task_id_of(task))
    since_ms = 0 if since is None else _milliseconds(since)
    names = {_type(name) for name in types or []}

    def wanted(event: StreamedEvent) -> bool:
        is_in_scope = event.timestamp_ms >= since_ms and task_id in (None, event.task_id)
        return is_in_scope and (not names or event.type in names)

    return wanted


def _milliseconds(text: str) -> int:
    return max(0, int(zoned_time("since", text).timestamp() * 1000))


def _type(name: str) -> str:
    if name not in _TYPES:
        raise BadInput(f"type={name}: no event has this type")
    return _TYPES[name]
