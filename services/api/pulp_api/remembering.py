"""What a submission takes from the tasks before it: remembered arguments, and that there was the one it requires."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from pulp_events.errors import BadInput, ReadModelUnavailable
from pulp_events.events import Accepted
from pulp_projections import queries
from pulp_projections.queries import TaskRow

from pulp_api.arguments import BadArguments, Problem
from pulp_api.auth import Connect
from pulp_api.submission import Draft, accepted

_KEPT: Final = "and no task before this one on"


class NotThereYet(BadInput):
    """The operation works on what another one makes, and that was never made."""

    def __init__(self, operation: str, requires: str, resource: str) -> None:
        kind, _, self.resource_id = resource.partition(":")
        super().__init__(
            f"operation {operation} needs what {requires} makes, and {kind} {self.resource_id!r} has none: no {requires}"
            f" of it was successful or is under way. Submit {requires} first"
        )
        self.resource_type = kind


async def completed(draft: Draft, connect: Connect, catch_up: Callable[[], Awaitable[str | None]]) -> Accepted:
    """The event's data, with what the tasks before it tell.

    Raises `BadArguments` for a remembered argument that no task had, `NotThereYet`, and `ReadModelUnavailable` where
    the projection is too far behind to tell. `catch_up` returns by how many events it is.
    """
    if not draft.left_out and draft.operation.requires is None:
        return accepted(draft)
    try:
        return accepted(draft, await _from_earlier_tasks(draft, connect))
    except BadInput:
        lag = await catch_up()  # the task that it takes may have been submitted just now
        try:
            return accepted(draft, await _from_earlier_tasks(draft, connect))
        except BadInput:
            if lag is not None:
                raise behind(lag) from None
            raise


async def _from_earlier_tasks(draft: Draft, connect: Connect) -> dict[str, Any]:
    async with connect() as connection:
        await _check_required(connection, draft)
        return await _remembered(connection, draft) if draft.left_out else {}


async def _remembered(connection: AsyncConnection, draft: Draft) -> dict[str, Any]:
    """The arguments that the draft leaves out, from the newest task that had one which is still taken.

    Raises `BadArguments` for those that no task had.
    """
    by, resource = draft.checker, draft.resource
    assert by is not None  # only what is declared is remembered
    found: dict[str, Any] = {}
    for name in draft.left_out:
        values = [] if resource is None else await queries.remembered(connection, draft.operation.name, resource, name)
        right = (value for value in values if _is_taken(draft, {**found, name: value}))
        try:
            found[name] = next(right)
        except StopIteration:
            lacking = by.lacking(name)
            where = "" if resource is None else f" {_KEPT} {resource} had one"
            raise by.refusal([lacking._replace(message=lacking.message + where)]) from None
    return found


def behind(lag: str) -> ReadModelUnavailable:
    """That the projection lacks so many events, so that nothing can be said."""
    return ReadModelUnavailable(
        f"the projection is behind the log (events behind: {lag}), so it is not known whether the task is there: try"
        " again later"
    )


def remembered_of(draft: Draft, task: TaskRow) -> dict[str, Any]:
    """The same, from one task."""
    arguments = msgspec.json.decode(task.arguments)
    return {name: arguments[name] for name in draft.left_out if name in arguments}


async def _check_required(connection: AsyncConnection, draft: Draft) -> None:
    """Raises `NotThereYet`."""
    requires, resource = draft.operation.requires, draft.resource
    if requires is None or resource is None:
        return
    if not await queries.has_run(connection, requires, resource):
        raise NotThereYet(draft.operation.name, requires, resource)


def _is_taken(draft: Draft, more: Mapping[str, Any]) -> bool:
    """Whether a value of an earlier task passes today's check: it may be of a time before there was one."""
    assert draft.checker is not None
    try:
        draft.checker.check({**draft.arguments, **more})
    except BadArguments as error:
        return not any(_is_about(problem, more) for problem in error.problems)
    return True


def _is_about(problem: Problem, names: Mapping[str, Any]) -> bool:
    return problem.path.partition(".")[0].partition("[")[0] in names
