"""The query parameters of the v3 dialect as OpenAPI describes them, and how their texts are read. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from pulp_events.errors import BadInput
from starlette.datastructures import QueryParams

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
NUMBER: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
UUID_TEXT: Final[Schema] = {"type": "string", "format": "uuid"}
POSITION: Final[Schema] = {"type": "string", "pattern": "^[0-9]{1,9}:[0-9]{1,18}$"}
"""PARTITION:OFFSET."""
MOMENT: Final[Schema] = {
    **TEXT,
    "description": "A time with its zone, a PARTITION:OFFSET, the Pulp-Position of an answer, or a cursor.",
}
PRINTED: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""The pattern of a text without control characters."""
NAMED: Final = r"^[^\s\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f])?$"
"""The pattern of a name: it has no control characters, and no blank at either end."""
MOST_DIGITS: Final = 18
WHOLE: Final[Schema] = {**NUMBER, "minimum": 1 - 10**MOST_DIGITS, "maximum": 10**MOST_DIGITS - 1}
"""A whole number that a filter compares with."""


def refuse_unknown(query: QueryParams, known: Iterable[str]) -> None:
    """Raises `BadInput` for a parameter that a call does not take: a misspelt filter must not give everything."""
    names = {*known, "format"}
    for name in query:
        if name not in names:
            raise BadInput(f"{name}: no such parameter, there are {', '.join(sorted(names))}")


def names_of(parameters: Iterable["QueryParameter"]) -> list[str]:
    """Their names."""
    return [parameter.name for parameter in parameters]


def list_of(item: Schema) -> Schema:
    """The schema of a list of such items."""
    return {"type": "array", "items": item}


LIST: Final = list_of(TEXT)


def or_null(schema: Schema) -> dict[str, Any]:
    """The schema that also takes null; OpenAPI 3.0 wants null among the values of an `enum` as well."""
    values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **values, "nullable": True}


def one_of(words: Iterable[str]) -> Schema:
    """The schema of one of these words."""
    return {**TEXT, "enum": list(words)}


class QueryParameter(NamedTuple):
    """One query parameter of a call."""

    name: str
    schema: Schema
    is_repeated: bool = False
    """Clients send a list by repeating the parameter, instead of joining its items with commas."""
    is_required: bool = False


CONTROLS: Final[Mapping[str, QueryParameter]] = {
    parameter.name: parameter
    for parameter in (
        QueryParameter("limit", NUMBER),
        QueryParameter("offset", NUMBER),
        QueryParameter("ordering", LIST),
        QueryParameter("fields", LIST, is_repeated=True),
        QueryParameter("exclude_fields", LIST, is_repeated=True),
        QueryParameter("minimal", FLAG),
    )
}
"""The parameters that every list of Pulp's accepts besides its filters; it ignores those that it does not need."""
NO_FILTERS: Final = frozenset({*CONTROLS, "page_size", "format"})
"""The parameters of a list that are not filters; the last two change nothing, as the only format is JSON."""


def controls(names: str) -> list[QueryParameter]:
    """The named ones of `CONTROLS`; the names are separated by blanks."""
    return [CONTROLS[name] for name in names.split()]


def flag_of(text: str) -> bool | None:
    """The value of a flag; None for an invalid text, which Pulp 3 ignores."""
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())


def without(query: QueryParams, name: str) -> QueryParams:
    """The parameters of a request except those of this name."""
    return QueryParams([(key, value) for key, value in query.multi_items() if key != name])


def items_of(texts: Iterable[str]) -> list[str]:
    """The items of a list, which clients join with commas, or send by repeating the parameter, or both."""
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]
