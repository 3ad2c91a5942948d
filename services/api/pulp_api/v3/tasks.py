"""Tasks as Pulp 3 shows them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace
from pulp_events.task import State
from pulp_projections.reading.queries import TaskRow, raw
from pulp_projections.reading.reruns import Reruns

from pulp_api.respond import API, instant

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
STATES: Final = {word: state for state, word in WORDS.items()}
MINIMAL: Final = frozenset(
    {
        *("pulp_href", "prn", "pulp_created", "pulp_last_updated", "pulp_api_version", "name", "state"),
        *("unblocked_at", "started_at", "finished_at", "worker"),
    }
)


_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "arguments": ("arguments",),
    "resources": ("resources",),
    "exclusive_resources": ("reserved_resources_record",),
    "shared_resources": ("reserved_resources_record",),
    "tags": ("tags",),
    "progress": ("progress", "progress_reports"),
    "result": ("result",),
    "error": ("error",),
    "children": ("child_tasks",),
}
"""The columns that may be large, and the fields that are made of them."""
MOST_CHILDREN: Final = 10_000
"""Children that are named with a single task. All of them are in the list with `parent_task`."""


def href_of(task_id: UUID | str) -> str:
    """The task's relative URL."""
    return f"{ROOT}/tasks/{task_id}/"


def shape(task: TaskRow) -> dict[str, Any]:
    """The 22 fields of Pulp 3, then those that only this service has.

    `omitted` is there only in a list, and only if it had no room for the values of some fields: it names these.
    """
    task_id, state, started_at = str(task.task_id), WORDS[task.state], instant(task.started_at)
    error = None if task.error is None else msgspec.json.decode(task.error)
    return {
        "pulp_href": href_of(task_id),
        "prn": f"prn:core.task:{task_id}",
        "pulp_created": instant(task.accepted_at),
        "pulp_last_updated": instant(task.updated_at),
        "state": state,
        "name": task.operation,
        "logging_cid": task.correlation_id or "",
        "created_by": f"{ROOT}/users/{task.created_by.removeprefix('user:')}/",
        "unblocked_at": started_at,
        "started_at": started_at,
        "finished_at": instant(task.finished_at),
        "error": None if error is None else _error(error),
        "worker": None,
        "parent_task": None if task.parent_id is None else href_of(task.parent_id),
        "child_tasks": [href_of(child) for child in task.children],
        "task_group": None if task.group_id is None else f"{ROOT}/task-groups/{task.group_id}/",
        "progress_reports": progress_reports(msgspec.json.decode(task.progress), state),
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
        "depends_on": [href_of(other) for other in task.depends_on],
        "timeout_seconds": task.timeout_seconds,
        "cancellable": task.cancellable,
        "cancel_requested_at": instant(task.cancel_requested_at),
        "attempt": task.attempt,
        "worker_name": task.worker,
        "progress": raw(task.progress),
        "version": task.version,
        "position": f"{task.partition}:{task.last_offset}",
    } | ({"omitted": _omitted(task)} if task.omitted else {})


def columns_of(names: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> frozenset[str]:
    """Of the columns that may be large those that the picked fields are made of."""
    return frozenset(column for column, fields in _FIELDS.items() if names(dict.fromkeys(fields)))


def shape_alone(task: TaskRow, reruns: Reruns, waiting_for: Any = None) -> dict[str, Any]:
    """A task that is no item of a list: also what it runs again, what runs it again, and why it waits."""
    if len(task.children) > MOST_CHILDREN:
        task = replace(task, children=task.children[:MOST_CHILDREN], omitted=["children"])
    return {
        **shape(task),
        "rerun_of": None if reruns.rerun_of is None else href_of(reruns.rerun_of),
        "reruns": [href_of(task_id) for task_id in reruns.reruns],
        "waiting_for": waiting_for,
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
    """The fields that a client asked for, and in any case what says that some lack their values.

    Unknown names are ignored.
    """
    wanted, unwanted = set(fields), set(excluded)
    return {
        key: value
        for key, value in task.items()
        if key == "omitted"
        or ((not wanted or key in wanted) and key not in unwanted and (not minimal or key in MINIMAL))
    }


def names_of(values: Iterable[str]) -> list[str]:
    """Names from a parameter that may be repeated, and hold several with commas between."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _omitted(task: TaskRow) -> list[str]:
    return sorted({field for column in task.omitted or () for field in _FIELDS[column]})


def _error(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"traceback": error.get("traceback"), "error_code": error["code"], "description": error["description"]}
