"""Dead letters: the records that cannot be projected, and what may be done about them. Not in Pulp 3."""

from base64 import b64encode
from collections.abc import Collection
from typing import Annotated, Final, Literal, NamedTuple, TypedDict
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_events.errors import BadInput
from pulp_events.events import Unparking
from pulp_events.task import Position
from pulp_projections.dead_letters import SHOWN, LetterRow, StoredLetter, page_of_letters
from pulp_projections.writing.parking import Standing

from pulp_api.authenticated_call import Authenticated
from pulp_api.bodies import decoded
from pulp_api.dead_letters import Acted, DeadLetterAct
from pulp_api.respond import instant, json, position_header
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT, FieldErrors
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import NUMBER, TEXT, QueryParameter, controls, items_of, list_of, one_of, refuse_unknown
from pulp_api.v3.references import Kind, uuid_of
from pulp_api.v3.tasks import href_of

router = APIRouter(prefix=ROOT)
PARAMETERS: Final = [
    *controls("limit offset"),
    QueryParameter(
        "task", {**TEXT, "description": "The id or href of a task; the list then includes the records that wait."}
    ),
    QueryParameter("partition", {**NUMBER, "minimum": 0}),
    QueryParameter("standing", list_of(one_of(Standing))),
]
_NAMES: Final = frozenset(parameter.name for parameter in PARAMETERS)
_MOST_PARTITION: Final = 2**31
StandingWord = Literal["dead", "parks", "waits", "discarded"]
_Standing = Annotated[
    StandingWord,
    Meta(
        description="Whether it belongs to no task, parks its task, waits behind the record that does, or was"
        " discarded, so that its task went on."
    ),
]


class DeadLetterResponse(TypedDict):
    """A record of the log that cannot be projected."""

    pulp_href: str
    position: Annotated[str, Meta(description="PARTITION:OFFSET")]
    time: Time
    reason: str
    published: Annotated[bool, Meta(description="Whether the dead-letter topic has it already.")]
    size_bytes: Annotated[int | None, Meta(description="The size of its value; null if it has none.")]
    standing: _Standing
    behind: Annotated[int, Meta(description="How many records wait behind it.")]
    task: Annotated[str | None, Meta(description="The href of its task.")]


class DeadLetterHeaderResponse(TypedDict):
    """A header of a record."""

    name: str
    value_base64: str | None


class SingleDeadLetterResponse(DeadLetterResponse):
    """A record that cannot be projected, with its contents."""

    parked_by: Annotated[
        str | None, Meta(description="For a record that waits: the position of the one that parks the task.")
    ]
    key_base64: str | None
    value_base64: str | None
    value: Annotated[str | None, Meta(description="The value, if it is text in UTF-8.")]
    headers: list[DeadLetterHeaderResponse]


class DeadLetterActResponse(TypedDict):
    """What was done about a dead letter."""

    position: Annotated[str, Meta(description="PARTITION:OFFSET of the dead letter.")]
    action: Literal["retry", "discard"]
    appended: Annotated[str, Meta(description="PARTITION:OFFSET of the record appended for it.")]
    behind: Annotated[int, Meta(description="How many records waited behind it.")]
    projected: Annotated[bool, Meta(description="Whether the projection has acted on it already; otherwise it will.")]


@router.get("/dead-letters/")
async def list_dead_letters(call: Authenticated, request: Request) -> Response:
    """A page of the records that cannot be projected, newest first: where each is, and why.

    `task` selects those of one task, including the records that wait; `partition` those of one partition; `standing`
    those with this standing.
    """
    refuse_unknown(request.query_params, _NAMES)
    limit, offset = limit_and_offset(request)
    asked = _asked(request)
    await call.at_least_positions()
    async with call.service.connection() as connection:
        if asked.task_id is not None and await call.hidden(connection, {asked.task_id}):
            return json(page_of(request, 0, []))
        rows, total = await page_of_letters(connection, limit=limit, offset=offset, **asked._asdict())
        hidden = await call.hidden(connection, {row.task_id for row in rows if row.task_id is not None})
    results = [_shown(row, None if row.task_id is None or row.task_id in hidden else row.task_id) for row in rows]
    return json(page_of(request, total, results))


