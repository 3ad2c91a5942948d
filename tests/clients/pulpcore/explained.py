"""Why answers of pulpcore and of this service differ: each explanation has a row in docs/reference/pulpcore-differences.md.

An explanation says precisely when it holds, so that it does not hide another difference. Pure.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tests.clients.pulpcore.comparing import Difference, Reply
from tests.support.lists.model import answer, shape, sort_key
from tests.support.lists.requests import OWN, Request, terms
from tests.support.lists.world import ListedTask, World


class Compared(NamedTuple):
    """A difference, with everything that is known about it."""

    tasks: World
    request: Request
    difference: Difference
    release: str

    @property
    def ours(self) -> Any:
        """What this service says."""
        return self.difference.ours

    @property
    def theirs(self) -> Any:
        """What pulpcore says."""
        return self.difference.theirs

    @property
    def names(self) -> set[str]:
        """All parameters, including those of the expression."""
        return {name for name, _value in self.request.query} | {term.name for term in terms(self.request.expression)}

    @property
    def order(self) -> list[str]:
        """The fields that the list is ordered by."""
        return [item.strip() for item in (self.request.last("ordering") or "").split(",") if item.strip()]


def explanation(tasks: World, request: Request, difference: Difference, release: str) -> str | None:
    """The name of its explanation; None if it has none."""
    compared = Compared(tasks, request, difference, release)
    return next((name for name, holds in EXPLANATIONS.items() if holds(compared)), None)


def _own(compared: Compared) -> bool:
    """Pulpcore refuses a parameter that only this service has."""
    refused = _refused(compared)
    return compared.request.is_own and any(name in text for text in refused for name in map(repr, OWN & compared.names))


def _newer(compared: Compared) -> bool:
    """Pulpcore refuses a parameter that it got in a later release."""
    lacks = NEWER.get(compared.release, frozenset())
    named = {name for text in _refused(compared) for name in re.findall(r"'([\w]+)'", text)}
    fields = {name.partition("__")[0] for name in named}
    orders = {f"ordering={name}" for text in _refused(compared) for name in re.findall(r"choice\. -?(\w+)", text)}
    return bool(lacks & (named | fields | orders))


def _refused(compared: Compared) -> list[str]:
    theirs = compared.theirs
    status, body = theirs if isinstance(theirs, Reply) else (400, theirs)
    if compared.difference.what not in ("status", "body") or status != 400 or not isinstance(body, dict):
        return []
    return [text for texts in body.values() for text in texts]


def _fails(compared: Compared) -> bool:
    """Pulpcore fails at an expression that comes with another filter or an order."""
    return (
        compared.difference.what == "status"
        and compared.theirs.status == 500
        and compared.request.expression is not None
        and compared.ours.status in (200, 400)
    )


def _same_time(compared: Compared) -> bool:
    """The same time, of a whole second, which pulpcore writes without a fraction."""
    ours, theirs = compared.ours, compared.theirs
    return isinstance(theirs, str) and isinstance(ours, str) and ours == theirs.removesuffix("Z") + ".000000Z"


def _equal_keys(compared: Compared) -> bool:
    """Tasks that are equal in every ordering field, which pulpcore returns in any order."""
    if compared.difference.what not in ("order", "tasks"):
        return False
    known = {shape(compared.tasks, task)["pulp_href"]: task for task in compared.tasks.tasks}

    def keys(hrefs: list[str]) -> list[Any]:
        return [_keys(known[href], compared.order) for href in hrefs]

    return keys(compared.ours) == keys(compared.theirs)


def _keys(task: ListedTask, order: list[str]) -> list[Any]:
    return [*(sort_key(task, item.removeprefix("-")) for item in order), task.created]


def _json_order(compared: Compared) -> bool:
    """Pulpcore orders errors and results as jsonb, this service by their text."""
    names = {item.removeprefix("-") for item in compared.order}
    return compared.difference.what in ("order", "tasks") and bool(names & {"error", "result"})


def _largest_page(compared: Compared) -> bool:
    """A page has at most 1,000 tasks here, and says so in the links to others."""
    if compared.difference.what not in ("next", "previous") or not (compared.ours and compared.theirs):
        return False
    return ("limit", "1000") in compared.ours and int(dict(compared.theirs)["limit"]) > 1000


def _repeated(compared: Compared) -> bool:
    """If a list parameter is repeated, pulpcore uses the last one; this service joins them."""
    names = [name for name, _value in compared.request.query]
    is_repeated = any(names.count(name) > 1 and (name.endswith("__in") or name == "ordering") for name in names)
    return is_repeated and compared.difference.what in ("status", "body", "count", "tasks", "order", "next")


def _other_refusal(compared: Compared) -> bool:
    """If several hrefs are wrong, each side names one of them."""
    allowed = answer(compared.tasks, compared.request).refusals
    return compared.difference.what == "body" and compared.ours in allowed and compared.theirs in allowed


NEWER: Final[Mapping[str, frozenset[str]]] = {
    "3.65.0": frozenset(
        {
            *("pulp_created", "unblocked_at", "started_at__isnull", "finished_at__isnull"),
            *("ordering=deferred", "ordering=immediate", "ordering=result", "ordering=pulp_api_version"),
            "ordering=profile_options",
        }
    )
}
"""Release → the parameters that it does not have yet."""


def _blanks(compared: Compared) -> bool:
    """Pulpcore treats the blank after a comma as part of the next resource's name."""
    filters = [*compared.request.query, *((term.name, term.value) for term in terms(compared.request.expression))]
    return compared.difference.what in ("count", "tasks", "next", "previous") and any(
        name.endswith("_resources__in") and ", " in value for name, value in filters
    )


EXPLANATIONS: Final[Mapping[str, Callable[[Compared], bool]]] = {
    "own parameters": _own,
    "newer parameters": _newer,
    "child_tasks fails": lambda compared: (
        compared.release == "3.65.0"
        and compared.difference.what == "status"
        and compared.theirs.status == 500
        and "child_tasks" in compared.names
    ),
    "expression fails": _fails,
    "worker": lambda compared: (
        compared.release == "3.65.0" and compared.difference.what in ("status", "body") and "worker" in compared.names
    ),
    "creator": lambda compared: compared.difference.what == "created_by" and compared.theirs is None,
    "fraction": _same_time,
    "children": lambda compared: (
        compared.difference.what == "child_tasks" and sorted(compared.ours) == sorted(compared.theirs)
    ),
    "largest page": _largest_page,
    "repeated lists": _repeated,
    "blanks in lists": _blanks,
    "equal tasks": _equal_keys,
    "order of JSON": _json_order,
    "first refusal": _other_refusal,
}
"""Name → whether it holds; the first that holds counts."""
