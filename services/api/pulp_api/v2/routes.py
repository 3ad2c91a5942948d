"""Tasks in the v2 dialect, which the `pulp-admin` of the user guide speaks."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pulp_events.errors import TaskNotFound
from pulp_projections.reading.queries import Condition

from pulp_api.authenticated_call import MAX_REASON, Authenticated
from pulp_api.bodies import json_object
from pulp_api.respond import json, lag_header, position_header
from pulp_api.v2.criteria import Search, search_of
from pulp_api.v2.dialect import ROOT
from pulp_api.v2.fields import uuid_of
from pulp_api.v2.filters import CRITERIA, FILTERS, CriteriaInUrl, no_others
from pulp_api.v2.listing import listed, listed_then
from pulp_api.v2.reasons import waits_of
from pulp_api.v2.recent import recent
from pulp_api.v2.report import accepted, report
from pulp_api.v2.words import in_states, with_tags

router = APIRouter(prefix=ROOT)
_LISTED_BY: Final = no_others("tag", "id", "state", "limit", "skip", "as_of", *FILTERS.names)
_SEARCHED_BY: Final = no_others(*CRITERIA)


@router.get("/tasks/", dependencies=[_LISTED_BY])
async def list_tasks(
    call: Authenticated,
    request: Request,
    values: Annotated[Mapping[str, Any], Depends(FILTERS)],
    tag: Annotated[list[str] | None, Query()] = None,
    id: Annotated[list[str] | None, Query()] = None,  # Pulp's name
    state: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int | None, Query(ge=1)] = None,
    skip: Annotated[int, Query(ge=0)] = 0,
    as_of: str | None = None,
) -> Response:
    """Tasks in order of submission; `tag`: all must match; `id`, `state` and the others: any.

    Without any of them, unfinished tasks and those that ended within PULP_API_LISTED_S. With `as_of` (a time, an event
    as PARTITION:OFFSET, the Pulp-Position of an answer, or a cursor) as they were then, by the user's current rights;
    what they waited for is left out.
    """
    await call.quotas.search(call.asking)
    conditions = [*FILTERS.conditions(values), *with_tags(tag or [])]
    if id:
        ids = [found for text in id if (found := uuid_of(text)) is not None]
        conditions.append(Condition("t.task_id = any (%(ids)s)", {"ids": ids}))
    if state:
        conditions.append(in_states(state))
    if as_of is not None:
        return await listed_then(call, request, Search(conditions, limit=limit, skip=skip), as_of)
    if not conditions:
        conditions = await recent(call)
    return await listed(call, Search(conditions, limit=limit, skip=skip))


@router.post("/tasks/search/")
async def search_tasks(call: Authenticated, request: Request) -> Response:
    """`{"criteria": {"filters", "sort", "limit", "skip", "fields"}}`, with the filters of MongoDB that Pulp 2 takes."""
    await call.quotas.search(call.asking)
    return await listed(call, search_of(json_object(await request.body())))


@router.get("/tasks/search/", dependencies=[_SEARCHED_BY])
async def search_tasks_by_url(call: Authenticated, criteria: CriteriaInUrl) -> Response:
    """The same, with `filters` and `sort` as JSON texts, and `field` repeated."""
    await call.quotas.search(call.asking)
    return await listed(call, search_of(criteria))


@router.get("/tasks/{task_id}/")
async def read_task(call: Authenticated, request: Request, task_id: str) -> Response:
    """One task; with `as_of`, which is as that of lists, as it was then."""
    reading = await call.read(_existing(task_id))
    rerun_of, reruns = reading.reruns
    linked = {"rerun_of": rerun_of, "reruns": reruns}  # not in Pulp 2; ids like the others
    if "as_of" in request.query_params:
        return json({**report(reading.task), **linked}, headers=lag_header(reading.lag))
    async with call.service.connection() as connection:
        waits = await waits_of(connection, call, [reading.task])
    return json({**report(reading.task, waits[reading.task.task_id]), **linked}, headers=lag_header(reading.lag))


@router.delete("/tasks/{task_id}/")
async def cancel_task(
    call: Authenticated, task_id: str, reason: Annotated[str | None, Query(max_length=MAX_REASON)] = None
) -> Response:
    """Cancel: 202 with the call report; usually the task has ended by then, and its state is `canceled`.

    A `reason` is kept in the history.
    """
    cancelled = await call.cancel(_existing(task_id), reason)
    return json(accepted(cancelled.task), 202, position_header(cancelled.position))


def _existing(text: str) -> UUID:
    found = uuid_of(text)
    if found is None:
        raise TaskNotFound(text)
    return found