@router.get("/dead-letters/{position}/")
async def read_dead_letter(call: Authenticated, position: str) -> Response:
    """One of them, with its key, headers and value: for operators, since it may hold arguments of any task."""
    call.need_operator()
    await call.at_least_positions()
    letter = await call.dead_letters.get(_position(position))
    return json(_single(letter))


@router.post("/dead-letters/{position}/retry/")
async def retry_dead_letter(call: Authenticated, request: Request, position: str) -> Response:
    """Have it projected, and those behind it; a `reason` is kept. 409 where it still cannot be, or waits itself.

    202 while the projection has not acted on it yet.
    """
    call.need_operator()
    wanted = await _body(request)
    await call.quotas.action(call.asking)
    acted = await call.dead_letters.retry(
        _position(position),
        call.caller,
        address=call.asking.address,
        method=call.principal.method.value,
        reason=wanted.reason,
    )
    return _acted(acted, Unparking.RETRY)


@router.post("/dead-letters/{position}/discard/")
async def discard_dead_letter(call: Authenticated, request: Request, position: str) -> Response:
    """Let its task go on without it, for ever; the `reason` is kept. 409 if it parks no task.

    202 while the projection has not acted on it yet.
    """
    call.need_operator()
    wanted = await _body(request)
    await call.quotas.action(call.asking)
    acted = await call.dead_letters.discard(_position(position), call.caller, reason=wanted.reason)
    return _acted(acted, Unparking.DISCARD)


class _Asked(NamedTuple):
    """Which dead letters are wanted."""

    task_id: UUID | None
    partition: int | None
    standings: Collection[Standing]


def _asked(request: Request) -> _Asked:
    """Raises `FieldErrors`."""
    query = request.query_params
    task, partition = query.get("task"), query.get("partition")
    if partition and not (partition.isascii() and partition.isdecimal() and int(partition[:20]) < _MOST_PARTITION):
        raise FieldErrors({"partition": [f"A number from 0 to {_MOST_PARTITION - 1} is expected."]})
    words = items_of(query.getlist("standing"))
    if unknown := [word for word in words if word not in list(Standing)]:
        raise FieldErrors({"standing": [f"{unknown[0]} is none of {', '.join(Standing)}."]})
    usual = SHOWN if not task else frozenset(Standing)
    return _Asked(
        uuid_of("task", Kind.TASK, task) if task else None,
        int(partition) if partition else None,
        frozenset(map(Standing, words)) or usual,
    )


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a position: PARTITION:OFFSET is expected, such as 3:1042") from None


async def _body(request: Request) -> DeadLetterAct:
    return decoded(await request.body() or b"{}", DeadLetterAct, "the body")


def _acted(acted: Acted, action: Unparking) -> Response:
    body: DeadLetterActResponse = {
        "position": str(acted.letter.position),
        "action": "retry" if action is Unparking.RETRY else "discard",
        "appended": str(acted.appended),
        "behind": acted.letter.behind,
        "projected": acted.is_projected,
    }
    return json(body, 200 if acted.is_projected else 202, position_header(acted.appended))


def _shown(row: LetterRow, task_id: UUID | None) -> DeadLetterResponse:
    position = str(Position(row.partition, row.record_offset))
    return {
        "pulp_href": f"{ROOT}/dead-letters/{position}/",
        "position": position,
        "time": instant(row.broker_time),
        "reason": row.reason,
        "published": row.sent,
        "size_bytes": row.size_bytes,
        "standing": row.standing.value,
        "behind": row.behind,
        "task": None if task_id is None else href_of(task_id),
    }


def _single(letter: StoredLetter) -> SingleDeadLetterResponse:
    row = LetterRow(
        letter.partition,
        letter.record_offset,
        letter.broker_time,
        letter.reason,
        None if letter.value is None else len(letter.value),
        letter.sent,
        Standing(letter.standing),
        letter.task_id,
        letter.behind,
    )
    return {
        **_shown(row, letter.task_id),
        "parked_by": None if letter.parked_by is None else str(Position(letter.partition, letter.parked_by)),
        "key_base64": _base64(letter.key),
        "value_base64": _base64(letter.value),
        "value": _text(letter.value),
        "headers": [{"name": name, "value_base64": value} for name, value in letter.headers],
    }


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
