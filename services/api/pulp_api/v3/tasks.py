"""Tasks in Pulp 3's JSON. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NotRequired, TypedDict
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.structs import replace
from pulp_events.errors import TaskNotFound
from pulp_events.events import Resource, Retry, TaskError
from pulp_events.task import Position, State
from pulp_projections.personal.envelope import Opened, Sight
from pulp_projections.reading.queries import TaskRow
from pulp_projections.reading.reruns import Reruns
from pulp_projections.times import moment

from pulp_api.respond import instant
from pulp_api.v3.answers import Time
from pulp_api.v3.progress import REPORTED, ProgressReportResponse, progress_reports
from pulp_api.v3.references import Kind, user_href
from pulp_api.v3.waiting import WaitingForResponse

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
"""The columns that may be large → the fields that are made of them."""
MOST_CHILDREN: Final = 10_000
"""The most children shown with a single task. The list with `parent_task` has all of them."""


class TaskErrorResponse(TypedDict):
    """Why a task did not succeed."""

    traceback: NotRequired[str | None]
    error_code: NotRequired[str]
    description: NotRequired[str]
    reason: NotRequired[Annotated[str, Meta(description="Why the task was cancelled.")]]


class MinimalTaskResponse(TypedDict):
    """A task with `minimal`, or in its group."""

    pulp_href: str
    prn: str
    pulp_created: Time
    pulp_last_updated: Time
    pulp_api_version: str
    name: str
    state: str
    unblocked_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    worker: str | None


class TaskResponse(TypedDict):
    """A task: the fields of Pulp 3, then those that only this service has."""

    pulp_href: str
    prn: str
    pulp_created: Time
    pulp_last_updated: Time
    state: Annotated[str, Meta(description="waiting, running, canceling, completed, failed, canceled or skipped.")]
    name: Annotated[str, Meta(description="The operation.")]
    logging_cid: str
    created_by: Annotated[str | None, Meta(description="The user's href; null if no user submitted it.")]
    unblocked_at: Annotated[Time | None, Meta(description="Since when it has needed only a worker with a free slot.")]
    started_at: Time | None
    finished_at: Time | None
    error: TaskErrorResponse | None
    worker: Annotated[str | None, Meta(description="Always null, as in Pulp 3; see `worker_name`.")]
    parent_task: str | None
    child_tasks: list[str]
    task_group: str | None
    progress_reports: list[ProgressReportResponse]
    created_resources: list[str]
    created_resource_prns: list[str]
    reserved_resources_record: list[str]
    result: Any
    pulp_api_version: str
    arguments: Annotated[Any, Meta(extra_json_schema={"type": "object"})]
    resources: tuple[Resource, ...]
    tags: tuple[str, ...]
    queue: str
    priority: int
    depends_on: list[str]
    timeout_seconds: Annotated[int | None, Meta(description="For one attempt.")]
    retry: Retry | None
    deadline_seconds: Annotated[int | None, Meta(description="For all attempts together, counted from acceptance.")]
    cancellable: bool
    cancel_requested_at: Time | None
    attempt: Annotated[int, Meta(description="The number of the last attempt; 0 before the first.")]
    failed_attempts: Annotated[int, Meta(description="The number of failed attempts after which the task was retried.")]
    retry_at: Annotated[Time | None, Meta(description="While it waits for its next attempt: the earliest time for it.")]
    worker_name: str | None
    progress: Any
    version: Annotated[int, Meta(description="The number of its events that had an effect.")]
    position: Annotated[str, Meta(description="PARTITION:OFFSET of the last of these events.")]
    omitted: NotRequired[
        Annotated[
            list[str],
            Meta(description="The fields whose values were too large for the list; left out if there are none."),
        ]
    ]
    personal: NotRequired[
        Annotated[
            dict[str, Sight],
            Meta(
                description="The arguments that are personal data, which are encrypted in the log, and the status of"
                " each: shown, erased or unreadable. Left out if there are none, or without `arguments`."
            ),
        ]
    ]
    purged_at: NotRequired[Annotated[Time, Meta(description="Only for a purged task.")]]
    purged_by: NotRequired[Annotated[str | None, Meta(description="The href of the user who purged it.")]]


class SingleTaskResponse(TaskResponse):
    """A task that was read by itself.

    One that was skipped, because of a task that it depends on, is `failed` here: no client of Pulp 3 ends its wait at
    `skipped`. Lists, filters and counters have `skipped`. A removal of orphans and a purge have no result here but
    progress reports, as in Pulp 3, whose clients take a result for the whole answer.
    """

    rerun_of: str | None
    reruns: list[str]
    waiting_for: Annotated[
        WaitingForResponse | None, Meta(description="Why the task waits now; null if it does not, and with `as_of`.")
    ]


_UNEXPLAINED: Final[Mapping[State, TaskErrorResponse]] = {
    State.FAILED: {"description": "The task failed."},
    State.CANCELLED: {"reason": "The task was canceled."},
    State.SKIPPED: {"description": "The task was skipped."},
}
"""The error of a task without one: clients that wait read it without looking whether it is there."""


def href_of(task_id: UUID | str) -> str:
    """The task's relative URL."""
    return Kind.TASK.href(task_id)


