"""Filters of lists, declared like a table. Pure.

One declaration of a filter gives both the condition that selects rows and the parameter in the OpenAPI document. All
SQL is composed from literals when the table is made; a request contributes bound values only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, LiteralString, NamedTuple

from pulp_projections.reading.queries import Condition
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from pulp_api.times import time_of
from pulp_api.v3.dialect import FieldErrors
from pulp_api.v3.parameters import (
    FLAG,
    MOST_DIGITS,
    NO_FILTERS,
    TEXT,
    TIME,
    WHOLE,
    QueryParameter,
    Schema,
    flag_of,
    items_of,
    list_of,
    one_of,
)
from pulp_api.v3.problems import Problems

Texts = Sequence[str]
"""The values of one parameter in the order of the query; at least one."""
EVERYTHING: Final = Condition("true", is_counted=True)
"""The selection of a filter without a value."""
NOTHING: Final = Condition("false")
MOST_PATTERN: Final = 200
"""The most characters of a regular expression."""


class ListFilter(NamedTuple):
    """One query parameter that narrows a list."""

    parameter: QueryParameter
    condition: Callable[[Texts], Condition]
    """Raises `FieldErrors` for a value that Pulp 3 refuses."""
    if_empty: Condition | None = EVERYTHING
    """What an empty value selects; None if it is refused."""
    is_joined: bool = False
    """Whether the values of a repeated parameter are one list; of any other one the last value counts."""


class ValueType(NamedTuple):
    """How the value of a filter is described and read. The readers get the parameter's name for their errors."""

    schema: Schema
    read: Callable[[str, str], Any]
    read_list: Callable[[str, Texts], list[Any]]


class DeclaredFilters:
    """All filters of one list. `others` are the further parameters of the list."""

    def __init__(self, others: Iterable[QueryParameter], *declared: Iterable[ListFilter]) -> None:
        filters = [each for group in declared for each in group]
        self._filters = {each.parameter.name: each for each in filters}
        self.parameters: Final = [*others, *(each.parameter for each in filters)]
        """Every parameter, for the OpenAPI document."""
        names = [parameter.name for parameter in self.parameters]
        assert len(set(names)) == len(names), f"a parameter is declared twice: {names}"

    def __contains__(self, name: str) -> bool:
        return name in self._filters

    def conditions(self, query: QueryParams, besides: Iterable[str] = ()) -> list[Condition]:
        """The conditions of a request. `besides` are parameters that the list reads itself.

        Raises `FieldErrors` for all unknown parameters and bad values, and 404 for another format than JSON.
        """
        if query.get("format", "json") not in ("json", ""):
            raise HTTPException(404)
        names = [name for name in query if name not in NO_FILTERS and name not in besides]
        found: list[Condition] = []
        problems = Problems()
        for name in names:
            with problems:
                found.append(self.condition(name, query.getlist(name)))
        problems.check()
        return [condition for condition in found if condition is not EVERYTHING]

    def condition(self, name: str, texts: Texts) -> Condition:
        """The condition of one query parameter. Raises `FieldErrors` for an unknown parameter or a bad value."""
        found = self._filters.get(name)
        if found is None:
            raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
        given = [text.strip() for text in (texts if found.is_joined else texts[-1:])]
        if not any(given):
            if found.if_empty is None:
                raise FieldErrors([f"No value supplied for {name} filter."])
            return found.if_empty
        if any("\0" in text for text in given):
            raise FieldErrors({name: ["Null characters are not allowed."]})
        return found.condition(given)


def value_type(schema: Schema, read: Callable[[str, str], Any]) -> ValueType:
    """A type whose lists are read item by item."""
    return ValueType(schema, read, lambda name, texts: [read(name, text) for text in texts])


def _instant(name: str, text: str) -> datetime:
    found = time_of(text)
    if found is None:
        raise FieldErrors({name: ["Enter a valid date/time."]})
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _pattern(name: str, text: str) -> str:
    if len(text) > MOST_PATTERN or any(f"\\{digit}" in text for digit in "123456789"):
        raise FieldErrors(
            {name: [f"A regular expression has at most {MOST_PATTERN} characters and no back reference."]}
        )
    return text


