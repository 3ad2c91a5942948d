"""What differs between two answers to the same request. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Reply(NamedTuple):
    """A status and a body."""

    status: int
    body: Any


class Difference(NamedTuple):
    """One difference."""

    what: str
    """`status`, `body` of an error, `count`, `tasks` of the page, `order` of these tasks, `next`, `previous`, or the
    name of a field of a task."""
    ours: Any
    theirs: Any


def differences(ours: Reply, theirs: Reply) -> list[Difference]:
    """All differences; for each field, the first task where it differs. All tasks show their `pulp_href`."""
    if ours.status != theirs.status:
        return [Difference("status", ours, theirs)]
    if ours.status != 200:
        return [] if ours.body == theirs.body else [Difference("body", ours.body, theirs.body)]
    found = []
    if ours.body["count"] != theirs.body["count"]:
        found.append(Difference("count", ours.body["count"], theirs.body["count"]))
    for link in ("next", "previous"):
        one, other = _page(ours.body[link]), _page(theirs.body[link])
        if one != other:
            found.append(Difference(link, one, other))
    left, right = (_by_href(reply.body["results"]) for reply in (ours, theirs))
    if list(left) != list(right):
        found.append(Difference("order" if left.keys() == right.keys() else "tasks", list(left), list(right)))
    return found + _fields(left, right)


def _by_href(tasks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {task["pulp_href"]: task for task in tasks}


def _fields(ours: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]) -> list[Difference]:
    found: dict[str, Difference] = {}
    for href in [each for each in ours if each in theirs]:
        for name, value in theirs[href].items():
            if name not in ours[href] or ours[href][name] != value:
                found.setdefault(name, Difference(name, ours[href].get(name, "(missing)"), value))
    return list(found.values())


def _page(url: str | None) -> Any:
    return None if url is None else sorted(parse_qsl(urlsplit(url).query, keep_blank_values=True))
