"""What the v2 dialect's list can be narrowed by beyond Pulp 2's own parameters. Pure.

`operation`, `queue`, `worker`, `user`, `resource` (TYPE:ID), `since`/`until`, which bound the time of submission, and
`has_reruns`, which tells tasks that were run again from the others.
Each may be repeated: a task matches if it has any of the values, and matches every parameter.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, Query, Request
from pulp_events.errors import BadInput
from pulp_projections.reading.queries import Condition

from pulp_api.times import zoned_time

_Texts = Annotated[list[str] | None, Query()]


class Narrowing(NamedTuple):
    """What a request asks for; FastAPI fills it from the query."""

    operation: list[str] | None
    queue: list[str] | None
    worker: list[str] | None
    user: list[str] | None
    resource: list[str] | None
    since: str | None
    until: str | None
    has_reruns: bool | None

    def conditions(self) -> list[Condition]:
        """The conditions of the parameters that are there. Raises `BadInput`."""
        given = self._asdict()
        return [make(given[name]) for name, make in _CONDITIONS.items() if given[name] not in (None, "", [])]


async def narrowing(
    operation: _Texts = None,
    queue: _Texts = None,
    worker: _Texts = None,
    user: _Texts = None,
    resource: _Texts = None,
    since: str | None = None,
    until: str | None = None,
    has_reruns: bool | None = None,
) -> Narrowing:
    """The dependency of a list."""
    return Narrowing(operation, queue, worker, user, resource, since, until, has_reruns)


def no_others(*known: str) -> Any:
    """The dependency that refuses query parameters beside the known ones: a misspelt filter must not list all."""

    async def check(request: Request) -> None:
        unknown = sorted(set(request.query_params) - set(known))
        if unknown:
            raise BadInput(f"no such parameter: {', '.join(unknown)}; there are {', '.join(sorted(known))}")

    return Depends(check)


def _resources(values: Sequence[str]) -> Condition:
    # The user guide shows as resources what the tags name, which a submission may choose: either counts.
    return Condition(
        "t.task_id in (select k.task_id from task_resources k where k.resource = any (%(resource)s)"
        " union select g.task_id from tasks g where g.tags <> '{}' and g.tags && %(resource_tags)s)",
        {"resource": list(values), "resource_tags": [f"pulp:{value}" for value in values]},
    )


_CONDITIONS: Final[Mapping[str, Callable[[Any], Condition]]] = {
    "operation": lambda values: Condition("t.operation = any (%(operation)s)", {"operation": values}),
    "queue": lambda values: Condition("t.queue = any (%(queue)s)", {"queue": values}),
    "worker": lambda values: Condition("t.worker = any (%(worker)s)", {"worker": values}),
    "user": lambda values: Condition("t.created_by = any (%(user)s)", {"user": [f"user:{name}" for name in values]}),
    "resource": _resources,
    "has_reruns": lambda value: Condition(
        ("" if value else "not ") + "exists (select from task_causes k where k.cause = t.task_id)"
    ),
    "since": lambda text: Condition("t.accepted_at >= %(since)s", {"since": zoned_time("since", text)}),
    "until": lambda text: Condition("t.accepted_at < %(until)s", {"until": zoned_time("until", text)}),
}
