"""Task groups in the v2 dialect: the tasks of one request. A task submitted alone is a group of its own."""

import asyncio
from typing import Annotated, Final, LiteralString
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pulp_events.errors import BadInput, TaskAlreadyFinal, TaskNotCancellable
from pulp_projections.reading import groups, queries
from pulp_projections.reading.queries import SHOWN, Condition

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.canceller import Cancelled
from pulp_api.failures import GroupNotCancellable, NoGroup
from pulp_api.freshness import behind, check_shown
from pulp_api.logins.auth import Forbidden
from pulp_api.respond import json, lag_header, positions_header
from pulp_api.v2.criteria import Search
from pulp_api.v2.dialect import ROOT
from pulp_api.v2.fields import uuid_of
from pulp_api.v2.filters import no_others
from pulp_api.v2.listing import listed
from pulp_api.v2.recent import recent
from pulp_api.v2.report import accepted, group_shape, in_group
from pulp_api.v2.words import UNUSED, WORD_SQL, WORDS

router = APIRouter(prefix=f"{ROOT}/task_groups")
MOST_LISTED: Final = 10_000
"""The most groups of a list."""
MOST_UNCOUNTED: Final = 100
"""To read a larger group counts as a search. Clients that wait for a small one read it again and again."""
_AT_ONCE: Final = 8
"""How many tasks of a group are cancelled at the same time."""
_MOST_CANCELLED: Final = 10_000
_ORDER: Final[LiteralString] = "t.accepted_at, t.task_id"


@router.get("/", dependencies=[no_others("limit", "skip")])
async def list_groups(
    call: Authenticated,
    limit: Annotated[int | None, Query(ge=1, le=MOST_LISTED)] = None,
    skip: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """The groups of the tasks that `tasks/` lists, the one that was begun first before the others."""
    await call.quotas.search(call.asking)
    lag = await call.service.freshness.catch_up()
    least = await call.at_least_positions()
    conditions = [*await recent(call), SHOWN, *call.scope]
    async with call.service.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        shown = await queries.positions(connection)
        check_shown(shown, least)
        found = await groups.of_tasks(
            connection, conditions, limit=MOST_LISTED + 1 if limit is None else limit, offset=skip
        )
    if len(found) > MOST_LISTED:
        raise BadInput(f"there are more than {MOST_LISTED} groups: page by 'limit' and 'skip'")
    return json([group_shape(each) for each in found], headers={**positions_header(shown), **lag_header(lag)})


@router.get("/{group_id}/")
async def read_group(call: Authenticated, group_id: str) -> Response:
    """The call reports of the tasks of a group, in order of submission, each with the address of the group."""
    if len(await _first(call, group_id)) > MOST_UNCOUNTED:
        await call.quotas.search(call.asking)
    return await listed(call, Search([_in(group_id)], is_group=True))


@router.get("/{group_id}/state_summary/")
async def summarize_group(call: Authenticated, group_id: str) -> Response:
    """How many tasks of a group are in each state; zeros for a group that does not exist, as in Pulp 2."""
    await call.service.freshness.catch_up()
    async with call.service.connection() as connection:
        counts = await queries.counts_by(connection, WORD_SQL, [_in(group_id), SHOWN, *call.scope])
    known = {word: counts.get(word, 0) for word in (*WORDS.values(), *UNUSED)}
    return json({"total": sum(counts.values()), **known})


@router.delete("/{group_id}/")
async def cancel_group(call: Authenticated, group_id: str) -> Response:
    """Cancel all tasks of a group that have not ended and that the user may cancel: 202 with their call reports."""
    await call.admit_cancels()
    ids = await _ids(call, group_id)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def cancel(task_id: UUID) -> Cancelled:
        async with turns:
            return await call.cancel_admitted(task_id)

    found = await asyncio.gather(*map(cancel, ids), return_exceptions=True)
    cancelled = [each for each in found if isinstance(each, Cancelled)]
    failed = [each for each in found if isinstance(each, BaseException)]
    tolerated = (TaskAlreadyFinal, TaskNotCancellable, *((Forbidden,) if cancelled else ()))
    for error in failed:
        if not isinstance(error, tolerated):
            raise error
    if not cancelled:
        raise GroupNotCancellable(group_id)
    return json([in_group(accepted(each.task)) for each in cancelled], 202)


async def _first(call: AuthenticatedCall, group_id: str) -> list[UUID]:
    """The first tasks of a group, just enough to tell whether it is large.

    Raises `NoGroup`, or `ReadModelUnavailable` if it may not be projected yet.
    """
    lag = await call.service.freshness.catch_up()
    conditions = [_in(group_id), SHOWN, *call.scope]
    async with call.service.connection() as connection:
        found = await queries.task_ids(connection, conditions, order=_ORDER, limit=MOST_UNCOUNTED + 1, offset=0)
    if not found:
        raise NoGroup(group_id) if lag is None else behind(lag)
    return found


async def _ids(call: AuthenticatedCall, group_id: str) -> list[UUID]:
    """The unfinished tasks of a group. Raises what `_first` raises."""
    await _first(call, group_id)
    conditions = [_in(group_id), Condition("not is_final(t.state)"), SHOWN, *call.scope]
    async with call.service.connection() as connection:
        return await queries.task_ids(connection, conditions, order=_ORDER, limit=_MOST_CANCELLED, offset=0)


def _in(group_id: str) -> Condition:
    group: UUID | None = uuid_of(group_id)
    return Condition(
        "(t.group_id = %(group)s::uuid or t.task_id = %(group)s::uuid and t.group_id is null)", {"group": group}
    )
