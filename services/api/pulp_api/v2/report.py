"""The report of a task: the call report of 2.0 and the task report of 2.21, in one object. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from pulp_events.events import TaskError
from pulp_events.schedule_events import schedule_in
from pulp_events.task import FINAL, State
from pulp_projections.reading.queries import TaskRow
from pulp_projections.times import moment

from pulp_api.respond import second
from pulp_api.v2.dialect import ROOT
from pulp_api.v2.words import shown_tag, word_of

FIELDS: Final = {
    "tags": ("tags", "call_request_tags", "schedule_id"),
    "progress": ("progress", "progress_report"),
    "result": ("result",),
    "error": ("error", "exception", "traceback"),
    "children": ("spawned_tasks",),
}
"""The columns that may be large → the fields of a report that are made of them. Reports use no other large columns."""
ALWAYS: Final = frozenset({"_href", "_id", "_ns", "id", "task_id", "omitted", "purged_at", "purged_by"})
"""The fields that a search returns whatever fields it asks for."""
WAITS: Final = frozenset({"response", "reasons", "dependency_failures"})
"""The fields of a report that are made of `Waits`."""
_RAISED: Final = re.compile(r"^([^\W\d][\w.]*)(?::|$)")
_OID_DIGITS: Final = 24


class Waits(NamedTuple):
    """What a task waits for, or why it was skipped."""

    reasons: Sequence[Mapping[str, Any]] = ()
    """What it waits for: `resource_type`, `resource_id`, `operation`, and the `task_id` of the other task."""
    failures: Mapping[str, Any] = {}  # a NamedTuple's default, never changed
    """The dependencies that did not end as expected: task id → `{"expected": [STATE], "actual": STATE}`."""


NOTHING: Final = Waits()


def report(task: TaskRow, waits: Waits = NOTHING) -> dict[str, Any]:
    """The report.

    `omitted` names the fields whose values a list had no room for; without such fields it is missing. Only a
    purged task has `purged_at` and `purged_by`.
    """
    purged = {"purged_at": second(moment(task.purged_at_ms)), "purged_by": task.purged_by} if task.purged_by else {}
    task_id, group_id, tags = str(task.task_id), str(group_of(task)), [shown_tag(tag) for tag in task.tags]
    error = task.error if task.state in FINAL else None  # not of an attempt that is followed by another one
    return (
        {
            "_href": href_of(task.task_id),
            "call_request_id": task_id,
            "call_request_group_id": group_id,
            "call_request_tags": tags,
            "schedule_id": schedule_in(task.tags),
            "principal_login": task.created_by.removeprefix("user:"),
            "response": "postponed" if waits.reasons else "accepted",
            "reasons": waits.reasons,
            "state": word_of(task),
            "progress": task.progress,
            "dependency_failures": waits.failures,
            "result": task.result,
            "exception": None if error is None else exception_of(error),
            "traceback": None if error is None else error.traceback or None,
            "start_time": second(moment(task.started_at_ms)),
            "finish_time": second(moment(task.finished_at_ms)),
            "task_id": task_id,
            "task_group_id": group_id,
            "tags": tags,
            "task_type": task.operation,
            "progress_report": task.progress,
            "error": None if error is None else {**msgspec.to_builtins(error), "data": {}, "sub_errors": []},
            "worker_name": None if task.state == State.WAITING else task.worker,
            "queue": task.queue,
            "spawned_tasks": [_link(child) for child in task.children],
            "id": task_id,
            "_id": {"$oid": oid_of(task.task_id)},
            "_ns": "task_status",
            "cancelling": task.state == State.CANCELLING,
            "submit_time": second(moment(task.accepted_at_ms)),
            "attempt": task.attempt,
            "failed_attempts": task.failed_attempts,
            "retry_at": second(moment(task.retry_at_ms)),
        }
        | ({"omitted": _omitted(task)} if task.omitted else {})
        | purged
    )


def accepted(task: TaskRow, waits: Waits = NOTHING) -> dict[str, Any]:
    """The body of a 202. Clients of 2.4 and later wait for its `spawned_tasks` alone: it names the task itself."""
    return report(task, waits) | {"spawned_tasks": [_link(task.task_id)]}


def in_group(shown: dict[str, Any]) -> dict[str, Any]:
    """A report as shown in a group, with the address of the group."""
    return shown | {"_href": group_href_of(shown["call_request_group_id"])}


def group_shape(group_id: UUID) -> dict[str, str]:
    """A group in the list of groups."""
    shown = str(group_id)
    return {"task_group_id": shown, "call_request_group_id": shown, "_href": group_href_of(shown)}


def href_of(task_id: UUID) -> str:
    """The address of a task."""
    return f"{ROOT}/tasks/{task_id}/"


def group_href_of(group_id: object) -> str:
    """The address of a group."""
    return f"{ROOT}/task_groups/{group_id}/"


def group_of(task: TaskRow) -> UUID:
    """The id of the task's group. A task submitted without one is a group of its own.

    The client of 2.0 finds the tasks to follow only by the group, while that of 2.21 lists only tasks whose `group_id`
    is null, so no group is stored for a single task.
    """
    return task.task_id if task.group_id is None else task.group_id


def oid_of(identity: UUID) -> str:
    """An id of MongoDB's form: 24 hexadecimal digits, the first of the UUID, which begins with the time."""
    return identity.hex[:_OID_DIGITS]


def exception_of(error: TaskError) -> str:
    """The name of the class that was raised, without its module; the description of an error that nothing raised."""
    return _raised(error.traceback or "") or error.description


def _raised(traceback: str) -> str | None:
    """The class that the last part of a traceback names, on the first line that is not indented."""
    last = traceback.rpartition("Traceback (most recent call last):")[2].lstrip("\n")
    for line in last.splitlines():
        if (found := _RAISED.match(line)) and found[1] != "Traceback":
            return found[1].rpartition(".")[2]
    return None


def _link(task_id: UUID) -> dict[str, str]:
    return {"_href": href_of(task_id), "task_id": str(task_id)}


def _omitted(task: TaskRow) -> list[str]:
    return sorted({field for column in task.omitted or () for field in FIELDS.get(column, ())})
