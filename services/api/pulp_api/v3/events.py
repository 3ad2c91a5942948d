"""The event stream's endpoint."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.sse import EventSourceResponse
from pulp_events.audit import What
from pulp_events.cursor import Cursor, parse_start
from pulp_events.errors import BadInput, PulpError
from pulp_events.filters import TYPE_OF, Filter
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from pulp_api.auditing.audit import Audit
from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.content_encoding import accepted_encodings
from pulp_api.front.direct import DIRECT, Direct
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.basic import RequestOrigin
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.outlets import GZIP, GzipOutlet, PlainOutlet, StreamOutlet
from pulp_api.streaming.seats import Seat, Seats
from pulp_api.streaming.sse import messages
from pulp_api.streaming.streamed_events import Choice
from pulp_api.streaming.visible_tasks import VisibleTasks
from pulp_api.submitting.submission import task_id_of
from pulp_api.times import with_plus
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.parameters import LIST, TEXT, QueryParameter, list_of, one_of

router = APIRouter(prefix=ROOT)
PARAMETERS: Final = (
    QueryParameter("type", list_of(one_of(TYPE_OF)), is_repeated=True),
    *(QueryParameter(name, LIST, is_repeated=True) for name in ("task", "operation", "resource", "actor", "group")),
    QueryParameter("since", {**TEXT, "description": "`beginning`, `now`, a time with its zone, or a cursor."}),
    QueryParameter(
        "last_event_id",
        {**TEXT, "description": "The same as the header `Last-Event-ID`, for clients that cannot set it."},
    ),
    QueryParameter(
        "names",
        {
            "type": "string",
            "enum": ["type", "message"],
            "default": "type",
            "description": "Whether events are named by their type, or are all named `message`, for"
            " `EventSource.onmessage`.",
        },
    ),
)
_NAMES: Final = frozenset(parameter.name for parameter in PARAMETERS)


async def stream_choice(request: Request) -> Choice:
    """What the stream selects. Checked before Kafka is asked for anything."""
    return choice_of(request.query_params)


async def stream_start(
    call: Authenticated, request: Request, since: str | None = None, last_event_id: str | None = None
) -> Cursor:
    """Where the stream starts. Checked before the response begins, as its status cannot change after that."""
    hub: Hub = request.app.state.hub
    for name in request.query_params:
        if name not in _NAMES:  # a misspelt start must not give another one
            raise BadInput(f"{name}: no such parameter, there are {', '.join(sorted(_NAMES))}")
    wanted = None if since is None else parse_start(with_plus(since))
    last = request.headers.get("last-event-id") or last_event_id
    cursor = Cursor.parse(last) if last else wanted if isinstance(wanted, Cursor) else None
    ends = await call.service.log.end_offsets()
    if cursor is not None:
        cursor.check(hub.topic_id, ends)
        return await _not_cut_off(call, cursor)
    if wanted == "now":
        return Cursor.at(hub.topic_id, ends)
    if wanted == "beginning":
        return Cursor.at(hub.topic_id, await call.service.log.offsets_since(0))
    if isinstance(wanted, datetime):
        return Cursor.at(hub.topic_id, await call.service.log.offsets_since(_milliseconds(wanted)))
    # Start where the read model is, so that a client which opens a stream and then reads a task misses nothing.
    shown = call.service.positions.current()
    start = {partition: min(end, shown.get(partition, end)) for partition, end in ends.items()}
    return await _not_cut_off(call, Cursor.at(hub.topic_id, start))


@router.get("/events/")
async def stream_events(
    call: Authenticated,
    request: Request,
    choice: Annotated[Choice, Depends(stream_choice)],
    start: Annotated[Cursor, Depends(stream_start)],
) -> Response:
    """Server-sent events: first those that reads do not show yet, or all from `since` on, and then new ones.

    `since` is `beginning`, `now`, a time with its zone (RFC 3339), or a cursor; `Last-Event-ID` resumes exactly. Only
    events that match all of `type`, `task`, `operation`, `resource`, `actor` (who submitted the task) and `group`; each
    may be repeated. Ends within 15 seconds if the user is removed or gets another role or password, and if the token or
    session ends. With `Accept-Encoding: gzip` it is compressed.
    """
    hub: Hub = request.app.state.hub
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept-Encoding"}
    direct: Direct | None = request.scope.get(DIRECT)
    outlet: StreamOutlet | None = None
    if direct is not None and direct.may_continue:
        outlet = PlainOutlet(direct)
        if GZIP in accepted_encodings(request.headers.get("accept-encoding", "")):
            outlet, headers["Content-Encoding"] = GzipOutlet(direct), GZIP
    content = messages(hub, start, choice, _Validity(call).why_ended, _visible(call), outlet)
    return _Counted(call, await seat_of(call), content, outlet, headers=headers)


def choice_of(query: QueryParams) -> Choice:
    """What a stream's query asks for. Raises `BadInput`."""
    if (names := query.get("names", "type")) not in ("type", "message"):
        raise BadInput(f"names={names}: type or message is expected")
    wanted = Filter(
        types=tuple(query.getlist("type")),
        tasks=tuple(map(task_id_of, query.getlist("task"))),
        operations=tuple(query.getlist("operation")),
        resources=tuple(query.getlist("resource")),
        actors=tuple(query.getlist("actor")),
        groups=tuple(map(_group, query.getlist("group"))),
    )
    return Choice(wanted, names == "type")


