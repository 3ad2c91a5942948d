"""The fields of an answer that a request asks for."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastapi import Request

from pulp_api.v3.parameters import items_of

Picker = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def picker(request: Request, minimal: frozenset[str] | None = None) -> Picker:
    """The function that picks what `fields` and `exclude_fields` ask for.

    `minimal` are the fields of the flag with this name; None if the resource has no such form.
    """
    query = request.query_params
    fields, excluded = items_of(query.getlist("fields")), items_of(query.getlist("exclude_fields"))
    only = minimal if query.get("minimal", "").lower() == "true" else None  # not `1`, as in Pulp 3
    if not (fields or excluded or only):
        return lambda shown: shown
    return lambda shown: pick(shown, fields, excluded, only)


def pick(
    shown: Mapping[str, Any], fields: Iterable[str], excluded: Iterable[str], only: frozenset[str] | None = None
) -> dict[str, Any]:
    """The fields that a client asked for, and always `omitted`. Unknown names are ignored."""
    wanted, unwanted = set(fields), set(excluded)
    return {
        key: value
        for key, value in shown.items()
        if key == "omitted" or ((not wanted or key in wanted) and key not in unwanted and (only is None or key in only))
    }
