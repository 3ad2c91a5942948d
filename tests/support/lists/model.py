"""Pulp 3's answer to a request for tasks, in plain Python over the tasks of a world, without a database or a parser.

It follows the rules that docs/reference/pulpcore-differences.md names. An expression is evaluated as it was made, not
from its text.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any
from uuid import UUID

from tests.support.lists.requests import FIELDS, MINIMAL, ORDERS, STATES, Expression, Request, Term
from tests.support.lists.world import ListedTask, World

Holds = Callable[[ListedTask], bool]
_CONTROLS = frozenset(
    ["limit", "offset", "ordering", "fields", "exclude_fields", "minimal", "page_size", "format", "q"]
)
_KINDS = {"tasks": "task", "task-groups": "task_group", "workers": "worker"}
_PRNS = {"core.task": "task", "core.taskgroup": "task_group", "core.worker": "worker"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Either the result, or the bodies of which the answer must be one."""

    found: list[ListedTask]
    """All matches in order."""
    page: list[ListedTask]
    fields: frozenset[str]
    errors: dict[str, list[str]] | None = None
    """By field."""
    refusals: tuple[list[str], ...] = ()
    """Lists of messages; one of them is the answer."""

    @property
    def status(self) -> int:
        return 400 if self.errors or self.refusals else 200


class Wrong(Exception):
    """A value of a field is refused."""


class Unresolved(Exception):
    """An href or a PRN is refused: the answer is a list, not an object."""


def answer(world: World, request: Request) -> Answer:
    """The expected answer of a list of tasks."""
    errors: dict[str, list[str]] = {}
    refusals: list[list[str]] = []
    holds: list[Holds] = []
    for name in dict.fromkeys(key for key, _value in request.query):
        try:
            found = condition(world, name, request.all(name))
        except Wrong as error:
            field = "errors" if str(error).startswith("Invalid Filter") else name
            errors.setdefault(field, []).append(str(error))
        except Unresolved as error:
            refusals.append([str(error)])
        else:
            holds += [found] if found else []
    q = request.last("q")
    if q is not None and (request.expression is None or q != request.all("q")[0]):
        errors["q"] = [_Q_ERRORS[q]]
    elif request.expression is not None:
        try:
            holds.append(_evaluate(world, request.expression))
        except Unresolved as error:
            refusals.append([str(error)])
    ordering = request.last("ordering") or ""
    order = [item.strip() for item in ordering.split(",") if item.strip()]
    for item in order:
        if item.removeprefix("-") not in ORDERS and "ordering" not in errors:
            errors["ordering"] = [f"Select a valid choice. {item} is not one of the available choices."]
    if errors or refusals:
        return Answer([], [], frozenset(), errors or None, () if errors else tuple(refusals))
    wants_purged = _flag(request.last("purged") or "")
    asked = [task for task in world.tasks if task.purged == bool(wants_purged)]
    matches = sorted_by([task for task in asked if all(each(task) for each in holds)], order)
    limit, offset = _number(request.last("limit"), 100), _number(request.last("offset"), 0)
    return Answer(matches, matches[offset : offset + min(limit, 1000)], _fields(request))


_Q_ERRORS = {
    "bogus=1": "Filter 'bogus' does not exist.",
    "name=": "Syntax error in expression.",
    "name=a AND q=b": "You cannot use 'q' in complex filtering.",
    "state=nope OR name=a": json.dumps(
        {
            "state": [
                {
                    "message": "Select a valid choice. nope is not one of the available choices.",
                    "code": "invalid_choice",
                }
            ]
        }
    ),
}


