"""All that keeps a task from running, what to do about it, and who is before it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypedDict
from uuid import UUID

from msgspec import Meta
from pulp_events.task import State
from pulp_projections.reading.queries import TaskRow
from pulp_projections.reading.queue import Before, Holder, RunningOf
from pulp_projections.reading.waiting import WaitingFacts
from pulp_projections.times import moment

from pulp_api.respond import instant
from pulp_api.v3.answers import Time
from pulp_api.v3.tasks import WORDS, href_of
from pulp_api.v3.waiting import (
    IS,
    Code,
    RootCauseResponse,
    WaitReason,
    WaitReasonResponse,
    parked_reason,
    reasons_of,
    shape_of,
    why,
)

Access = Literal["exclusive", "shared"]


class HolderResponse(TypedDict):
    """A task that holds a resource."""

    task: str
    state: str | None
    worker_name: str
    access: Access
    since: Time
    seconds: float


Holders = Annotated[list[HolderResponse], Meta(description="At most 20, exclusive ones first.")]
Others = Annotated[
    bool,
    Meta(
        description="Whether tasks that the user may not see hold it or wait for it. Which, and how many, is not"
        " disclosed."
    ),
]


class AdvisedReasonResponse(WaitReasonResponse):
    """What keeps a task from running, and what to do about it."""

    advice: str


class UsedResourceResponse(TypedDict):
    """A resource that a waiting task uses."""

    resource: str
    access: Annotated[Access, Meta(description="How the task uses it.")]
    held_by: Annotated[list[HolderResponse], Meta(description="The holders that conflict with it.")]
    others: Others
    before: Annotated[int, Meta(description="The number of conflicting tasks that wait ahead of it.")]
    tasks: Annotated[list[str], Meta(description="The hrefs of the first ten of these, in order.")]


class ExplanationResponse(TypedDict):
    """All that keeps a task from running."""

    task: str
    state: str
    message: Annotated[str, Meta(description="The first reason, or a statement that the task does not wait.")]
    reasons: Annotated[
        list[AdvisedReasonResponse],
        Meta(
            description="Reasons that do not pass by themselves come first. If the task does not wait, the only"
            " possible reason is that it is parked."
        ),
    ]
    root_cause: Annotated[
        RootCauseResponse | None,
        Meta(description="The same for the last task in the chain, if it waits for a task that itself waits."),
    ]
    resources: list[UsedResourceResponse]


_DOES: Final = {**IS, State.WAITING: "has changed in the meantime"}
_ADVICE: Final[Mapping[Code, str]] = {
    Code.PARKED: "Have an operator look at it with pulp-admin dead-letters show, and retry or discard it.",
    Code.NO_DISPATCHER: "Start a processor.",
    Code.NO_WORKER_FOR_QUEUE: "Start a worker with --queue for it, or cancel the task.",
    Code.NO_WORKER_FOR_OPERATION: "Install the package of the operation where workers run, and restart them; or cancel"
    " the task.",
    Code.DISPATCHER_SETTLES: "Wait; if it lasts for minutes, look at the lag in readyz/ and the log of the processors.",
    Code.NEXT_ATTEMPT: "Wait; or cancel the task if the error will not go away.",
    Code.DEPENDENCY: "Wait for those tasks. If one ends otherwise than with success, this task is skipped.",
    Code.RESOURCE_HELD: "Wait for those tasks, or cancel them.",
    Code.EARLIER_TASK: "Wait for the tasks before it, or cancel them.",
    Code.QUOTA: "Wait, or have an administrator raise the quota.",
    Code.NO_FREE_SLOT: "Wait, or start more workers.",
    Code.CLAIMED: "Wait a moment.",
    Code.ABOUT_TO_BE_CLAIMED: "Wait a moment.",
}


async def explain(
    facts_of: Callable[[UUID], Awaitable[WaitingFacts | None]],
    before_of: Callable[[UUID], Awaitable[list[Before]]],
    task: TaskRow,
    running_of: RunningOf = lambda _role, _own: None,
) -> ExplanationResponse:
    """Everything that keeps a task from running, with the tasks ahead of it on each resource, in JSON.

    For a task that does not wait, `resources` is empty, `message` says so, and the only possible reason is that it is
    parked.
    """
    facts = await facts_of(task.task_id)
    if facts is None or facts.state is not State.WAITING:
        state = task.state if facts is None else facts.state
        message = f"It does not wait: it {_DOES[state]}{_where(task, state)}."
        parked = [] if facts is None or facts.parked is None else [parked_reason(facts.parked)]
        return _explained(task.task_id, state, message, parked, None, [])
    first = await why(facts_of, task.task_id, running_of)
    found = list(reasons_of(facts, running_of))
    root = None if first is None else first["root_cause"]
    return _explained(task.task_id, State.WAITING, found[0].message, found, root, await before_of(task.task_id))


def _explained(
    task_id: UUID,
    state: State,
    message: str,
    reasons: Sequence[WaitReason],
    root_cause: RootCauseResponse | None,
    resources: Sequence[Before],
) -> ExplanationResponse:
    return {
        "task": href_of(task_id),
        "state": WORDS[state],
        "message": message,
        "reasons": [{**shape_of(each), "advice": _ADVICE[each.code]} for each in reasons],
        "root_cause": root_cause,
        "resources": [
            {
                "resource": each.resource,
                "access": access_word(each.is_exclusive),
                "held_by": [
                    holder(one)
                    for one in each.held_by
                    if one.task_id != task_id and (one.is_exclusive or each.is_exclusive)
                ],
                "others": each.has_others,
                "before": each.waiting,
                "tasks": [href_of(other) for other in each.tasks],
            }
            for each in resources
        ],
    }


def holder(found: Holder, now: datetime | None = None) -> HolderResponse:
    """One that holds a resource, in JSON."""
    return {
        "task": href_of(found.task_id),
        "state": None if found.state is None else WORDS[found.state],
        "worker_name": found.worker,
        "access": access_word(found.is_exclusive),
        "since": instant(found.since),
        "seconds": seconds_since(found.since, now),
    }


def seconds_since(time: datetime, now: datetime | None = None) -> float:
    """How long ago it was, to the millisecond; never negative, whatever the clocks say."""
    return round(max(0.0, ((now or datetime.now(UTC)) - time).total_seconds()), 3)


def access_word(is_exclusive: bool) -> Access:
    """How a resource is used."""
    return "exclusive" if is_exclusive else "shared"


def _where(task: TaskRow, state: State) -> str:
    is_there = task.worker is not None and state in (State.RUNNING, State.CANCELLING)
    return f" on worker {task.worker} since {instant(moment(task.started_at_ms))}" if is_there else ""
