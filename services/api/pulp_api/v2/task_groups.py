"""Task groups in the v2 dialect: the tasks of one request. A task that was submitted alone is a group of its own."""

import asyncio
from typing import Final, LiteralString
from uuid import UUID

from fastapi import APIRouter, Response
from pulp_events.errors import TaskAlreadyFinal, TaskNotCancellable
from pulp_projections.reading import bounded, queries
from pulp_projections.reading.queries import SHOWN, Condition, TaskRow

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.canceller import Cancelled
from pulp_api.failures import GroupNotCancellable, NoGroup
from pulp_api.freshness import behind
from pulp_api.logins.auth import Forbidden
from pulp_api.respond import json
from pulp_api.v2.criteria import Search
from pulp_api.v2.dialect import ROOT
from pulp_api.v2.fields import uuid_of
from pulp_api.v2.listing import listed
from pulp_api.v2.reasons import waits_of
from pulp_api.v2.report import accepted, in_group, report
from pulp_api.v2.words import UNUSED, WORD_SQL, WORDS

router = APIRouter(prefix=f"{ROOT}/task_groups")
MOST_EXPLAINED = 100
"""The most tasks of a group that are shown with what they wait for."""
_AT_ONCE: Final = 8
"""How many tasks of a group are cancelled at the same time."""
_MOST_CANCELLED: Final = 10_000
_ORDER: Final[LiteralString] = "t.accepted_at, t.task_id"


@router.get("/{group_id}/")
async def read_group(call: Authenticated, group_id: str) -> Response:
    """The call reports of the tasks of a group, in order of submission, each with the address of the group."""
    members = await _members(call, group_id)
    if len(members) > MOST_EXPLAINED:
        await call.quotas.search(call.asking)
        return await listed(call, Search([_in(group_id)], is_group=True))
    async with call.service.connection() as connection:
        waits = [await waits_of(connection, call, task) for task in members]
    return json([in_group(report(task, each)) for task, each in zip(members, waits, strict=True)])


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
    ids = await _ids(call, group_id)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def cancel(task_id: UUID) -> Cancelled:
        async with turns:
            return await call.cancel(task_id)

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


async def _members(call: AuthenticatedCall, group_id: str) -> list[TaskRow]:
    """The first tasks of a group. Raises `NoGroup`, or `ReadModelUnavailable` if it may not be projected yet."""
    lag = await call.service.freshness.catch_up()
    async with call.service.connection() as connection:
        conditions = [_in(group_id), SHOWN, *call.scope]
        found = await bounded.tasks(connection, conditions, order=_ORDER, limit=MOST_EXPLAINED + 1)
    if not found:
        raise NoGroup(group_id) if lag is None else behind(lag)
    return found


async def _ids(call: AuthenticatedCall, group_id: str) -> list[UUID]:
    """The unfinished tasks of a group. Raises what `_members` raises."""
    await _members(call, group_id)
    conditions = [_in(group_id), Condition("not is_final(t.state)"), SHOWN, *call.scope]
    async with call.service.connection() as connection:
        return await queries.task_ids(connection, conditions, order=_ORDER, limit=_MOST_CANCELLED, offset=0)


def _in(group_id: str) -> Condition:
    group: UUID | None = uuid_of(group_id)
    return Condition(
        "(t.group_id = %(group)s::uuid or t.task_id = %(group)s::uuid and t.group_id is null)", {"group": group}
    )
