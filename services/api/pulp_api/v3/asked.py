"""The rows and the order that a request asks of a list. Pure."""

from collections.abc import Callable, Sequence
from typing import LiteralString, NamedTuple

from pulp_projections.reading.queries import Condition
from starlette.datastructures import QueryParams

from pulp_api.v3.declared_filters import DeclaredFilters
from pulp_api.v3.expression import expression
from pulp_api.v3.problems import Problems


class Asked(NamedTuple):
    """The conditions of a request, and its ORDER BY."""

    conditions: list[Condition]
    order: LiteralString


def asked(
    query: QueryParams, filters: DeclaredFilters, order_of: Callable[[Sequence[str]], LiteralString], *, q: bool = True
) -> Asked:
    """Read all parameters of a list. `q` says whether it takes expressions.

    Raises `FieldErrors` with everything that is wrong, as Pulp 3 answers, and 404 for another format than JSON.
    """
    problems = Problems()
    conditions: list[Condition] = []
    order: LiteralString = ""
    with problems:
        conditions += filters.conditions(query, ["q"] if q else [])
    if q and (text := query.get("q", "").strip()):
        with problems:
            conditions.append(expression(text, filters))
    with problems:
        order = order_of(query.getlist("ordering"))
    problems.check()
    return Asked(conditions, order)
