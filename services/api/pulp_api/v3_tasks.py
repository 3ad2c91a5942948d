"""Tasks as Pulp 3 shows them, and the filters of its list. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from pulp_events.errors import BadInput
from pulp_events.task import State
from pulp_projections.queries import Condition, TaskRow, raw

from pulp_api.failures import FieldErrors
from pulp_api.respond import API, instant
from pulp_api.submission import task_id_of

ROOT: Final = f"{API}/v3"
WORDS: Final = {
    State.WAITING: "waiting",
    State.RUNNING: "running",
    State.CANCELLING: "canceling",
    State.SUCCESSFUL: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "canceled",
    State.SKIPPED: "skipped",
}
_STATES: Final = {word: state for state, word in WORDS.items()}
MINIMAL: Final = frozenset(
    {
        *("pulp_href", "prn", "pulp_created", "pulp_last_updated", "pulp_api_version", "name", "state"),
        *("unblocked_at", "started_at", "finished_at", "worker"),
    }
)


def href_of(task_id: UUID | str) -> str:
    """The task's relative URL."""
    return f"{ROOT}/tasks/{task_id}/"


def shape(task: TaskRow) -> dict[str, Any]:
    """The 22 fields of Pulp 3, then those that only this service has."""
    error = None if task.error is None else msgspec.json.decode(task.error)
    return {
        "pulp_href": href_of(task.task_id),
        "prn": f"prn:core.task:{task.task_id}",
        "pulp_created": instant(task.accepted_at),
        "pulp_last_updated": instant(task.updated_at),
        "state": WORDS[State(task.state)],
        "name": task.operation,
        "logging_cid": task.correlation_id or "",
        "created_by": f"{ROOT}/users/{task.created_by.removeprefix('user:')}/",
        "unblocked_at": instant(task.started_at),
        "started_at": instant(task.started_at),
        "finished_at": instant(task.finished_at),
        "error": None if error is None else _error(error),
        "worker": None,
        "parent_task": None if task.parent_id is None else href_of(task.parent_id),
        "child_tasks": [href_of(child) for child in task.children],
        "task_group": None if task.group_id is None else f"{ROOT}/task-groups/{task.group_id}/",
        "progress_reports": progress_reports(msgspec.json.decode(task.progress), WORDS[State(task.state)]),
        "created_resources": [],
        "created_resource_prns": [],
        "reserved_resources_record": [*task.exclusive_resources, *(f"shared:{key}" for key in task.shared_resources)],
        "result": raw(task.result),
        "pulp_api_version": "v3",
        "arguments": raw(task.arguments),
        "resources": raw(task.resources),
        "tags": task.tags,
        "queue": task.queue,
        "priority": task.priority,
        "depends_on": [href_of(task_id) for task_id in task.depends_on],
        "timeout_seconds": task.timeout_seconds,
        "cancellable": task.cancellable,
        "cancel_requested_at": instant(task.cancel_requested_at),
        "attempt": task.attempt,
        "worker_name": task.worker,
        "progress": raw(task.progress),
        "version": task.version,
        "position": f"{task.partition}:{task.last_offset}",
    }


