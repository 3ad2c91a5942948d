"""What a submission takes from its repository and from earlier tasks: arguments, and whether a sync has run."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from psycopg import AsyncConnection
from pulp_events.errors import BadInput
from pulp_events.events import Accepted
from pulp_projections import repositories
from pulp_projections.reading import queries
from pulp_projections.reading.queries import TaskRow

from pulp_api.freshness import behind
from pulp_api.logins.auth import Connect
from pulp_api.submitting.arguments import InvalidArguments
from pulp_api.submitting.repository_bodies import OPERATIONS
from pulp_api.submitting.submission import Draft, accepted

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


async def with_options(draft: Draft, connect: Connect, catch_up: CatchUp) -> Draft:
    """The draft with the arguments that it leaves out and its repository has.

    Raises `InvalidArguments` for those that do not fit the operation any more, but for what earlier tasks may have.
    """
    repo_id = _repository_of(draft)
    if repo_id is None:
        return draft
    async with connect() as connection:
        by_operation = await repositories.options_of(connection, repo_id)
    if not by_operation and draft.operation.requires is not None:
        await catch_up()  # a repository removed just now must not count as synced
    found = by_operation.get(draft.operation.name, {})
    options = {name: value for name, value in found.items() if name not in draft.arguments}
    for name in draft.left_out:
        if name in options and not _is_taken(draft, {name: options[name]}):
            del options[name]
    if not options:
        return draft
    by = draft.checker
    left_out = draft.left_out if by is None else by.check({**draft.arguments, **options})
    return draft._replace(options=options, left_out=left_out)


def _repository_of(draft: Draft) -> str | None:
    """The repository that may have arguments for this submission; None also if no repository can be meant."""
    if draft.operation.name not in OPERATIONS:
        return None
    try:
        resource = draft.resource
    except BadInput:  # an argument is missing, which is allowed if the submission names its resources
        return None
    if resource is None or "\0" in resource:  # `accepted` refuses it
        return None
    return repositories.repo_id_of(resource)


async def completed(draft: Draft, connect: Connect, catch_up: CatchUp) -> Accepted:
    """The event's data, completed from earlier tasks.

    Raises `InvalidArguments` if no task had a remembered argument that is missing, `NotThereYet`, and
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

    Raises `InvalidArguments` if no task has one.
    """
    by, resource = draft.checker, draft.resource
    assert by is not None  # only declared arguments are remembered
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


def as_then(draft: Draft, task: TaskRow) -> Accepted:
    """The event's data as it would have been when `task` was created, with the values that were filled in then."""
    arguments = msgspec.json.decode(task.arguments)
    filled_in = (*draft.left_out, *draft.options)
    return accepted(draft._replace(options={}), {name: arguments[name] for name in filled_in if name in arguments})


async def _check_required(draft: Draft, connect: Connect, catch_up: CatchUp) -> None:
    """Raises `NotThereYet`."""
    requires = draft.operation.requires
    resource = None if requires is None else draft.resource  # may need arguments, so only if required
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
    """Whether values of an earlier task are valid now; the task may be older than the present declaration."""
    assert draft.checker is not None
    try:
        draft.checker.check({**draft.arguments, **more})
    except InvalidArguments as error:
        return not any(problem.name in more for problem in error.problems)
    return True
