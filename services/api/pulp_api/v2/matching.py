"""Filters in Pulp 2's search language, which is MongoDB's, become one condition. Pure.

Only known fields and operators are allowed; depth, the number of values and the length of regular expressions are
bounded. As in MongoDB, `$ne`, `$nin`, `$not` and `$nor` also match missing values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from pulp_events.errors import BadInput
from pulp_projections.reading.queries import Condition

from pulp_api.v2.fields import COMPARISONS, Bind, SearchField, TagsField
from pulp_api.v2.patterns import for_postgres

MOST_VALUES: Final = 1000
"""The most values of one filter."""
MOST_BOUND: Final = 4000
"""The most values of one search, as Postgres gets them: an id of 24 digits is two."""
MOST_CLAUSES: Final = 200
"""The most comparisons of one search."""
MOST_DEPTH: Final = 10
"""How deep `$and`, `$or`, `$nor` and `$not` may be nested."""
_JOINTS: Final[Mapping[str, LiteralString]] = {"$and": " and ", "$or": " or ", "$nor": " or "}
_OPERATORS: Final = ("$eq", "$ne", "$in", "$nin", "$all", "$exists", "$regex", "$not", *COMPARISONS)
Find = Callable[[str, Bind], SearchField]
"""Finds the field of a name. Raises `BadInput`."""
_WRAPPED: Final = ("$date", "$oid")
"""Objects that encode one value."""


class Matched(NamedTuple):
    """The parsed filters."""

    condition: Condition
    has_patterns: bool
    """A regular expression is among them, which may take long."""


def matched(filters: Any, find: Find) -> Matched:
    """The condition of the filters. Raises `BadInput`, which names the field and what it accepts."""
    compiler = _Compiler(find)
    sql = compiler.all_of(filters, 0)
    return Matched(Condition(sql, compiler.values), compiler.has_patterns)


class _Compiler:
    """Builds one condition, and collects its values."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self.values: dict[str, Any] = {}
        self.has_patterns = False
        self._clauses = 0
        self._bound = 0

    def all_of(self, filters: Any, depth: int) -> LiteralString:
        """Every one of the filters."""
        if not isinstance(filters, dict):
            raise BadInput("an object of FIELD: VALUE is expected")
        if depth > MOST_DEPTH:
            raise BadInput(f"more than {MOST_DEPTH} objects are nested")
        self._count()
        parts = [
            self._joint(name, each, depth) if name.startswith("$") else self._named(name, each, depth)
            for name, each in filters.items()
        ]
        return "(" + " and ".join(parts or ["true"]) + ")"

    def _joint(self, name: str, wanted: Any, depth: int) -> LiteralString:
        if name not in _JOINTS:
            raise BadInput(f"unknown operator {name}; there are {', '.join(_JOINTS)}, and within a field operators")
        if not isinstance(wanted, list) or not wanted:
            raise BadInput(f"{name}: a list of filters is expected, with at least one")
        joined = _JOINTS[name].join(self.all_of(each, depth + 1) for each in wanted)
        return _not(joined) if name == "$nor" else "(" + joined + ")"

    def _named(self, name: str, wanted: Any, depth: int) -> LiteralString:
        field = self._find(name, self._bind)
        try:
            return self._field(field, wanted, depth)
        except BadInput as error:
            raise BadInput(f"{name}: {error}") from error

    def _field(self, field: SearchField, wanted: Any, depth: int) -> LiteralString:
        if not isinstance(wanted, dict) or wanted.keys() <= set(_WRAPPED):
            return self._operator(field, "$eq", wanted, depth)
        options = wanted.get("$options", "")
        if not isinstance(options, str) or ("$options" in wanted and "$regex" not in wanted):
            raise BadInput("$options: a text is expected, beside $regex")
        parts = [
            self._pattern(field, value, options) if name == "$regex" else self._operator(field, name, value, depth)
            for name, value in wanted.items()
            if name != "$options"
        ]
        return "(" + " and ".join(parts) + ")"

    def _operator(self, field: SearchField, name: str, wanted: Any, depth: int) -> LiteralString:
        self._count()
        match name:
            case "$eq":
                return self._equal(field, wanted)
            case "$ne":
                return _not(self._equal(field, wanted))
            case "$in":
                return self._any(field, wanted)
            case "$nin":
                return _not(self._any(field, wanted))
            case "$all":
                found = [self._equal(field, each) for each in _listed(wanted)]
                return "(" + " and ".join(found or ["false"]) + ")"
            case "$exists":
                return _not(field.missing) if _is_true(wanted) else field.missing
            case "$not":
                return _not(self._negated(field, wanted, depth))
            case _ if name in COMPARISONS:
                return field.compares(COMPARISONS[name], _text(wanted), self._bind)
            case _:
                raise BadInput(f"unknown operator {name}; there are {', '.join(_OPERATORS)}")

    def _negated(self, field: SearchField, wanted: Any, depth: int) -> LiteralString:
        if isinstance(wanted, str):
            return self._pattern(field, wanted, "")
        if not isinstance(wanted, dict) or depth >= MOST_DEPTH:
            raise BadInput(
                f"$not: an object of operators is expected, or a regular expression, {MOST_DEPTH} deep at most"
            )
        return self._field(field, wanted, depth + 1)

    def _equal(self, field: SearchField, wanted: Any) -> LiteralString:
        if wanted is None:
            return field.missing
        if isinstance(wanted, list) and isinstance(field, TagsField):
            return field.are([_text(each) for each in _listed(wanted)], self._bind)
        return field.equals([_text(wanted)], self._bind)

    def _any(self, field: SearchField, wanted: Any) -> LiteralString:
        values = _listed(wanted)
        texts = [_text(each) for each in values if each is not None]
        found = [field.equals(texts, self._bind)] if texts else []
        if len(texts) < len(values):
            found.append(field.missing)
        return "(" + " or ".join(found or ["false"]) + ")"

    def _pattern(self, field: SearchField, pattern: Any, options: str) -> LiteralString:
        self._count()
        if not isinstance(pattern, str):
            raise BadInput("$regex: a text is expected")
        self.has_patterns = True
        return field.matches(for_postgres(pattern, options), self._bind)

    def _count(self) -> None:
        self._clauses += 1
        if self._clauses > MOST_CLAUSES:
            raise BadInput(f"more than {MOST_CLAUSES} comparisons")

    def _bind(self, value: Any) -> LiteralString:
        self._bound += len(value) if isinstance(value, list) else 1
        if self._bound > MOST_BOUND:
            raise BadInput(f"more than {MOST_BOUND} values in one search")
        name: LiteralString = "value" + str(len(self.values))
        self.values[name] = value
        return "%(" + name + ")s"


def _not(condition: LiteralString) -> LiteralString:
    return "(not coalesce(" + condition + ", false))"


def _listed(wanted: Any) -> Sequence[Any]:
    if not isinstance(wanted, list):
        raise BadInput("a list is expected")
    if len(wanted) > MOST_VALUES:
        raise BadInput(f"{len(wanted)} values, at most {MOST_VALUES} are taken in one search")
    return wanted


def _text(wanted: Any) -> str:
    if isinstance(wanted, dict) and len(wanted) == 1 and wanted.keys() <= set(_WRAPPED):
        [wanted] = wanted.values()
    if not isinstance(wanted, str):
        raise BadInput("a text is expected")
    return wanted


def _is_true(wanted: Any) -> bool:
    if not isinstance(wanted, bool | int):
        raise BadInput("$exists: true or false is expected")
    return bool(wanted)