def id_of(text: str) -> UUID:
    """The task's id in a path. Raises `TaskNotFound` for a text that is not a UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise TaskNotFound(text) from None


def shape(task: TaskRow, unblocked_at: datetime | None, opened: Opened | None = None) -> TaskResponse:
    """A task in a list; `opened` are its arguments if some are personal data.

    `unblocked_at` is when it became runnable, or None. `omitted` names the fields whose values were too large for the
    list; without such fields it is missing. Only a purged task has `purged_at` and `purged_by`.
    """
    task_id, state = str(task.task_id), WORDS[task.state]
    found: TaskResponse = {
        "pulp_href": href_of(task_id),
        "prn": Kind.TASK.prn(task_id),
        "pulp_created": instant(moment(task.accepted_at_ms)),
        "pulp_last_updated": instant(moment(task.updated_at_ms)),
        "state": state,
        "name": task.operation,
        "logging_cid": task.correlation_id or "",
        "created_by": user_href(task.created_by),
        "unblocked_at": instant(unblocked_at),
        "started_at": instant(moment(task.started_at_ms)),
        "finished_at": instant(moment(task.finished_at_ms)),
        "error": None if task.error is None else _error(task.error),
        "worker": None,
        "parent_task": None if task.parent_id is None else href_of(task.parent_id),
        "child_tasks": [href_of(child) for child in task.children],
        "task_group": None if task.group_id is None else Kind.GROUP.href(task.group_id),
        "progress_reports": progress_reports(msgspec.json.decode(task.progress), state),
        "created_resources": [],
        "created_resource_prns": [],
        "reserved_resources_record": [*task.exclusive_resources, *(f"shared:{key}" for key in task.shared_resources)],
        "result": task.result,
        "pulp_api_version": "v3",
        "arguments": task.arguments if opened is None else opened.arguments,
        "resources": task.resources,
        "tags": task.tags,
        "queue": task.queue,
        "priority": task.priority,
        "depends_on": [href_of(other) for other in task.depends_on],
        "timeout_seconds": task.timeout_seconds,
        "retry": task.retry,
        "deadline_seconds": task.deadline_seconds,
        "cancellable": task.cancellable,
        "cancel_requested_at": instant(moment(task.cancel_requested_at_ms)),
        "attempt": task.attempt,
        "failed_attempts": task.failed_attempts,
        "retry_at": instant(moment(task.retry_at_ms)),
        "worker_name": task.worker,
        "progress": task.progress,
        "version": task.version,
        "position": str(Position(task.partition, task.offset)),
    }
    if opened is not None:
        found["personal"] = dict(opened.personal)
    if task.omitted:
        found["omitted"] = _omitted(task)
    if task.purged_at_ms is not None and task.purged_by is not None:
        found["purged_at"], found["purged_by"] = instant(moment(task.purged_at_ms)), user_href(task.purged_by)
    return found


def columns_of(names: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> frozenset[str]:
    """The large columns that the picked fields are made of."""
    return frozenset(column for column, fields in _FIELDS.items() if names(dict.fromkeys(fields)))


def shape_alone(
    task: TaskRow,
    unblocked_at: datetime | None,
    reruns: Reruns,
    waiting_for: WaitingForResponse | None = None,
    opened: Opened | None = None,
) -> SingleTaskResponse:
    """A single task: also the task that it reruns, its own reruns, and why it waits."""
    if len(task.children) > MOST_CHILDREN:
        task = replace(task, children=task.children[:MOST_CHILDREN], omitted=["children"])
    found: SingleTaskResponse = {
        **shape(task, unblocked_at, opened),
        "rerun_of": None if reruns.rerun_of is None else href_of(reruns.rerun_of),
        "reruns": [href_of(task_id) for task_id in reruns.reruns],
        "waiting_for": waiting_for,
    }
    if task.state is State.SKIPPED:
        found["state"] = WORDS[State.FAILED]
    if found["error"] is None:
        found["error"] = _UNEXPLAINED.get(task.state)
    if task.state is State.SUCCESSFUL and task.operation in REPORTED:
        counts = msgspec.json.decode(task.result)
        reports = REPORTED[task.operation]
        found["progress_reports"], found["result"] = reports(counts if isinstance(counts, dict) else {}), None
    return found


def _omitted(task: TaskRow) -> list[str]:
    return sorted({field for column in task.omitted or () for field in _FIELDS[column]})


def _error(error: TaskError) -> TaskErrorResponse:
    return {"traceback": error.traceback, "error_code": error.code, "description": error.description}