def _visible(call: AuthenticatedCall) -> VisibleTasks | None:
    """None for a user who may see all tasks."""
    if not call.scope:
        return None

    async def look(task_ids: Collection[UUID]) -> set[UUID]:
        async with call.service.connection() as connection:
            return await call.task_rights.visible(connection, call.principal, task_ids)

    return VisibleTasks(call.service.positions, look)


async def seat_of(call: AuthenticatedCall) -> Seat:
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

    def __init__(
        self,
        call: AuthenticatedCall,
        seat: Seat,
        content: AsyncGenerator[bytes],
        outlet: StreamOutlet | None,
        **more: Any,
    ) -> None:
        """Without an outlet all goes through the application."""
        super().__init__(content, **more)
        self._content = content
        self._outlet = outlet
        # Neither the call nor its request: a stream that continues outside the application would keep them.
        self._quotas, self._asking, self._seat = call.quotas, call.asking, seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if self._outlet is not None:
            direct: Direct = scope[DIRECT]
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            except BaseException:
                self._end()
                raise
            direct.continue_with(partial(self._continue, self._outlet), self._end)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()

    async def _continue(self, outlet: StreamOutlet) -> None:
        async with aclosing(self._content) as content:
            async for chunk in content:
                await outlet.send(chunk)
        await outlet.finish()

    def _end(self) -> None:
        self._seat.give_back()
        self._quotas.close_stream(self._asking)


class _Validity:
    """Whether the login of a stream is still valid."""

    def __init__(self, call: AuthenticatedCall) -> None:
        self._authenticator: Authenticator = call.request.app.state.authenticator
        self._audit: Audit = call.request.app.state.audit
        self._principal = call.principal
        self._address = RequestOrigin.of(call.request).address
        self._correlation_id = call.caller.correlation_id

    async def why_ended(self) -> str | None:
        """Why the user's stream must end; None while the login is valid."""
        if await self._authenticator.still_valid(self._principal):
            return None
        self._audit.note(
            What.STREAM_ENDED,
            actor=self._principal.actor,
            address=self._address,
            correlation_id=self._correlation_id,
        )
        name = self._principal.name
        return (
            f"user {name} was removed, or has another role or password now, or the token or session has ended: the"
            " stream has ended. Log in again"
        )


async def _not_cut_off(call: AuthenticatedCall, start: Cursor) -> Cursor:
    """A browser would repeat a stream that fails once it has begun, but not one that is refused."""
    start.check_begin(await call.service.first_offsets.read())
    return start


def _group(text: str) -> UUID:
    try:
        return UUID(text.rstrip("/").rpartition("/")[2])
    except ValueError:
        raise BadInput(f"group={text}: the id or href of a task group is expected") from None


def _milliseconds(time: datetime) -> int:
    return max(0, int(time.timestamp() * 1000))
