"""The parameter `ordering` of lists. Pure."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, LiteralString

from pulp_api.v3.dialect import FieldErrors
from pulp_api.v3.parameters import QueryParameter, items_of, list_of, one_of

ALL_EQUAL: Final[LiteralString] = ""
"""Stands for a column of Pulp 3 that has the same value in every row here."""


def ordering(columns: Mapping[str, LiteralString]) -> QueryParameter:
    """The parameter of a list that is ordered by these columns."""
    return QueryParameter("ordering", list_of(one_of(chain(*((name, f"-{name}") for name in columns)))))


def order_by(texts: Sequence[str], columns: Mapping[str, LiteralString], default: LiteralString) -> LiteralString:
    """The ORDER BY of `ordering`, where `default` decides between rows that are equal otherwise.

    Postgres puts NULL behind all values, and before them in descending order, as it does for Pulp 3. Raises
    `FieldErrors` for an unknown column.
    """
    parts: list[LiteralString] = []
    for item in items_of(texts):
        column = columns.get(item.removeprefix("-"))
        if column is None:
            raise FieldErrors({"ordering": [f"Select a valid choice. {item} is not one of the available choices."]})
        if column != ALL_EQUAL:
            parts.append(column + (" desc" if item.startswith("-") else " asc"))
    return ", ".join([*parts, default])
