"""The filters by what tasks use. Pure."""

from collections.abc import Sequence
from typing import Final, LiteralString, NamedTuple

from pulp_projections.queries import Condition, tasks_among


class Use(NamedTuple):
    """A way to use a resource."""

    rows: LiteralString
    """A subselect of `task_resources` that has each task which uses the resource {resource} so once, in the order of an
    index."""
    resources: LiteralString
    """All that a task uses so."""


_ROWS: Final[LiteralString] = "select k.accepted_at, k.task_id from task_resources k where k.resource = {resource} and "
_NOT_EXCLUSIVELY_TOO: Final[LiteralString] = (
    " and not exists (select from task_resources e where e.resource = k.resource and e.exclusive"
    " and e.accepted_at = k.accepted_at and e.task_id = k.task_id)"
)
EXCLUSIVE: Final = Use("(" + _ROWS + "k.exclusive)", "t.exclusive_resources")
SHARED: Final = Use("(" + _ROWS + "not k.exclusive)", "t.shared_resources")
RESERVED: Final = Use(
    "(" + _ROWS + "k.exclusive union all " + _ROWS + "not k.exclusive" + _NOT_EXCLUSIVELY_TOO + ")",
    "(t.exclusive_resources || t.shared_resources)",
)


def using(use: Use, name: LiteralString, resources: Sequence[str]) -> Condition:
    """The tasks that use all of the resources so; any task if there are none. `name` is that of the parameter."""
    if not resources:
        return Condition("true")
    values: LiteralString = "%(" + name + ")s::text[]"
    rest: LiteralString = use.resources + " @> " + values if len(resources) > 1 else ""
    return tasks_among(use.rows.replace("{resource}", "(" + values + ")[1]"), {name: list(resources)}, rest)
