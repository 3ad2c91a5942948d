"""The filters of tasks by the resources that they use. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, LiteralString, NamedTuple

from pulp_projections.reading.queries import Condition, tasks_among

from pulp_api.v3.declared_filters import NOTHING, ListFilter
from pulp_api.v3.parameters import LIST, TEXT, QueryParameter, items_of


class Usage(NamedTuple):
    """One way to use a resource, such as exclusively."""

    tasks: LiteralString
    """A subquery that yields each task that uses the resource {resource} so once, in the order of an index."""
    resources: LiteralString
    """All resources that a task uses so."""


_ROWS: Final[LiteralString] = "select k.accepted_at, k.task_id from task_resources k where k.resource = {resource} and "
EXCLUSIVE: Final = Usage("(" + _ROWS + "k.access = 'e')", "t.exclusive_resources")
SHARED: Final = Usage("(" + _ROWS + "k.access <> 'e')", "t.shared_resources")
RESERVED: Final = Usage("(" + _ROWS + "k.access <> 'b')", "(t.exclusive_resources || t.shared_resources)")
_SUBSCRIPTS: Final[tuple[LiteralString, ...]] = ("[1]", "[2]", "[3]")
"""At most this many resources are joined as lists of tasks, and Postgres chooses where to begin. Further ones are only
checked on each task."""


def using(name: LiteralString, usage: Usage) -> Iterator[ListFilter]:
    """Two filters: `name` selects the tasks that use a resource in this way, `name__in` those that use all resources of
    a list in this way.

    Without a value, the first selects nothing, as no resource has an empty name.
    """
    listed: LiteralString = name + "__in"
    yield ListFilter(QueryParameter(name, TEXT), lambda texts: _condition(usage, name, texts[-1:]), if_empty=NOTHING)
    all_of = QueryParameter(listed, LIST)
    yield ListFilter(all_of, lambda texts: _condition(usage, listed, items_of(texts)), is_joined=True)


def _condition(usage: Usage, name: LiteralString, resources: Sequence[str]) -> Condition:
    if not resources:
        return Condition("true")
    values: LiteralString = "%(" + name + ")s::text[]"
    subscripts = _SUBSCRIPTS[: len(resources)]
    among = [usage.tasks.replace("{resource}", "(" + values + ")" + subscript) for subscript in subscripts]
    rest: LiteralString = usage.resources + " @> " + values if len(resources) > len(_SUBSCRIPTS) else ""
    return tasks_among(among, {name: list(resources)}, rest)