def condition(world: World, name: str, values: list[str]) -> Holds | None:
    """Which tasks a filter finds; None: all."""
    if name in _CONTROLS:
        return None
    # If a parameter is repeated, the last value counts; those of a list are joined.
    value = values[-1].strip()
    base, _, lookup = name.partition("__")
    if "\x00" in value:
        raise Wrong("Null characters are not allowed.")
    items = [item.strip() for each in values for item in each.split(",") if item.strip()]
    match base, lookup:
        case (("pulp_created" | "started_at" | "finished_at" | "unblocked_at"), _):
            return _time_condition(name, base, lookup, value)
        case "state", ("" | "ne" | "in"):
            return _state_condition(lookup, value, items)
        case "name", ("" | "ne" | "in" | "contains"):
            return _text_condition(lambda task: task.name, lookup, value, items)
        case "logging_cid", ("" | "contains"):
            return _text_condition(lambda task: task.cid, lookup, value, items)
        case (("reserved_resources" | "exclusive_resources" | "shared_resources"), ("" | "in")):
            wanted = items if lookup else [value]  # no resource has an empty name
            uses: Callable[[ListedTask], Iterable[str]] = {
                "reserved": lambda task: (*task.exclusive, *task.shared),
                "exclusive": lambda task: task.exclusive,
                "shared": lambda task: task.shared,
            }[base.partition("_")[0]]
            return (lambda task: set(wanted) <= set(uses(task))) if wanted else None
        case (("parent_task" | "child_tasks" | "task_group" | "rerun_of"), ""):
            return _relation(world, base, value)
        case (("pulp_id" | "pulp_href" | "prn"), "in"):
            ids = {_identity(base, item) for item in items}
            return lambda task: task.task_id in ids
        case "worker", "":
            return (lambda task: False) if value else None
        case "created_resources", "":
            if value:
                raise Unresolved(f"URI not valid: {value}")
            return None
        case (("rerun_of" | "reruns"), "isnull"):
            return _own_flag(world, base, _flag(value))
        case "tags", "":
            return (lambda task: set(items) <= set(task.tags)) if items else None
        case "pulp_id", "startswith":
            return lambda task: str(task.task_id).replace("-", "").startswith(value.replace("-", ""))
        case "purged", "":
            return None
    raise Wrong(f"Invalid Filter: '{name}'")


def sorted_by(tasks: list[ListedTask], order: list[str]) -> list[ListedTask]:
    """The tasks by these fields, nulls as the largest value; then the newest first."""

    def compare(one: ListedTask, other: ListedTask) -> int:
        for item in order:
            left, right = sort_key(one, item.removeprefix("-")), sort_key(other, item.removeprefix("-"))
            if left != right:
                return (-1 if left < right else 1) * (-1 if item.startswith("-") else 1)
        return -1 if (one.created, one.task_id) > (other.created, other.task_id) else 1

    return sorted(tasks, key=cmp_to_key(compare))


def sort_key(task: ListedTask, name: str) -> tuple[bool, Any]:
    """The sort key: whether the value is null, and the value."""
    value: Any = {
        "pulp_created": task.created,
        "pulp_last_updated": task.updated,
        "pulp_id": task.task_id,
        "pk": task.task_id,
        "state": task.state,
        "name": task.name,
        "logging_cid": task.cid,
        "started_at": task.started,
        "finished_at": task.finished,
        "unblocked_at": task.unblocked,
        "error": _stored_error(task),
        "result": None if task.result is None else _compact(task.result),
        "reserved_resources_record": task.record,
    }.get(name, 0)
    return value is None, 0 if value is None else value


def shape(world: World, task: ListedTask) -> dict[str, Any]:
    """Pulp 3's 22 fields."""
    kind, _, user = task.by.partition(":")
    return {
        "pulp_href": _href(task.task_id),
        "prn": f"prn:core.task:{task.task_id}",
        "pulp_created": _shown(task.created),
        "pulp_last_updated": _shown(task.updated),
        "state": task.state,
        "name": task.name,
        "logging_cid": task.cid,
        "created_by": f"/pulp/api/v3/users/{user}/" if kind == "user" else None,
        "unblocked_at": _shown(task.unblocked),
        "started_at": _shown(task.started),
        "finished_at": _shown(task.finished),
        "error": task.error,
        "worker": None,
        "parent_task": None if (parent := world.parent(task)) is None else _href(parent),
        "child_tasks": [_href(child.task_id) for child in world.children(task)],
        "task_group": task.group and f"/pulp/api/v3/task-groups/{task.group}/",
        "progress_reports": [],
        "created_resources": [],
        "created_resource_prns": [],
        "reserved_resources_record": task.record,
        "result": task.result,
        "pulp_api_version": "v3",
    }


def _time_condition(name: str, base: str, lookup: str, value: str) -> Holds | None:
    items = [item.strip() for item in value.split(",") if item.strip()]

    def time(task: ListedTask) -> datetime | None:
        found: datetime | None = getattr(task, base.removeprefix("pulp_").removesuffix("_at"))
        return found

    if lookup == "isnull":
        wanted = _flag(value)
        return None if wanted is None else lambda task: (time(task) is None) == wanted
    if lookup not in ("lt", "lte", "gt", "gte", "range", "") or name.endswith("__"):
        raise Wrong(f"Invalid Filter: '{name}'")
    if not (items if lookup == "range" else value):
        return None
    if lookup == "range":
        bounds = [_instant(item) for item in items]
        if len(bounds) != 2:
            raise Wrong("Range query expects two values.")
        return lambda task: (at := time(task)) is not None and bounds[0] <= at <= bounds[1]
    than = _instant(value)
    compare: Callable[[datetime], bool] = {
        "": lambda at: at == than,
        "lt": lambda at: at < than,
        "lte": lambda at: at <= than,
        "gt": lambda at: at > than,
        "gte": lambda at: at >= than,
    }[lookup]
    return lambda task: (at := time(task)) is not None and compare(at)


