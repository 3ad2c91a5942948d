"""The filters by what tasks use. Pure."""

from collections.abc import Sequence
from typing import Final, LiteralString, NamedTuple

from pulp_projections.reading.queries import Condition, tasks_among


class Way(NamedTuple):
    """A way to use a resource."""

    tasks: LiteralString
    """A subselect of the tasks that use the resource {resource} so, each once, in the order of an index."""
    resources: LiteralString
    """All that a task uses so."""


_ROWS: Final[LiteralString] = "select k.accepted_at, k.task_id from task_resources k where k.resource = {resource} and "
EXCLUSIVE: Final = Way("(" + _ROWS + "k.access = 'e')", "t.exclusive_resources")
SHARED: Final = Way("(" + _ROWS + "k.access <> 'e')", "t.shared_resources")
RESERVED: Final = Way("(" + _ROWS + "k.access <> 'b')", "(t.exclusive_resources || t.shared_resources)")
_PLACES: Final[tuple[LiteralString, ...]] = ("[1]", "[2]", "[3]")
"""As many lists of tasks are joined; Postgres chooses where to begin. Of more resources only the tasks are asked."""


def using(way: Way, name: LiteralString, resources: Sequence[str]) -> Condition:
    """The tasks that use all of the resources so; any task if there are none. `name` is that of the parameter."""
    if not resources:
        return Condition("true")
    values: LiteralString = "%(" + name + ")s::text[]"
    among = [way.tasks.replace("{resource}", "(" + values + ")" + place) for place in _PLACES[: len(resources)]]
    rest: LiteralString = way.resources + " @> " + values if len(resources) > len(_PLACES) else ""
    return tasks_among(among, {name: list(resources)}, rest)