def _number(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > MOST_DIGITS:
        raise FieldErrors({name: ["Enter a number."]})
    return int(text)


TEXTS: Final = ValueType(TEXT, lambda _name, text: text, lambda _name, texts: list(texts))
TIMES: Final = value_type(TIME, _instant)
NUMBERS: Final = value_type(WHOLE, _number)
_PATTERNS: Final = value_type(TEXT, _pattern)


def choices(values: Mapping[str, Any]) -> ValueType:
    """The type of a word for one of these values. A list skips unknown words, as Pulp 3 does."""

    def read(name: str, word: str) -> Any:
        if word not in values:
            raise FieldErrors({name: [f"Select a valid choice. {word} is not one of the available choices."]})
        return values[word]

    return ValueType(one_of(values), read, lambda _name, words: [values[word] for word in words if word in values])


_COMPARISONS: Final[Mapping[str, LiteralString]] = {
    "exact": "{column} = {value}",
    "iexact": "lower({column}) = lower({value})",
    "ne": "{column} <> {value}",
    "contains": "position({value} in {column}) > 0",
    "icontains": "position(lower({value}) in lower({column})) > 0",
    "startswith": "starts_with({column}, {value})",
    "istartswith": "starts_with(lower({column}), lower({value}))",
    "regex": "{column} ~ {value}",
    "iregex": "{column} ~* {value}",
    "lt": "{column} < {value}",
    "lte": "{column} <= {value}",
    "gt": "{column} > {value}",
    "gte": "{column} >= {value}",
}
"""Lookup → the SQL that compares a column with one value."""


def column(
    name: LiteralString,
    sql: LiteralString,
    lookups: LiteralString,
    of: ValueType = TEXTS,
    *,
    is_counted: bool = False,
    not_before: LiteralString = "",
    needs_value: bool = False,
) -> Iterator[ListFilter]:
    """The filters of one column: `name` for the lookup `exact`, `name__lookup` for the others.

    `is_counted` says that `task_counts` has the column too. `not_before` names an indexed time that the column's time
    is never earlier than.
    """
    for lookup in lookups.split():
        full = name if lookup == "exact" else name + "__" + lookup
        match lookup:
            case "in":
                yield from where_list(full, sql + " = any ({value})", of, is_counted=is_counted)
            case "isnull":
                yield from flag(full, sql + " is null", sql + " is not null")
            case "range":
                yield from _range(full, sql, of)
            case _:
                comparison = _COMPARISONS[lookup].replace("{column}", sql)
                if not_before and lookup in ("lt", "lte"):
                    # The index may end there. An hour of tolerance: after a change of its leader a partition's clock
                    # may go back.
                    comparison += " and " + not_before + " <= {value} + interval '1 hour'"
                values = _PATTERNS if lookup in ("regex", "iregex") else of
                yield from where(full, comparison, values, is_counted=is_counted, needs_value=needs_value)


def where(
    name: LiteralString,
    sql: LiteralString,
    of: ValueType = TEXTS,
    *,
    is_counted: bool = False,
    needs_value: bool = False,
) -> Iterator[ListFilter]:
    """The filter of one value, written `{value}` in the SQL; if there are several, the last one counts."""
    statement = sql.replace("{value}", "%(" + name + ")s")

    def condition(texts: Texts) -> Condition:
        return Condition(statement, {name: of.read(name, texts[-1])}, is_counted)

    schema = {**of.schema, "minLength": 1} if needs_value else of.schema
    yield ListFilter(QueryParameter(name, schema), condition, None if needs_value else EVERYTHING)


def where_list(
    name: LiteralString,
    sql: LiteralString,
    of: ValueType = TEXTS,
    *,
    is_counted: bool = False,
    if_empty: Condition = EVERYTHING,
) -> Iterator[ListFilter]:
    """The filter of a list of values, written `{value}` in the SQL."""
    statement = sql.replace("{value}", "%(" + name + ")s")

    def condition(texts: Texts) -> Condition:
        return Condition(statement, {name: of.read_list(name, items_of(texts))}, is_counted)

    yield ListFilter(QueryParameter(name, list_of(of.schema)), condition, if_empty, is_joined=True)


def flag(name: LiteralString, if_true: LiteralString, if_false: LiteralString = "") -> Iterator[ListFilter]:
    """A flag, which selects by one SQL or the other; `if_false` is the opposite by default. Garbage is ignored."""
    yield from either(name, Condition(if_true), Condition(if_false or "not (" + if_true + ")"))


def either(name: LiteralString, if_true: Condition, if_false: Condition) -> Iterator[ListFilter]:
    """A flag that chooses between two conditions. Garbage is ignored."""

    def condition(texts: Texts) -> Condition:
        found = flag_of(texts[-1])
        return EVERYTHING if found is None else if_true if found else if_false

    yield ListFilter(QueryParameter(name, FLAG), condition)


def nothing(name: LiteralString, check: Callable[[str], None] = lambda _text: None) -> Iterator[ListFilter]:
    """A filter of Pulp 3 that no row here can match, whatever its value; `check` raises `FieldErrors`."""

    def condition(texts: Texts) -> Condition:
        check(texts[-1])
        return NOTHING

    yield ListFilter(QueryParameter(name, TEXT), condition)


def _range(name: LiteralString, sql: LiteralString, of: ValueType) -> Iterator[ListFilter]:
    first, last = name + "_from", name + "_to"
    statement: LiteralString = sql + " between %(" + first + ")s and %(" + last + ")s"

    def condition(texts: Texts) -> Condition:
        items = items_of(texts)
        if len(items) != 2:
            raise FieldErrors({name: ["Range query expects two values."]})
        bounds = of.read_list(name, items)
        return Condition(statement, {first: bounds[0], last: bounds[1]})

    bounds_of = {**list_of(of.schema), "minItems": 2, "maxItems": 2}
    yield ListFilter(QueryParameter(name, bounds_of), condition)
