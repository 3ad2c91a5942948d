"""Subjects: whose personal data the arguments of tasks hold; for administrators. Not in Pulp 3.

A person's name is only ever in the body of a request: URLs are in access logs.
"""

from typing import Annotated, Final, TypedDict
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import Meta, Struct
from pulp_projections.personal.keys import Erasure, Subject

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.bodies import decoded
from pulp_api.respond import instant, json
from pulp_api.subjects import NoSubject, Subjects
from pulp_api.v3.answers import Time
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import FLAG, QueryParameter, controls, flag_of, names_of, refuse_unknown

router = APIRouter(prefix=ROOT)
PARAMETERS: Final = [QueryParameter("erased", FLAG), *controls("limit offset")]
MAX_REASON: Final = 300
MAX_NAME: Final = 1000


class FindSubject(Struct, forbid_unknown_fields=True):
    """The body of a search."""

    subject: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]


class EraseSubject(Struct, forbid_unknown_fields=True):
    """The body of an erasure."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]


class SubjectResponse(TypedDict):
    """What is known of a subject's key. The person's name is not."""

    pulp_href: str
    key_id: UUID
    pulp_created: Time
    tasks: Annotated[
        int | None,
        Meta(
            description="The number of tasks that hold data of the subject; for an erased one, at the time of erasure."
        ),
    ]
    unfinished: Annotated[int | None, Meta(description="The number of them that had not ended.")]
    erased_at: Time | None
    erased_by: str | None
    reason: str | None
    event_id: Annotated[UUID | None, Meta(description="The id of the erasure in the audit.")]
    told: Annotated[bool, Meta(description="Whether the audit has the erasure.")]


@router.get("/subjects/")
async def list_subjects(call: Authenticated, request: Request) -> Response:
    """A page of the subjects, newest first; with `erased=true` or `false` only those."""
    call.need_admin()
    refuse_unknown(request.query_params, names_of(PARAMETERS))
    await call.at_least_positions()
    limit, offset = limit_and_offset(request)
    is_erased = flag_of(request.query_params.get("erased", ""))
    found, total = await _subjects(call).page(is_erased=is_erased, limit=limit, offset=offset)
    return json(page_of(request, total, [_shape(each) for each in found]))


@router.post("/subjects/find/")
async def find_subject(call: Authenticated, request: Request) -> Response:
    """The keys of the person with a name: the one in use, and those that were destroyed. The name is in the body."""
    call.need_admin()
    wanted = decoded(await request.body(), FindSubject, "the search for a subject")
    await call.at_least_positions()
    found = await _subjects(call).find(wanted.subject)
    return json(page_of(request, len(found), [_shape(each) for each in found]))


@router.get("/subjects/{key_id}/")
async def read_subject(call: Authenticated, key_id: str) -> Response:
    """One subject, by the id of its key."""
    call.need_admin()
    await call.at_least_positions()
    return json(_shape(await _subjects(call).get(_id(key_id))))


@router.post("/subjects/{key_id}/erase/")
async def erase_subject(call: Authenticated, request: Request, key_id: str) -> Response:
    """Destroy the key of a subject, for ever: nobody can read that subject's personal data any more.

    A subject that is already erased stays as it is, and is returned. A reason that names the person is refused, as far
    as the server can tell, since it knows only a hash of the name.
    """
    call.need_admin()
    wanted = decoded(await request.body(), EraseSubject, "the erasure")
    erasure = Erasure(
        by=call.principal.actor,
        reason=wanted.reason,
        address=call.asking.address,
        method=call.principal.method,
        correlation_id=call.caller.correlation_id,
    )
    await call.service.freshness.catch_up()  # only for the numbers in the answer: the key is destroyed in any case
    return json(_shape(await _subjects(call).erase(_id(key_id), erasure)))


def _subjects(call: AuthenticatedCall) -> Subjects:
    found: Subjects = call.request.app.state.subjects
    return found


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NoSubject(text) from None


def _shape(subject: Subject) -> SubjectResponse:
    return {
        "pulp_href": f"{ROOT}/subjects/{subject.key_id}/",
        "key_id": subject.key_id,
        "pulp_created": instant(subject.created_at),
        "tasks": subject.tasks,
        "unfinished": subject.unfinished,
        "erased_at": instant(subject.erased_at),
        "erased_by": subject.erased_by,
        "reason": subject.reason,
        "event_id": subject.event_id,
        "told": subject.is_told,
    }
