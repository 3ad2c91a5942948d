"""Pulp 2's words for the states, and its searches. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TypeGuard
from uuid import UUID

import msgspec
from pulp_events.errors import BadInput
from pulp_events.task import State
from pulp_projections.reading.queries import Condition, TaskRow

WORDS: Final = {
    State.WAITING: "waiting",
    State.RUNNING: "running",
    State.SUCCESSFUL: "finished",
    State.FAILED: "error",
    State.CANCELLED: "canceled",
    State.SKIPPED: "skipped",
}
FIELDS: Final = {
    "tags": ("tags", "call_request_tags"),
    "progress": ("progress", "progress_report"),
    "result": ("result",),
    "error": ("error", "exception", "traceback"),
    "children": ("spawned_tasks",),
}
"""The columns that may be large, and the fields of a report that are made of them. A report shows no others of them."""
MOST_VALUES: Final = 1000
"""Values that one filter may name."""
_ORDERS: Final[dict[str, LiteralString]] = {
    "id": "t.accepted_at",
    "_id": "t.accepted_at",
    "task_id": "t.task_id",
    "state": "t.state",
    "start_time": "t.started_at",
    "finish_time": "t.finished_at",
    "task_type": "t.operation",
    "worker_name": "t.worker",
}
_MORE_OPERATORS: Final[dict[str, tuple[str, ...]]] = {"state": ("$nin",), "tags": ("$all",)}
"""What a field takes beside `$in`: a client of 2.21 looks so for the tasks of a repository before it starts one."""
_DIRECTIONS: Final[dict[str, LiteralString]] = {"ascending": " asc nulls first", "descending": " desc nulls last"}
_LAST: Final[LiteralString] = "t.accepted_at, t.task_id"


@dataclass(frozen=True, slots=True)
class Search:
    """Which tasks are wanted, in which order, and what of them."""

    conditions: Sequence[Condition] = ()
    limit: int | None = None
    skip: int = 0
    order: LiteralString = _LAST
    fields: frozenset[str] | None = None

    @property
    def is_by_time(self) -> bool:
        """The tasks are wanted in the order of submission."""
        return self.order == _LAST

    def pick(self, report: dict[str, Any]) -> dict[str, Any]:
        """Of a report the fields that are wanted; its id comes in any case."""
        if self.fields is None:
            return report
        return {key: value for key, value in report.items() if key in self.fields or key in ("_id", "id", "omitted")}


def columns_of(search: Search) -> frozenset[str]:
    """Of the columns that may be large those that the wanted fields are made of."""
    return frozenset(
        column for column, fields in FIELDS.items() if search.fields is None or not search.fields.isdisjoint(fields)
    )


def word_of(task: TaskRow) -> str:
    """Pulp 2's word for the state. It has none for cancelling: the task is still running, or still waiting."""
    if task.state == State.CANCELLING:
        return "waiting" if task.started_at is None else "running"
    return WORDS[State(task.state)]


def search_of(body: dict[str, Any]) -> Search:
    """The search that a body asks for. Raises `BadInput`, which names what cannot be used."""
    criteria = body.get("criteria")
    if not isinstance(criteria, dict):
        raise BadInput("the body needs an object 'criteria'")
    unknown = criteria.keys() - {"filters", "sort", "limit", "skip", "fields"}
    if unknown:
        raise BadInput(f"criteria: unknown keys {', '.join(sorted(unknown))}")
    filters = criteria.get("filters") or {}
    if not isinstance(filters, dict):
        raise BadInput("criteria.filters must be an object")
    fields = criteria.get("fields")
    if fields is not None and not _is_texts(fields):
        raise BadInput("criteria.fields must be a list of texts")
    return Search(
        [_filter(field, wanted) for field, wanted in filters.items()],
        limit=_whole(criteria, "limit", least=1),
        skip=_whole(criteria, "skip", least=0) or 0,
        order=_order(criteria.get("sort") or []),
        fields=None if fields is None else frozenset(fields),
    )


def in_states(words: Sequence[str]) -> Condition:
    """The tasks that Pulp 2 shows in any of these states; `cancelling`, which it does not know, is one of ours.

    Raises `BadInput` for an unknown word.
    """
    known = {**{word: state for state, word in WORDS.items()}, "cancelling": State.CANCELLING}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise BadInput(f"unknown state {', '.join(unknown)}; known are: {', '.join(known)}")
    states = [known[word] for word in words]
    if State.WAITING in states or State.RUNNING in states:
        return Condition(
            "(t.state = any (%(states)s) or (t.state = 'cancelling' and"
            " (case when t.started_at is null then 'waiting' else 'running' end) = any (%(states)s)))",
            {"states": states},
        )
    return Condition("t.state = any (%(states)s)", {"states": states})


def uuid_of(text: str) -> UUID | None:
    """The UUID, or None for another text: no task has it as its id."""
    try:
        return UUID(text)
    except ValueError:
        return None


def json_value(name: str, text: str) -> Any:
    """What the text of a parameter says in JSON. Raises `BadInput`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadInput(f"{name}: not JSON: {error}") from error


def _filter(field: str, wanted: Any) -> Condition:
    if field == "group_id" and wanted is None:
        return Condition("t.group_id is null")
    known = ("$in", *_MORE_OPERATORS.get(field, ()))
    [(operator, values)] = wanted.items() if isinstance(wanted, dict) and len(wanted) == 1 else [("$in", [wanted])]
    if operator not in known or not _is_texts(values):
        told = " or ".join(known)
        raise BadInput(f"criteria.filters.{field}: a text, or an object with {told} and a list of texts")
    if len(values) > MOST_VALUES:
        raise BadInput(f"criteria.filters.{field}: {len(values)} values, at most {MOST_VALUES} are taken in one search")
    match field:
        case "task_id" | "group_id":
            ids = [found for text in values if (found := uuid_of(text)) is not None]
            column: LiteralString = "t.task_id" if field == "task_id" else "t.group_id"
            parameter: LiteralString = "ids" if field == "task_id" else "groups"
            return Condition(column + " = any (%(" + parameter + ")s)", {parameter: ids})
        case "state":
            in_any = in_states(values)
            return Condition("not " + in_any.sql, in_any.parameters) if operator == "$nin" else in_any
        case "tags" if operator == "$all":
            return Condition("t.tags <> '{}' and t.tags @> %(tags)s", {"tags": values})
        case "tags":
            return Condition("t.tags <> '{}' and t.tags && %(tags)s", {"tags": values})
        case _:
            raise BadInput(f"criteria.filters.{field}: only task_id, group_id, state and tags can be searched")


def _order(sort: Any) -> LiteralString:
    parts: list[LiteralString] = []
    for item in sort if isinstance(sort, list) else [None]:
        if not _is_texts(item) or len(item) != 2 or item[0] not in _ORDERS or item[1] not in _DIRECTIONS:
            raise BadInput(
                "criteria.sort: a list of [FIELD, ascending or descending] is expected; fields are: "
                + ", ".join(_ORDERS)
            )
        parts.append(_ORDERS[item[0]] + _DIRECTIONS[item[1]])
    if parts == [_ORDERS["id"] + _DIRECTIONS["ascending"]]:
        return _LAST  # what comes of itself
    return ", ".join([*parts, _LAST])


def _whole(criteria: dict[str, Any], name: str, *, least: int) -> int | None:
    value = criteria.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise BadInput(f"criteria.{name}: a whole number of at least {least} is expected")
    return value


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
