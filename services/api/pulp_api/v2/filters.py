"""Filters of the v2 task list that Pulp 2 did not have, declared like a table. Pure.

A repeated parameter matches any of its values; a task has to match all parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Annotated, Any, Final, LiteralString, NamedTuple

from fastapi import Depends, Query, Request
from pulp_events.errors import BadInput
from pulp_projections.reading.queries import FIRST_SHOWN, PURGED, SHOWN, Condition

from pulp_api.times import zoned_time
from pulp_api.v2.criteria import criteria_in_url


class TaskListFilter(NamedTuple):
    """One query parameter that narrows the list."""

    name: str
    type: Any
    """The type that FastAPI reads the parameter as; it refuses other values."""
    condition: Callable[[Any], Condition]
    """Raises `BadInput`."""
    if_purged: Callable[[Any], Condition] | None = None
    """The condition in a list of purged tasks, if it differs there."""


class TaskListFilters:
    """A dependency that gives a handler the values of all declared filters; `conditions` turns them into SQL."""

    def __init__(self, *declared: TaskListFilter) -> None:
        self._declared = declared
        self.names: Final = tuple(each.name for each in declared)
        # FastAPI reads the parameters of a dependency from its signature.
        self.__signature__: Final = Signature(
            [Parameter(each.name, Parameter.KEYWORD_ONLY, default=None, annotation=each.type) for each in declared]
        )

    async def __call__(self, **values: Any) -> Mapping[str, Any]:
        """The values by name; None for a parameter that the request does not have."""
        return values

    def conditions(self, values: Mapping[str, Any]) -> list[Condition]:
        """The conditions of the given parameters. Raises `BadInput`."""
        found = []
        for each in self._declared:
            if values[each.name] not in (None, "", []):
                make = each.if_purged if values.get("purged") and each.if_purged else each.condition
                found.append(make(values[each.name]))
        return found


def no_others(*known: str) -> Any:
    """A dependency that refuses unknown query parameters, so that a misspelt filter does not list everything."""

    async def check(request: Request) -> None:
        unknown = sorted(set(request.query_params) - set(known))
        if unknown:
            raise BadInput(f"no such parameter: {', '.join(unknown)}; there are {', '.join(sorted(known))}")

    return Depends(check)


def _criteria(
    filters: str = "{}",
    sort: str = "null",
    limit: str | None = None,
    skip: str | None = None,
    field: Annotated[list[str] | None, Query()] = None,
) -> dict[str, Any]:
    return criteria_in_url(filters, sort, limit, skip, field)


CriteriaInUrl = Annotated[dict[str, Any], Depends(_criteria)]
"""The body of a search, from a URL that has `filters` and `sort` as JSON texts, and `field` repeated."""
CRITERIA: Final = ("filters", "sort", "limit", "skip", "field")
"""The names of its parameters."""
_Texts = Annotated[list[str] | None, Query()]


def _any_of(name: LiteralString, column: LiteralString, prefix: str = "") -> TaskListFilter:
    sql: LiteralString = column + " = any (%(" + name + ")s)"
    return TaskListFilter(name, _Texts, lambda texts: Condition(sql, {name: [prefix + text for text in texts]}))


def _time(name: LiteralString, comparison: LiteralString) -> TaskListFilter:
    sql: LiteralString = comparison + " %(" + name + ")s"
    return TaskListFilter(name, str | None, lambda text: Condition(sql, {name: zoned_time(name, text)}))


def _flag(name: LiteralString, sql: LiteralString) -> TaskListFilter:
    return TaskListFilter(name, bool | None, lambda value: Condition(("" if value else "not ") + sql))


def _resources(uses: LiteralString, tagged: LiteralString) -> Callable[[Sequence[str]], Condition]:
    # The user guide shows tags as resources, and a submission may choose its tags: match either.
    sql: LiteralString = (
        "t.task_id in (select k.task_id from task_resources k where k.resource = any (%(resource)s)" + uses + " union"
        " select g.task_id from tasks g where g.tags <> '{}' and g.tags && %(resource_tags)s and " + tagged + ")"
    )
    return lambda values: Condition(
        sql, {"resource": list(values), "resource_tags": [f"pulp:{value}" for value in values]}
    )


FILTERS: Final = TaskListFilters(
    _any_of("operation", "t.operation"),
    _any_of("queue", "t.queue"),
    _any_of("worker", "t.worker"),
    _any_of("user", "t.created_by", prefix="user:"),
    TaskListFilter(
        "resource",
        _Texts,
        _resources(" and k.accepted_at >= " + FIRST_SHOWN, "g.purged_at is null"),
        if_purged=_resources("", "g.purged_at is not null"),
    ),
    _time("since", "t.accepted_at >="),
    _time("until", "t.accepted_at <"),
    _flag("has_reruns", "exists (select from task_causes k where k.cause = t.task_id)"),
    TaskListFilter("purged", bool | None, lambda value: PURGED if value else SHOWN),
)
