"""Task groups in the v3 dialect: what one request has started, or what clients gave the same `group_id`."""

from typing import Annotated, Any, Final, NotRequired, TypedDict
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import Meta
from pulp_events.task import State
from pulp_projections.reading.groups import GroupRow, group, groups, unfinished
from pulp_projections.reading.queries import TaskRow

from pulp_api.authenticated_call import Authenticated, AuthenticatedCall
from pulp_api.freshness import behind
from pulp_api.respond import json, lag_header
from pulp_api.v3 import unblocked
from pulp_api.v3.cancelling import reason_of_cancel
from pulp_api.v3.declared_filters import DeclaredFilters
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.identity import identity
from pulp_api.v3.paging import limit_and_offset, page_of
from pulp_api.v3.parameters import controls
from pulp_api.v3.picking import pick, picker
from pulp_api.v3.references import Kind
from pulp_api.v3.tasks import MINIMAL, WORDS, MinimalTaskResponse, shape

router = APIRouter(prefix=ROOT)
GROUP_FILTERS: Final = DeclaredFilters(
    controls("limit offset fields exclude_fields"), identity(Kind.GROUP, "g.group_id")
)
MOST_TASKS: Final = 10_000
"""The most tasks shown with a single group; `tasks/?task_group=` lists all."""
MOST_LISTED: Final = 20
"""The same for each group of a list."""
_MAX_LIMIT: Final = 100
_CANCELLED_AT_ONCE: Final = 1000
_MISSING: Final = {"detail": "No TaskGroup matches the given query."}


class TaskGroupResponse(TypedDict):
    """A task group. Its counters are exact, and of the same moment as its tasks."""

    pulp_href: str
    prn: str
    description: Annotated[str, Meta(description="The operation of its first task.")]
    all_tasks_dispatched: Annotated[bool, Meta(description="Always true, as a group can get another task at any time.")]
    waiting: int
    skipped: int
    running: int
    completed: int
    canceled: int
    failed: int
    canceling: int
    group_progress_reports: list[dict[str, Any]]
    tasks: Annotated[list[MinimalTaskResponse], Meta(description="In order of submission.")]
    omitted: NotRequired[Annotated[list[str], Meta(description="`tasks`, if there are more tasks than are shown.")]]


@router.get("/task-groups/")
async def list_groups(call: Authenticated, request: Request) -> Response:
    """A page of the task groups, the newest first, with the first tasks of each."""
    conditions = GROUP_FILTERS.conditions(request.query_params)
    await call.quotas.search(call.asking)
    limit, offset = limit_and_offset(request, _MAX_LIMIT)
    await call.at_least_positions()
    async with call.service.connection() as connection:
        page = await groups(
            connection, conditions, limit=limit, offset=offset, most_tasks=MOST_LISTED, scope=call.scope
        )
    picked = picker(request)
    return json(page_of(request, page.total, [picked(row) for row in await _shown(call, page.rows)], _MAX_LIMIT))


@router.get("/task-groups/{group_id}/")
async def read_group(call: Authenticated, request: Request, group_id: str) -> Response:
    """One group, with every event that was durable when the request came."""
    wanted = _uuid(group_id)
    if wanted is None:
        return json({"detail": "Not found."}, 404)
    return await _answer(call, request, wanted)


@router.patch("/task-groups/{group_id}/")
async def cancel_group(call: Authenticated, request: Request, group_id: str) -> Response:
    """`{"state": "canceled"}` cancels every task of the group that waits or runs.

    Submitters cancel those that they own; 403 without any. 409 with the group if some still wait or run afterwards, as
    they cannot be cancelled or belong to others.
    """
    wanted = _uuid(group_id)
    if wanted is None:
        return json({"detail": "Not found."}, 404)
    reason = await reason_of_cancel(request)
    await call.service.freshness.catch_up()
    asked: set[UUID] = set()
    tasks: list[TaskRow] | None = None
    while tasks is None or tasks:
        async with call.service.connection() as connection:
            found = await unfinished(connection, wanted, limit=_CANCELLED_AT_ONCE + len(asked), scope=call.scope)
        tasks = [task for task in found if task.task_id not in asked]
        if tasks or not asked:  # without any task it still checks the rights
            await call.cancel_all(tasks, reason)
        asked |= {task.task_id for task in tasks}
    return await _answer(call, request, wanted, is_cancel=True)


async def _answer(call: AuthenticatedCall, request: Request, group_id: UUID, *, is_cancel: bool = False) -> Response:
    async with call.service.freshness.fresh_connection(call.least_positions()) as (connection, lag):
        found = await group(connection, group_id, most_tasks=MOST_TASKS, scope=call.scope)
    if found is None and lag is not None:
        raise behind(lag)
    if found is None:
        return json(_MISSING, 404)
    is_left = is_cancel and any(found.counts.get(state) for state in (State.WAITING, State.RUNNING))
    [shown] = await _shown(call, [found])
    return json(picker(request)(shown), 409 if is_left else 200, headers=lag_header(lag))


async def _shown(call: AuthenticatedCall, rows: list[GroupRow]) -> list[TaskGroupResponse]:
    tasks = [task for row in rows for task in row.tasks]
    times = await unblocked.times_of(call.service, tasks) if tasks else {}
    shown: list[TaskGroupResponse] = []
    for row in rows:
        count = {word: row.counts.get(state, 0) for state, word in WORDS.items()}
        minimal = [pick(shape(task, times.get(task.task_id)), (), (), MINIMAL) for task in row.tasks]
        one: TaskGroupResponse = {
            "pulp_href": Kind.GROUP.href(row.group_id),
            "prn": Kind.GROUP.prn(row.group_id),
            "description": row.tasks[0].operation if row.tasks else "",
            "all_tasks_dispatched": True,
            "waiting": count["waiting"],
            "skipped": count["skipped"],
            "running": count["running"],
            "completed": count["completed"],
            "canceled": count["canceled"],
            "failed": count["failed"],
            "canceling": count["canceling"],
            "group_progress_reports": [],
            "tasks": minimal,  # type: ignore[typeddict-item]  # the fields of a task that its minimal form has
        }
        if sum(row.counts.values()) > len(row.tasks):
            one["omitted"] = ["tasks"]
        shown.append(one)
    return shown


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
