"""Searches for repositories, in the same language as those for tasks. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from pulp_events.errors import BadInput
from pulp_projections.reading.queries import Condition

from pulp_api.errors import BadProperty
from pulp_api.v2.criteria import criteria_of, order_of, whole
from pulp_api.v2.fields import Bind, SearchField, TextField, found_in, orders_of
from pulp_api.v2.matching import matched
from pulp_api.v2.repository_bodies import KIND

_NOTES: Final = "notes."
_SEARCHED: Final[Mapping[str, SearchField]] = {
    "id": TextField("r.repo_id"),
    "_id": TextField("left(replace(r.pulp_id::text, '-', ''), 24)"),
    "display_name": TextField("coalesce(nullif(r.display_name, ''), r.repo_id)"),
    "description": TextField("r.description", is_nullable=True),
}
_ORDERS: Final = orders_of(_SEARCHED)
LAST: Final[LiteralString] = "r.repo_id"
"""The order without a sort."""
_ALWAYS: Final = frozenset({"_href", "_id", "id", "importers", "distributors"})


@dataclass(frozen=True, slots=True)
class RepositorySearch:
    """Which repositories and fields to return, and in which order."""

    condition: Condition
    limit: int | None
    skip: int
    order: LiteralString
    fields: frozenset[str] | None
    has_patterns: bool
    """The condition has regular expressions, which may take long."""

    def pick(self, shape: dict[str, Any]) -> dict[str, Any]:
        """The wanted fields of a repository, and always its ids."""
        if self.fields is None:
            return shape
        return {name: value for name, value in shape.items() if name in self.fields | _ALWAYS}


def repository_search_of(body: Mapping[str, Any]) -> RepositorySearch:
    """Read the search in a body. Raises `BadProperty`."""
    criteria = criteria_of(body)
    try:
        found = matched(criteria.get("filters") or {}, _field)
    except BadInput as error:
        raise BadProperty("filters", f"criteria.filters: {error}") from error
    fields = criteria.get("fields")
    return RepositorySearch(
        found.condition,
        whole(criteria, "limit", least=1),
        whole(criteria, "skip", least=0) or 0,
        order_of(criteria.get("sort"), _ORDERS, LAST),
        None if fields is None else frozenset(fields),
        found.has_patterns,
    )


def _field(name: str, bind: Bind) -> SearchField:
    if not name.startswith(_NOTES):
        return found_in(_SEARCHED, name)
    note = name.removeprefix(_NOTES)
    if note in KIND:  # never stored, always shown
        return TextField("('" + KIND[note] + "'::text)")
    return TextField("(r.notes ->> " + bind(note) + ")", is_nullable=True)