def progress_reports(progress: object, state: str, path: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Pulp 3's flat reports of a progress tree: one for each part that counts `items_total` and `items_left`."""
    if not isinstance(progress, dict):
        return []
    reports = [report for key, part in progress.items() for report in progress_reports(part, state, (*path, str(key)))]
    total, left = progress.get("items_total"), progress.get("items_left")
    if isinstance(total, int) and isinstance(left, int) and path:
        done = progress.get("num_success", total - left)
        report = {"message": " ".join(path).replace("_", " "), "code": ".".join(path), "state": state, "total": total}
        reports.insert(0, {**report, "done": done if isinstance(done, int) else total - left, "suffix": None})
    return reports


def pick(task: Mapping[str, Any], fields: Iterable[str], excluded: Iterable[str], *, minimal: bool) -> dict[str, Any]:
    """The fields that a client asked for; unknown names are ignored."""
    wanted, unwanted = set(fields), set(excluded)
    return {
        key: value
        for key, value in task.items()
        if (not wanted or key in wanted) and key not in unwanted and (not minimal or key in MINIMAL)
    }


def names_of(values: Iterable[str]) -> list[str]:
    """Names from a parameter that may be repeated, and hold several with commas between."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _error(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"traceback": error.get("traceback"), "error_code": error["code"], "description": error["description"]}


Values = Sequence[str]
_TIMES: Final[Mapping[str, LiteralString]] = {
    "pulp_created": "t.accepted_at",
    "started_at": "t.started_at",
    "finished_at": "t.finished_at",
    "unblocked_at": "t.started_at",
}
_COMPARISONS: Final[Mapping[str, LiteralString]] = {"": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_ORDERS: Final[Mapping[str, LiteralString]] = {
    "pulp_created": "t.accepted_at",
    "pulp_last_updated": "t.updated_at",
    "pulp_id": "t.task_id",
    "pk": "t.task_id",
    "state": "t.state",
    "name": "t.operation",
    "logging_cid": "t.correlation_id",
    "started_at": "t.started_at",
    "finished_at": "t.finished_at",
    "unblocked_at": "t.started_at",
    "error": "t.error::text",
    "result": "t.result::text",
    "reserved_resources_record": "t.exclusive_resources",
}
_ALL_EQUAL: Final = frozenset(
    {"immediate", "deferred", "versions", "profile_options", "pulp_api_version", "enc_args", "enc_kwargs"}
)
"""What Pulp 3 can be ordered by, and is the same for every task here."""
NOT_FILTERS: Final = frozenset({"limit", "offset", "ordering", "fields", "exclude_fields", "minimal"})


def condition_of(name: str, values: Values) -> Condition:
    """The condition of one query parameter. Raises `FieldErrors` as Pulp 3 answers for a bad one."""
    field, _, lookup = name.partition("__")
    joined = names_of(values)
    if field in _TIMES:
        return _time_condition(name, _TIMES[field], lookup, values[-1], joined)
    maker = _FILTERS.get(name)
    if maker is None:
        raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
    return maker(name, values[-1], joined)


def is_filter(name: str) -> bool:
    """Whether there is such a filter."""
    field, _, lookup = name.partition("__")
    return name in _FILTERS or (field in _TIMES and lookup in (*_COMPARISONS, "range", "isnull"))


def order_of(texts: Values) -> LiteralString:
    """The ORDER BY of `ordering`; the newest first where nothing else decides."""
    parts: list[LiteralString] = []
    for item in ",".join(texts).split(","):
        name = item.strip().removeprefix("-")
        if not name or name in _ALL_EQUAL:
            continue
        column = _ORDERS.get(name)
        if column is None:
            raise FieldErrors(
                {"ordering": [f"Select a valid choice. {item.strip()} is not one of the available choices."]}
            )
        parts.append(column + (" desc nulls last" if item.strip().startswith("-") else " asc nulls first"))
    return ", ".join([*parts, "t.accepted_at desc", "t.task_id desc"])


def _time_condition(name: str, column: LiteralString, lookup: str, value: str, values: Values) -> Condition:
    if lookup == "isnull":
        return Condition(column + " is null" if value.lower() in ("true", "1") else column + " is not null")
    if lookup == "range":
        if len(values) != 2:
            raise FieldErrors({name: ["Range query expects two values."]})
        bounds = [_instant(name, text) for text in values]
        sql = column + " between %(" + _literal(name) + "_from)s and %(" + _literal(name) + "_to)s"
        return Condition(sql, {f"{name}_from": bounds[0], f"{name}_to": bounds[1]})
    comparison = _COMPARISONS.get(lookup)
    if comparison is None:
        raise FieldErrors({"errors": [f"Invalid Filter: '{name}'"]})
    return Condition(column + " " + comparison + " %(" + _literal(name) + ")s", {name: _instant(name, value)})


def _literal(name: str) -> LiteralString:
    """The name of a parameter that is in the tables above, as the literal that stands there."""
    return next(
        literal
        for field in _TIMES
        for literal in (field, *(f"{field}__{lookup}" for lookup in (*_COMPARISONS, "range")))
        if literal == name
    )


def _instant(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise FieldErrors({name: ["Enter a valid date/time."]}) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _states(name: str, words: Values, *, strict: bool) -> list[str]:
    unknown = [word for word in words if word not in _STATES]
    if unknown and strict:
        raise FieldErrors({name: [f"Select a valid choice. {unknown[0]} is not one of the available choices."]})
    return [_STATES[word].value for word in words if word in _STATES]


def _uuids(name: str, values: Values) -> list[UUID]:
    try:
        return [UUID(value.rsplit(":", 1)[-1]) for value in values]
    except ValueError:
        raise FieldErrors({name: ["Enter a valid UUID."]}) from None


def _related(text: str) -> UUID:
    try:
        return UUID(text.rsplit(":", 1)[-1]) if text.startswith("prn:") else task_id_of(text)
    except (BadInput, ValueError):
        raise FieldErrors([f"URI couldn't be resolved: {text}"]) from None


def _group(text: str) -> UUID:
    return _related(text.replace("/task-groups/", "/tasks/"))


Maker = Callable[[str, str, Values], Condition]
_FILTERS: Final[Mapping[str, Maker]] = {
    "state": lambda n, v, _: Condition("t.state = any (%(state)s)", {"state": _states(n, [v], strict=True)}),
    "state__in": lambda n, _, vs: Condition("t.state = any (%(state__in)s)", {n: _states(n, vs, strict=False)}),
    "state__ne": lambda n, v, _: Condition("t.state <> all (%(state__ne)s)", {n: _states(n, [v], strict=True)}),
    "name": lambda n, v, _: Condition("t.operation = %(name)s", {n: v}),
    "name__contains": lambda n, v, _: Condition("position(%(name__contains)s in t.operation) > 0", {n: v}),
    "name__in": lambda n, _, vs: Condition("t.operation = any (%(name__in)s)", {n: list(vs)}),
    "name__ne": lambda n, v, _: Condition("t.operation <> %(name__ne)s", {n: v}),
    "logging_cid": lambda n, v, _: Condition("t.correlation_id = %(logging_cid)s", {n: v}),
    "logging_cid__contains": lambda n, v, _: Condition(
        "position(%(logging_cid__contains)s in t.correlation_id) > 0", {n: v}
    ),
    "parent_task": lambda n, v, _: Condition("t.parent_id = %(parent_task)s", {n: _related(v)}),
    "child_tasks": lambda n, v, _: Condition(
        "t.task_id = (select c.parent_id from tasks c where c.task_id = %(child_tasks)s)", {n: _related(v)}
    ),
    "task_group": lambda n, v, _: Condition("t.group_id = %(task_group)s", {n: _group(v)}),
    "created_resources": lambda _n, _v, _: Condition("false"),
    "worker": lambda _n, _v, _: Condition("false"),
    "reserved_resources": lambda n, v, _: Condition(
        "(t.exclusive_resources @> %(reserved_resources)s or t.shared_resources @> %(reserved_resources)s)", {n: [v]}
    ),
    "reserved_resources__in": lambda n, _, vs: Condition(
        "(t.exclusive_resources || t.shared_resources) @> %(reserved_resources__in)s", {n: list(vs)}
    ),
    "exclusive_resources": lambda n, v, _: Condition("t.exclusive_resources @> %(exclusive_resources)s", {n: [v]}),
    "exclusive_resources__in": lambda n, _, vs: Condition(
        "t.exclusive_resources @> %(exclusive_resources__in)s", {n: list(vs)}
    ),
    "shared_resources": lambda n, v, _: Condition("t.shared_resources @> %(shared_resources)s", {n: [v]}),
    "shared_resources__in": lambda n, _, vs: Condition("t.shared_resources @> %(shared_resources__in)s", {n: list(vs)}),
    "pulp_id__in": lambda n, _, vs: Condition("t.task_id = any (%(pulp_id__in)s)", {n: _uuids(n, vs)}),
    "prn__in": lambda n, _, vs: Condition("t.task_id = any (%(prn__in)s)", {n: _uuids(n, vs)}),
    "pulp_href__in": lambda n, _, vs: Condition(
        "t.task_id = any (%(pulp_href__in)s)", {n: [_related(value) for value in vs]}
    ),
}
