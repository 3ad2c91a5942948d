"""A list whose rows are plain values: random requests for it, and the expected answers, in plain Python."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from random import Random
from typing import Any

Row = Mapping[str, Any]
Query = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainList:
    """The rows of a list, and its filters and orders. Each filter or order names the value of a row that it uses."""

    path: str
    rows: Sequence[Row]
    name: str
    """The value that tells a row from all others, and the field that shows it."""
    default: Callable[[Row], Any]
    """The tie-breaker between rows that are otherwise equal, smallest first."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Filter → its lookups."""
    times: Sequence[str] = ()
    flags: Sequence[str] = ()
    numbers: Sequence[str] = ()
    orders: Mapping[str, str] = field(default_factory=dict)
    """Order → the value, or nothing where all rows are equal."""
    kind: str = ""
    """The folder of its hrefs, where it takes ids: the value `pulp_id`."""
    prn: str = ""
    is_ordered: bool = True


def query(of: PlainList, chance: Random) -> Query:
    """A random request."""
    found = [_filter(of, chance) for _ in range(chance.choice((0, 1, 1, 2)))] if _has_filters(of) else []
    if of.orders and chance.random() < 0.6:
        names = chance.sample(sorted(of.orders), min(len(of.orders), chance.choice((1, 2, 3))))
        found.append(("ordering", ",".join(chance.choice(("", "-")) + name for name in names)))
    if chance.random() < 0.5:
        found.append(("limit", str(chance.choice((1, 2, 5, 100)))))
    if chance.random() < 0.4:
        found.append(("offset", str(chance.choice((0, 1, 3, 50)))))
    if chance.random() < 0.1:
        found.append(chance.choice((("bogus", "1"), ("ordering", "bogus"), ("limit", "-2"), ("offset", "x"))))
    return list(dict(found).items())


def answer(of: PlainList, asked: Query) -> tuple[list[Row], list[Row]] | dict[str, list[str]]:
    """All matches and those on the page, or the errors by field."""
    last = dict(asked)
    errors: dict[str, list[str]] = {}
    ordering = [item for name, value in asked if name == "ordering" for item in value.split(",")]
    for item in ordering:
        if item.removeprefix("-") not in of.orders and of.is_ordered:
            errors.setdefault("ordering", [f"Select a valid choice. {item} is not one of the available choices."])
    if "bogus" in last:
        errors["errors"] = ["Invalid Filter: 'bogus'"]
    if errors:
        return errors
    filters = {name: value for name, value in last.items() if name not in ("limit", "offset", "ordering")}
    found = [row for row in of.rows if all(_holds(of, row, name, value) for name, value in filters.items())]

    def compare(one: Row, other: Row) -> int:
        for item in ordering if of.is_ordered else ():
            value = of.orders[item.removeprefix("-")]
            left, right = ((row[value] is None, row[value] or "") if value else (False, "") for row in (one, other))
            if left != right:
                return (-1 if left < right else 1) * (-1 if item.startswith("-") else 1)
        return -1 if of.default(one) < of.default(other) else 1

    found = sorted(found, key=cmp_to_key(compare))
    limit, offset = (
        int(last[name]) or default if last.get(name, "").isdecimal() else default
        for name, default in (("limit", 100), ("offset", 0))
    )
    return found, found[offset : offset + limit]


def _has_filters(of: PlainList) -> bool:
    return bool(of.texts or of.times or of.flags or of.numbers or of.kind)


def _filter(of: PlainList, chance: Random) -> tuple[str, str]:
    names = [*of.texts, *of.times, *of.flags, *of.numbers, *(["pulp_id"] if of.kind else [])]
    name = chance.choice(names)
    row = chance.choice(of.rows)
    if name == "pulp_id":
        ids = [str(each["pulp_id"]) for each in chance.sample(of.rows, min(len(of.rows), chance.choice((1, 2))))]
        form = chance.choice(("pulp_id", "pulp_href", "prn"))
        shown = {"pulp_id": "{}", "pulp_href": f"/pulp/api/v3/{of.kind}/{{}}/", "prn": f"prn:core.{of.prn}:{{}}"}[form]
        return form + "__in", ",".join(shown.format(each) for each in ids)
    if name in of.flags:
        return name, chance.choice(("true", "false", "1", "garbage", ""))
    if name in of.numbers:
        return chance.choice(((name, str(row[name])), (name + "__in", f"{row[name]},99")))
    if name in of.times:
        lookup = chance.choice(("", "__lt", "__lte", "__gt", "__gte", "__range", "__isnull"))
        time = (row[name] + timedelta(seconds=chance.choice((0, 0, 1, -1)))).isoformat()
        later = (row[name] + timedelta(seconds=30)).isoformat()
        return name + lookup, {"__range": f"{time},{later}", "__isnull": chance.choice(("true", "false"))}.get(
            lookup, time
        )
    lookup, text = chance.choice(of.texts[name].split()), str(row[name])
    full = name if lookup == "exact" else f"{name}__{lookup}"
    start = chance.randrange(len(text) or 1)
    part = text[start : start + chance.randint(1, 3)]
    values = {
        "in": f"{text}, {chance.choice(of.rows)[name]}",
        "contains": part,
        "icontains": part.swapcase(),
        "iexact": text.swapcase(),
        "startswith": text[:2],
        "istartswith": text[:2].swapcase(),
        "regex": re.escape(part) + "$",
        "iregex": "^" + re.escape(text[:2]).swapcase(),
    }
    return full, values.get(lookup, text)


def _holds(of: PlainList, row: Row, full: str, value: str) -> bool:
    name, _, lookup = full.partition("__")
    if name in ("pulp_id", "pulp_href", "prn"):
        return str(row["pulp_id"]) in value
    if name in of.flags:
        wanted = {"true": True, "1": True, "false": False}.get(value)
        return wanted is None or row[name] == wanted
    if name in of.numbers:
        return str(row[name]) in value.split(",")
    if name in of.times:
        return _time_holds(row[name], lookup, value)
    text, value = str(row[name]), value.strip()
    if not value:
        return True
    lower, low = text.lower(), value.lower()
    holds: dict[str, Callable[[], bool]] = {
        "": lambda: text == value,
        "iexact": lambda: lower == low,
        "in": lambda: text in [item.strip() for item in value.split(",")],
        "contains": lambda: value in text,
        "icontains": lambda: low in lower,
        "startswith": lambda: text.startswith(value),
        "istartswith": lambda: lower.startswith(low),
        "regex": lambda: re.search(value, text) is not None,
        "iregex": lambda: re.search(value, text, re.IGNORECASE) is not None,
    }
    return holds[lookup]()


def _time_holds(at: datetime, lookup: str, value: str) -> bool:
    if lookup == "isnull":
        return value == "false"
    first, *rest = [datetime.fromisoformat(each).astimezone(UTC) for each in value.split(",")]
    return {
        "": lambda: at == first,
        "lt": lambda: at < first,
        "lte": lambda: at <= first,
        "gt": lambda: at > first,
        "gte": lambda: at >= first,
        "range": lambda: first <= at <= rest[0],
    }[lookup]()