def _state_condition(lookup: str, value: str, items: list[str]) -> Holds | None:
    if lookup == "in":
        if not items:
            return None
        return lambda task: task.state in items
    if not value:
        return None
    if lookup == "" and value not in STATES:
        raise Wrong(f"Select a valid choice. {value} is not one of the available choices.")
    return lambda task: (task.state == value) == (lookup == "")


def _text_condition(text: Callable[[ListedTask], str], lookup: str, value: str, items: list[str]) -> Holds | None:
    if lookup == "in":
        return (lambda task: text(task) in items) if items else None
    if not value:
        return None
    match lookup:
        case "contains":
            return lambda task: value in text(task)
        case "ne":
            return lambda task: text(task) != value
        case _:
            return lambda task: text(task) == value


def _relation(world: World, name: str, value: str) -> Holds | None:
    if not value:
        if name == "rerun_of":
            return None
        raise Unresolved(f"No value supplied for {name} filter.")
    known = _resolved(name, "task_group" if name == "task_group" else "task", value)
    match name:
        case "parent_task":
            return lambda task: world.parent(task) == known
        case "task_group":
            return lambda task: task.group == known
        case "rerun_of":
            return lambda task: task.rerun_of == known
        case _:
            parents = {child.parent for child in world.shown if child.task_id == known}
            return lambda task: task.task_id in parents


def _resolved(name: str, kind: str, text: str) -> UUID:
    if text.startswith("prn:"):
        _prn, label, known = ([*text.split(":"), "", ""])[:3]
        found = _PRNS.get(label)
    else:
        parts = text.removeprefix("http://pulp").strip("/").split("/")
        found, known = (_KINDS.get(parts[3]), parts[4]) if len(parts) == 5 else (None, "")
    if found is None:
        raise Unresolved(f"URI couldn't be resolved: {text}")
    try:
        wanted = UUID(known)
    except ValueError:
        raise Unresolved(f"UUID invalid: {known}") from None
    if found != kind:
        raise Unresolved(f"URI/PRN is not a valid href for {name} model: {text}")
    return wanted


def _identity(form: str, item: str) -> UUID:
    if form == "pulp_id":
        try:
            return UUID(item)
        except ValueError:
            raise Wrong("Enter a valid UUID.") from None
    if form == "prn" and not item.startswith("prn:"):
        raise Unresolved(f"Not a valid PRN: {item}, must start with 'prn:'")
    if "-" not in item:
        raise Unresolved(f"URI not valid: {item}")
    return _resolved(form, "task", item)


def _own_flag(world: World, name: str, wanted: bool | None) -> Holds | None:
    if wanted is None:
        return None
    rerun = {task.rerun_of for task in world.tasks}
    if name == "rerun_of":
        return lambda task: (task.rerun_of is None) == wanted
    return lambda task: (task.task_id not in rerun) == wanted


def _evaluate(world: World, expression: Expression) -> Holds:
    if isinstance(expression, Term):
        if expression.name == "purged":
            wanted = _flag(expression.value)
            return lambda task: task.purged == wanted
        found = condition(world, expression.name, [expression.value])
        return found or (lambda task: True)
    parts = [_evaluate(world, part) for part in expression.parts]
    match expression.word:
        case "NOT":
            return lambda task: not parts[0](task)
        case "AND":
            return lambda task: all(part(task) for part in parts)
        case _:
            return lambda task: any(part(task) for part in parts)


def _fields(request: Request) -> frozenset[str]:
    asked = {item.strip() for value in request.all("fields") for item in value.split(",") if item.strip()}
    left_out = {item.strip() for value in request.all("exclude_fields") for item in value.split(",")}
    found = set(asked or FIELDS) & set(FIELDS) - left_out
    return frozenset(found & MINIMAL if (request.last("minimal") or "").lower() == "true" else found)


def _flag(text: str) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())


def _number(text: str | None, default: int) -> int:
    return int(text) or default if text is not None and text.isdecimal() else default


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Wrong("Enter a valid date/time.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _stored_error(task: ListedTask) -> str | None:
    if task.error is None:
        return None
    parts = {"code": task.error["error_code"], "description": task.error["description"]}
    trace = task.error["traceback"]
    return _compact(parts if trace is None else {**parts, "traceback": trace})


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _href(known: UUID) -> str:
    return f"/pulp/api/v3/tasks/{known}/"


def _shown(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
