"""The audit: the events of all tasks, by filter, in pages that neither skip nor repeat while events arrive."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, TypedDict
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta, Raw, Struct
from psycopg import AsyncConnection
from pulp_events.codec import TYPES
from pulp_events.cursor import Cursor, parse_start
from pulp_events.errors import BadInput
from pulp_events.filters import FIRST, kind_of
from pulp_events.task import Position, Reason
from pulp_projections.reading import archived_pages, audit, queries
from pulp_projections.reading.audit import AuditedEvent, AuditFilter
from starlette.datastructures import QueryParams

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.freshness import check_shown
from pulp_api.respond import instant, json, positions_header
from pulp_api.streaming.hub import Hub
from pulp_api.submitting.submission import task_id_of
from pulp_api.times import with_plus
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.paging import limit_and_offset
from pulp_api.v3.parameters import LIST, NUMBER, TEXT, QueryParameter, controls, list_of, refuse_unknown
from pulp_api.v3.picking import picker
from pulp_api.v3.tasks import href_of

router = APIRouter(prefix=ROOT)
_WHERE: Final = "a time with its zone, a cursor, or the PARTITION:OFFSET of an event"
PARAMETERS: Final = (
    *(
        QueryParameter(name, {**LIST, "description": text}, is_repeated=True)
        for name, text in (
            ("actor", "Who wrote the event: `user:NAME`, `worker:NAME` or `reactor`."),
            ("type", "Such as `cancel-requested`; matches every version of it."),
            ("effect", "`applied`, `ignored`, or the reason why events were ignored."),
            ("operation", "The operation of the event's task."),
            ("resource", "A resource that the event's task uses, as `TYPE:ID`."),
            ("task", "The id or href of a task."),
            ("group", "The id or href of a task group."),
            ("correlation_id", "The id of the request that submitted the event's task."),
        )
    ),
    QueryParameter("partition", {**list_of(NUMBER), "description": "Of the log."}, is_repeated=True),
    QueryParameter("since", {**TEXT, "description": f"From there on: {_WHERE}; by the brokers' clocks."}),
    QueryParameter("until", {**TEXT, "description": f"Before that time or cursor, up to that event: {_WHERE}."}),
    QueryParameter("cursor", {**TEXT, "description": "The `cursor` at which an earlier page ended."}),
    QueryParameter("end", {**TEXT, "description": "Return nothing after it: the `end` of an earlier page."}),
    *controls("limit fields exclude_fields"),
)
_NAMES: Final = frozenset({*(parameter.name for parameter in PARAMETERS), "format"})
_MOST_VALUES: Final = 100


class AuditEntryResponse(TypedDict):
    """An event of any task, with who caused it and how that was proved."""

    partition: int
    offset: int
    time: Annotated[Time, Meta(description="When the broker received it, by the broker's clock.")]
    event_time: Annotated[Time, Meta(description="When it was written, by its author's clock.")]
    type: str
    event_id: UUID
    actor: str
    authentication: Annotated[
        str | None, Meta(description="How the actor was authenticated; null if the event does not say.")
    ]
    address: Annotated[str | None, Meta(description="Where the request came from; null unless the site keeps it.")]
    client: Annotated[str | None, Meta(description="What the client calls itself.")]
    correlation_id: Annotated[str | None, Meta(description="The id of the request that led to the event.")]
    causation_id: str | None
    effect: Annotated[str, Meta(description="`applied`, or why the event was ignored.")]
    reason: Annotated[str | None, Meta(description="The reason that the requester gave.")]
    task: Annotated[str, Meta(description="The href of the task.")]
    operation: Annotated[str | None, Meta(description="The task's operation; null if no such task was accepted.")]
    task_group: str | None
    event: Annotated[Any, Meta(description="The event as it is in the log, in the CloudEvents format.")]


class AuditPageResponse(TypedDict):
    """A page of the audit, in the order of the log."""

    next: str | None
    previous: None
    cursor: Annotated[str, Meta(description="Where this page ends; a later request can continue there.")]
    end: Annotated[
        str, Meta(description="Where the read model ends now. Passed as `until`, it gives an export a fixed end.")
    ]
    results: list[AuditEntryResponse]


class _Span(NamedTuple):
    """Between which offsets to look, by partition."""

    starts: dict[int, int]
    stops: dict[int, int]


@router.get("/audit/")
async def list_events(call: Authenticated, request: Request) -> Response:
    """Events of all tasks, in the order of the log: within a partition by offset, among them by the brokers' clocks.

    Only events that match all filters; each may be repeated. For auditors and administrators. `next` is null once the
    page reaches the end; a later request continues from `cursor`. Events that arrive meanwhile are neither skipped nor
    repeated.
    """
    call.need_auditor()
    wanted = filter_of(request.query_params)
    hub: Hub = request.app.state.hub
    limit, _ = limit_and_offset(request)
    await call.quotas.search(call.asking)
    least = await call.at_least_positions()
    await _reach(call, hub.topic_id, _cursors(request.query_params))
    async with call.service.connection() as connection:
        shown = await queries.positions(
            connection
        )  # first, since everything before them is projected whatever arrives meanwhile
        check_shown(shown, least)
        span = await _span(connection, request.query_params, shown)
        page = await archived_pages.read_page(
            connection, wanted, span.starts, span.stops, limit=limit, archive=call.service.archive
        )
    picked = picker(request)
    cursor = str(Cursor.at(hub.topic_id, page.following))
    body = {
        "next": _next(request, cursor) if page.has_more else None,
        "previous": None,
        "cursor": cursor,
        "end": str(Cursor.at(hub.topic_id, shown)),
        "results": [picked(shape(entry)) for entry in page.entries],
    }
    return json(body, headers=positions_header(shown))


def filter_of(query: QueryParams) -> AuditFilter:
    """What a query asks for. Raises `BadInput`."""
    refuse_unknown(query, _NAMES)
    for name in _NAMES:
        if len(query.getlist(name)) > _MOST_VALUES:
            raise BadInput(f"{name}: at most {_MOST_VALUES} values are taken")
    since, until = _when("since", query), _when("until", query)
    return AuditFilter(
        actors=tuple(query.getlist("actor")),
        types=tuple(kind for text in query.getlist("type") for kind in _types(text)),
        effects=tuple(_effect(text) for text in query.getlist("effect")),
        operations=tuple(query.getlist("operation")),
        resources=tuple(query.getlist("resource")),
        tasks=tuple(task_id_of(text) for text in query.getlist("task")),
        groups=tuple(_group(text) for text in query.getlist("group")),
        correlations=tuple(query.getlist("correlation_id")),
        since=since if isinstance(since, datetime) else None,
        until=until if isinstance(until, datetime) else None,
    )


def shape(entry: AuditedEvent) -> AuditEntryResponse:
    """An event as the audit shows it."""
    said = _said(entry.event)
    return {
        "partition": entry.partition,
        "offset": entry.record_offset,
        "time": instant(entry.broker_time),
        "event_time": instant(entry.event_time),
        "type": entry.type,
        "event_id": entry.event_id,
        "actor": entry.actor,
        "authentication": said.data.request.authentication,
        "address": said.data.request.address,
        "client": said.data.request.client,
        "correlation_id": said.correlationid,
        "causation_id": said.causationid,
        "effect": entry.effect,
        "reason": said.data.reason,
        "task": href_of(entry.task_id),
        "operation": entry.operation,
        "task_group": None if entry.group_id is None else f"{ROOT}/task-groups/{entry.group_id}/",
        "event": Raw(entry.event),
    }


class _Request(Struct):
    authentication: str | None = None
    address: str | None = None
    client: str | None = None


class _Data(Struct):
    request: _Request = msgspec.field(default_factory=_Request)
    reason: str | None = None


class _Said(Struct):
    """What an event of any type and version says about its request."""

    data: _Data = msgspec.field(default_factory=_Data)
    correlationid: str | None = None
    causationid: str | None = None


_decode: Final = msgspec.json.Decoder(_Said).decode


def _said(event: bytes) -> _Said:
    try:
        return _decode(event)
    except msgspec.MsgspecError:  # of an unknown type, whose data may be anything
        return _Said()


def _cursors(query: QueryParams) -> list[Cursor]:
    places = [_when("since", query), _when("until", query)]
    named = [Cursor.parse(query[name]) for name in ("cursor", "end") if name in query]
    return [*named, *(place for place in places if isinstance(place, Cursor))]


async def _reach(call: AuthenticatedCall, topic_id: str, cursors: Sequence[Cursor]) -> None:
    """Wait until the read model has everything before the cursors; it asks Kafka only if that is not the case yet.

    Raises `TopicMismatch`, `OffsetOutOfRange` for one past the end of the log, `PositionNotReached`.
    """
    shown = {**dict.fromkeys(range(call.service.partitions), 0), **call.service.positions.current()}
    for cursor in cursors:
        is_there = all(shown.get(partition, 0) >= offset for partition, offset in cursor.positions.items())
        cursor.check(topic_id, shown if is_there else await call.service.log.end_offsets())
        if not is_there:
            await call.service.freshness.reach(cursor.positions)


async def _span(connection: AsyncConnection, query: QueryParams, shown: Mapping[int, int]) -> _Span:
    """The offsets to look between; cursors were checked. Raises `BadInput`."""
    starts, stops = dict.fromkeys(shown, 0), dict(shown)
    since, until = _when("since", query), _when("until", query)
    if "cursor" in query:
        starts = Cursor.parse(query["cursor"]).positions
    elif isinstance(since, Cursor):
        starts = since.positions
    elif isinstance(since, datetime):
        starts |= await audit.offsets_at(connection, since)
    elif isinstance(since, Position):
        starts[since.partition] = since.offset
    if isinstance(until, Cursor):
        stops = until.positions
    elif isinstance(until, datetime):
        stops |= await audit.offsets_before(connection, until)
    elif isinstance(until, Position):
        stops[until.partition] = min(until.offset + 1, shown.get(until.partition, 0))
    if "end" in query:
        ends = Cursor.parse(query["end"]).positions
        stops = {partition: min(stop, ends[partition]) for partition, stop in stops.items()}
    # An event names its partition, and so the requested one.
    wanted = {place.partition for place in (since, until) if isinstance(place, Position)}
    if len(wanted) > 1:
        raise BadInput("since and until are events of different partitions, which have no order")
    if _is_reversed(since, until):
        raise BadInput(f"since={query['since']} is after until={query['until']}: nothing is between them")
    named = {_partition(text) for text in query.getlist("partition")}
    if wanted and named and not wanted <= named:
        raise BadInput(
            f"since and until name an event of partition {min(wanted)}, which is not among those of partition="
            f"{','.join(map(str, sorted(named)))}"
        )
    wanted = wanted or named
    if unknown := wanted - set(shown):
        raise BadInput(f"there is no partition {min(unknown)}, they are 0 to {len(shown) - 1}")
    for partition in shown:
        if wanted and partition not in wanted:
            starts[partition] = stops[partition]
        starts[partition] = min(starts[partition], stops[partition])
    return _Span(starts, stops)


def _is_reversed(since: datetime | Cursor | Position | None, until: datetime | Cursor | Position | None) -> bool:
    """Whether the span ends before it begins; of a time and an event that is not known."""
    match since, until:
        case datetime(), datetime():
            return since > until
        case Position(), Position():
            return since.offset > until.offset
        case _:
            return False


def _when(name: str, query: QueryParams) -> datetime | Cursor | Position | None:
    text = query.get(name)
    if text is None or text == "":
        return None
    try:
        return Position.parse(text)
    except ValueError:
        pass
    try:
        start = parse_start(with_plus(text))
    except BadInput:
        start = "now"
    if isinstance(start, str):
        raise BadInput(f"{name}={text}: expected is {_WHERE}, such as 2026-11-24T12:00:00Z or 3:1042")
    return start


def _types(text: str) -> Sequence[str]:
    """The wire types that a word means: all versions of a kind, or just the one that is named in full."""
    if text in WIRE_TYPES:
        return WIRE_TYPES[text]
    if text.startswith("org."):  # an event of a later release, which is kept as well
        return [text]
    raise BadInput(f"type={text}: there are {', '.join(WIRE_TYPES)}, or a type in full")


WIRE_TYPES: Final[Mapping[str, list[str]]] = {
    kind_of(newest): [literal for literal in FIRST if kind_of(literal) == kind_of(newest)] for newest in TYPES.values()
}
"""Kind → its types on the wire."""


def _effect(text: str) -> str:
    known = (audit.APPLIED, audit.IGNORED, *Reason)
    if text not in known:
        raise BadInput(f"effect={text}: there are {', '.join(known)}")
    return text


def _group(text: str) -> UUID:
    try:
        return UUID(text.rstrip("/").rpartition("/")[2])
    except ValueError:
        raise BadInput(f"group={text}: the id or href of a task group is expected") from None


def _partition(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadInput(f"partition={text}: a number is expected")
    return int(text)


def _next(request: Request, cursor: str) -> str:
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    return f"{str(request.url).partition('?')[0]}?{urlencode([*query, ('cursor', cursor)])}"
