"""MongoDB's search in a few lines: it applies filters to documents of strings, nulls and lists of strings."""

import re
from collections.abc import Callable, Mapping
from typing import Any

Document = Mapping[str, Any]


def matches(document: Document, filters: Mapping[str, Any]) -> bool:
    """Whether a document matches every filter."""
    return all(_holds(document, name, wanted) for name, wanted in filters.items())


def _holds(document: Document, name: str, wanted: Any) -> bool:
    match name:
        case "$and":
            return all(matches(document, each) for each in wanted)
        case "$or":
            return any(matches(document, each) for each in wanted)
        case "$nor":
            return not any(matches(document, each) for each in wanted)
        case _:
            return _fits(document[name], wanted)


def _fits(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return _equal(value, wanted)
    flags = flags_of(wanted.get("$options", ""))
    return all(_operator(value, name, each, flags) for name, each in wanted.items() if name != "$options")


def flags_of(options: str) -> int:
    """The flags of Python for `$options`."""
    return sum({"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}[letter] for letter in options)


def _operator(value: Any, name: str, wanted: Any, flags: int) -> bool:
    match name:
        case "$eq":
            return _equal(value, wanted)
        case "$ne":
            return not _equal(value, wanted)
        case "$in":
            return any(_equal(value, each) for each in wanted)
        case "$nin":
            return not any(_equal(value, each) for each in wanted)
        case "$all":
            return bool(wanted) and all(_equal(value, each) for each in wanted)
        case "$exists":
            return (value is not None) is bool(wanted)
        case "$regex":
            return _any(value, lambda text: re.search(wanted, text, flags) is not None)
        case "$not":
            return not (_fits(value, {"$regex": wanted}) if isinstance(wanted, str) else _fits(value, wanted))
        case "$gt":
            return _any(value, lambda text: text > wanted)
        case "$gte":
            return _any(value, lambda text: text >= wanted)
        case "$lt":
            return _any(value, lambda text: text < wanted)
        case "$lte":
            return _any(value, lambda text: text <= wanted)
        case _:
            raise AssertionError(name)


def _equal(value: Any, wanted: Any) -> bool:
    return bool(value == wanted) or (isinstance(value, list) and wanted in value)


def _any(value: Any, holds: Callable[[str], bool]) -> bool:
    return any(holds(each) for each in (value if isinstance(value, list) else [value]) if each is not None)
