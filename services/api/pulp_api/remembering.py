"""What a submission takes from earlier tasks: remembered arguments, and proof that a required operation has run."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from psycopg import AsyncConnection
from pulp_events.errors import BadInput, ReadModelUnavailable
from pulp_events.events import Accepted
from pulp_projections import queries
from pulp_projections.queries import TaskRow

from pulp_api.arguments import BadArguments
from pulp_api.auth import Connect
from pulp_api.submission import Draft, accepted

CatchUp = Callable[[], Awaitable[str | None]]


class NotThereYet(BadInput):
    """The operation needs the result of another operation, which has never run successfully on this resource."""

    def __init__(self, operation: str, requires: str, resource: str) -> None:
        kind, _, self.resource_id = resource.partition(":")
        super().__init__(
            f"operation {operation} needs a successful {requires} of {kind} {self.resource_id!r}: none has succeeded,"
            f" and none is under way. Submit {requires} first"
        )
        self.resource_type = kind


async def completed(draft: Draft, connect: Connect, catch_up: CatchUp) -> Accepted:
    """The event's data, completed from earlier tasks.

    Raises `BadArguments` if no task had a remembered argument that is missing, `NotThereYet`, and
    `ReadModelUnavailable` if the projection is too far behind to tell. `catch_up` returns the number of events that it
    is behind, or None.
    """
    await _check_required(draft, connect, catch_up)
    if not draft.left_out:
        return accepted(draft)
    lag = await catch_up()  # the newest may have been submitted just now
    if lag is not None:
        raise behind(lag)
    async with connect() as connection:
        return accepted(draft, await _remembered(connection, draft))


async def _remembered(connection: AsyncConnection, draft: Draft) -> dict[str, Any]:
    """The missing remembered arguments, each from the newest task with a value that is still valid.

    Raises `BadArguments` if there is none.
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
            where = "" if resource is None else f"; no earlier task on {resource} had one"
            raise by.refusal([lacking._replace(message=lacking.message + where)]) from None
    return found


def behind(lag: str) -> ReadModelUnavailable:
    """The error that says how many events the projection is behind."""
    return ReadModelUnavailable(
        f"the projection is behind the log (events behind: {lag}), so it is not known whether the task is there: try"
        " again later"
    )


def remembered_of(draft: Draft, task: TaskRow) -> dict[str, Any]:
    """The missing remembered arguments, as one task has them."""
    arguments = msgspec.json.decode(task.arguments)
    return {name: arguments[name] for name in draft.left_out if name in arguments}


async def _check_required(draft: Draft, connect: Connect, catch_up: CatchUp) -> None:
    """Raises `NotThereYet`."""
    requires = draft.operation.requires
    resource = None if requires is None else draft.resource  # which needs arguments that a submission may go without
    if requires is None or resource is None or await _has_run(connect, requires, resource):
        return
    lag = await catch_up()  # it may have been submitted just now
    if await _has_run(connect, requires, resource):
        return
    raise NotThereYet(draft.operation.name, requires, resource) if lag is None else behind(lag)


async def _has_run(connect: Connect, operation: str, resource: str) -> bool:
    async with connect() as connection:
        return await queries.has_run(connection, operation, resource)


def _is_taken(draft: Draft, more: Mapping[str, Any]) -> bool:
    """Whether values of an earlier task are valid today: the task may be older than the check."""
    assert draft.checker is not None
    try:
        draft.checker.check({**draft.arguments, **more})
    except BadArguments as error:
        return not any(problem.name in more for problem in error.problems)
    return True
