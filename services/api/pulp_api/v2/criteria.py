"""The criteria of a search: filters, order, and which tasks and fields are wanted. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, LiteralString, TypeGuard

import msgspec
from pulp_events.errors import BadInput
from pulp_events.plain_words import REFUSALS, not_json
from pulp_projections.reading.as_of import Past
from pulp_projections.reading.queries import Condition

from pulp_api.errors import BadProperty
from pulp_api.v2.fields import SEARCHED, orders_of, task_field
from pulp_api.v2.matching import matched
from pulp_api.v2.report import ALWAYS, FIELDS, WAITS, in_group

_ORDERS: Final = orders_of(SEARCHED)
_DIRECTIONS: Final[dict[str, LiteralString]] = {
    **dict.fromkeys(("ascending", "1"), " asc nulls first"),
    **dict.fromkeys(("descending", "-1"), " desc nulls last"),
}
_LAST: Final[LiteralString] = "t.accepted_at, t.task_id"
_BY_ID: Final[LiteralString] = _ORDERS["id"] + _DIRECTIONS["ascending"] + ", " + _LAST
"""The same order."""
_MOST_ORDERS: Final = 10
_NUMBER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Search:
    """Which tasks and fields to return, and in which order."""

    conditions: Sequence[Condition] = ()
    limit: int | None = None
    skip: int = 0
    order: LiteralString = _LAST
    fields: frozenset[str] | None = None
    has_patterns: bool = False
    """The conditions have regular expressions, which may take long."""
    is_group: bool = False
    """Each report is shown with the address of its group."""
    past: Past | None = None
    """The tasks as they were, in place of the current ones."""

    @property
    def is_by_time(self) -> bool:
        """The tasks are wanted in the order of submission."""
        return self.order == _LAST

    @property
    def has_waits(self) -> bool:
        """Whether the search wants the reasons why tasks wait or were skipped."""
        return self.fields is None or not WAITS.isdisjoint(self.fields)

    def pick(self, report: dict[str, Any]) -> dict[str, Any]:
        """The wanted fields of a report, and always its ids; all others are null."""
        if self.is_group:
            report = in_group(report)
        if self.fields is None:
            return report
        wanted = self.fields | ALWAYS
        return {key: value if key in wanted else None for key, value in report.items()}


def columns_of(search: Search) -> frozenset[str]:
    """The large columns that the wanted fields are made of."""
    return frozenset(
        column for column, fields in FIELDS.items() if search.fields is None or not search.fields.isdisjoint(fields)
    )


def search_of(body: Mapping[str, Any]) -> Search:
    """Read the search in a body. Raises `BadProperty`, which names the fault."""
    criteria = criteria_of(body)
    filters = criteria.get("filters")
    try:
        found = matched({} if filters is None else filters, task_field)
    except BadInput as error:
        raise BadProperty("filters", f"criteria.filters: {error}") from error
    fields = criteria.get("fields")
    order = order_of(criteria.get("sort"), _ORDERS, _LAST)
    return Search(
        [found.condition] if filters else [],
        limit=whole(criteria, "limit", least=1),
        skip=whole(criteria, "skip", least=0) or 0,
        order=_LAST if order == _BY_ID else order,
        fields=None if fields is None else frozenset(fields),
        has_patterns=found.has_patterns,
    )


def criteria_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object `criteria` of a body, with only known keys. Raises `BadProperty`."""
    criteria = body.get("criteria")
    if criteria is None:
        raise BadProperty("criteria", "the body needs an object 'criteria'", kind="missing_property_names")
    if not isinstance(criteria, dict):
        raise BadProperty("criteria", "criteria: an object is expected")
    for name in criteria.keys() - {"filters", "sort", "limit", "skip", "fields"}:
        raise BadProperty(name, f"criteria: unknown key {name}")
    if criteria.get("fields") is not None and not _is_texts(criteria["fields"]):
        raise BadProperty("fields", "criteria.fields: a list of texts is expected")
    return criteria


def criteria_in_url(
    filters: str, sort: str, limit: str | None, skip: str | None, fields: Sequence[str] | None
) -> dict[str, Any]:
    """The body that equals a search in a URL. Raises `BadProperty`."""
    criteria = {"filters": _json("filters", filters), "sort": _json("sort", sort), "limit": limit, "skip": skip}
    return {"criteria": {**criteria, "fields": None if fields is None else list(fields)}}


def whole(criteria: Mapping[str, Any], name: str, *, least: int) -> int | None:
    """A number of the criteria, as Pulp 2 reads it: also as a text. Raises `BadProperty`."""
    value = criteria.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
        number = int(value)
        if least <= number < 2**63:
            return number
    raise BadProperty(name, f"criteria.{name}: a whole number of at least {least} is expected")


def order_of(sort: Any, orders: Mapping[str, LiteralString], last: LiteralString) -> LiteralString:
    """Read a sort: the expressions in order, then `last`. Raises `BadProperty`."""
    parts: list[LiteralString] = []
    for item in sort if isinstance(sort, list) else [None] if sort is not None else []:
        name, direction = item[:2] if isinstance(item, list) and len(item) > 1 else (None, None)
        if not isinstance(name, str) or name not in orders or str(direction).lower() not in _DIRECTIONS:
            known = ", ".join(orders)
            message = f"criteria.sort: a list of [FIELD, ascending or descending] is expected; fields are: {known}"
            raise BadProperty("sort", message)
        parts.append(orders[name] + _DIRECTIONS[str(direction).lower()])
    if len(parts) > _MOST_ORDERS:
        raise BadProperty("sort", f"criteria.sort: at most {_MOST_ORDERS} fields are taken")
    return ", ".join([*parts, last])


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except REFUSALS as error:
        raise BadProperty(name, f"{name}: not JSON: {not_json(error)}") from error


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
