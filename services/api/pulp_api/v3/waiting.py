"""Finds out why a task waits. If there are several reasons, the one that a person must solve first comes first."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, TypedDict, assert_never
from uuid import UUID

from msgspec import Meta
from pulp_events.task import FINAL, State
from pulp_projections.reading.queue import RunningOf
from pulp_projections.reading.waiting import (
    Author,
    ClaimedBy,
    FailedAttempt,
    HeldResource,
    ParkedBy,
    Unmet,
    WaitingFacts,
)

from pulp_api.respond import second
from pulp_api.v3.references import Kind

_MOST_STEPS: Final = 20
"""The most tasks that are followed to find the root cause."""
_HIDDEN: Final = "A task that you may not see"
IS: Final = {
    State.WAITING: "waits as well",
    State.RUNNING: "is running",
    State.CANCELLING: "is being cancelled",
    State.SUCCESSFUL: "has succeeded",
    State.FAILED: "has failed",
    State.CANCELLED: "was cancelled",
    State.SKIPPED: "was skipped",
    None: "is not known",
}
"""What a task does, behind its name in a sentence."""


class Code(StrEnum):
    """Why a task waits."""

    PARKED = "parked"
    NO_DISPATCHER = "no-dispatcher"
    NO_WORKER_FOR_QUEUE = "no-worker-for-queue"
    NO_WORKER_FOR_OPERATION = "no-worker-for-operation"
    DISPATCHER_SETTLES = "dispatcher-settles"
    NEXT_ATTEMPT = "next-attempt"
    DEPENDENCY = "dependency"
    RESOURCE_HELD = "resource-held"
    EARLIER_TASK = "earlier-task"
    QUOTA = "quota"
    NO_FREE_SLOT = "no-free-slot"
    CLAIMED = "claimed"
    ABOUT_TO_BE_CLAIMED = "about-to-be-claimed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitReason:
    """One reason; `message` is one plain sentence."""

    code: Code
    message: str
    tasks: Sequence[UUID] = ()
    """The tasks that this one waits for."""
    resource: str | None = None
    access: str | None = None
    """How the resource is held: exclusive or shared."""
    follow: UUID | None = None
    """A task among these that waits too, and so has its own reason."""


def reason_of(facts: WaitingFacts, running_of: RunningOf = lambda _role, _own: None) -> WaitReason:
    """What keeps a waiting task from running. What does not pass by itself comes first."""
    return next(reasons_of(facts, running_of))


def reasons_of(facts: WaitingFacts, running_of: RunningOf = lambda _role, _own: None) -> Iterator[WaitReason]:
    """All that keeps a waiting task from running, at least one; `reason_of` is the first."""
    if facts.parked is not None:
        yield parked_reason(facts.parked)
    if facts.claimed_by is not None:
        yield _held(facts.held, facts.hidden) if facts.held else _claimed(facts.claimed_by)
        return
    is_stopped = facts.parked is not None
    for reason in _stopping(facts, running_of):
        is_stopped = True
        yield reason
    if not is_stopped:
        yield WaitReason(
            code=Code.ABOUT_TO_BE_CLAIMED, message="A worker has a free slot for it: it is assigned in a moment."
        )


def _stopping(facts: WaitingFacts, running_of: RunningOf) -> Iterator[WaitReason]:
    workers = facts.workers
    if not facts.has_dispatcher:
        yield WaitReason(
            code=Code.NO_DISPATCHER,
            message="No processor is running, so nothing is assigned to workers: start pulp-tasks processor.",
        )
    if not workers.serving:
        yield _no_worker_for_queue(facts)
    elif not workers.offering:
        yield _no_worker_for_operation(facts)
    if facts.failed is not None:
        yield _next_attempt(facts.failed)
    if facts.unmet:
        yield _dependency(facts.unmet, facts.hidden)
    if facts.has_dispatcher and facts.is_settling:  # before what it has not freed yet: holds of tasks that have ended
        yield WaitReason(
            code=Code.DISPATCHER_SETTLES,
            message="The processor that assigns tasks has just taken over, and assigns nothing before the events in the"
            " log as of then are projected, and workers have reported what they run.",
        )
    if facts.held:
        yield _held(facts.held, facts.hidden)
    if facts.ahead is not None:
        other, resource = facts.ahead.task_id, facts.ahead.resource
        is_hidden = other in facts.hidden
        yield WaitReason(
            code=Code.EARLIER_TASK,
            message=f"{_HIDDEN if is_hidden else f'Task {other}'} was accepted earlier, needs {resource} too, and waits"
            " as well.",
            tasks=[] if is_hidden else [other],
            resource=resource,
            follow=None if is_hidden else other,
        )
    if facts.author is not None:
        yield from _quota(facts.author, facts.reader, running_of)
    if workers.offering and not workers.free and facts.reader is not None:
        yield WaitReason(code=Code.NO_FREE_SLOT, message="No live worker that can run it has a free slot.")
    elif workers.offering and not workers.free:
        slots = "The only slot" if workers.slots == 1 else f"All {workers.slots} slots"
        of = "the live worker" if workers.offering == 1 else f"the {workers.offering} live workers"
        verb = "is" if workers.slots == 1 else "are"
        yield WaitReason(code=Code.NO_FREE_SLOT, message=f"{slots} of {of} that can run it {verb} taken.")


class WaitReasonResponse(TypedDict):
    """What keeps a task from running."""

    reason: Code
    message: Annotated[str, Meta(description="One plain sentence.")]
    tasks: Annotated[list[str], Meta(description="The hrefs of the tasks that it waits for.")]
    resource: str | None
    access: Annotated[str | None, Meta(description="The access mode: exclusive or shared.")]


class RootCauseResponse(WaitReasonResponse):
    """The reason of the last task in the row, if the task waits for one that waits itself."""

    task: str


class WaitingForResponse(WaitReasonResponse):
    """Why a task waits now."""

    root_cause: RootCauseResponse | None


async def why(
    facts_of: Callable[[UUID], Awaitable[WaitingFacts | None]],
    task_id: UUID,
    running_of: RunningOf = lambda _role, _own: None,
) -> WaitingForResponse | None:
    """Why the task waits, in JSON; None if it does not wait.

    If the task waits for a task that waits too, `root_cause` is the reason of the last task in this chain.
    """
    facts = await facts_of(task_id)
    if facts is None or facts.state is not State.WAITING:
        return None
    first = last = reason_of(facts, running_of)
    seen = [task_id]
    while last.follow is not None and last.follow not in seen and len(seen) < _MOST_STEPS:
        facts = await facts_of(last.follow)
        if facts is None or facts.state is not State.WAITING:
            break  # it has changed in the meantime
        seen.append(last.follow)
        last = reason_of(facts, running_of)
    root: RootCauseResponse | None = None if last is first else {"task": Kind.TASK.href(seen[-1]), **shape_of(last)}
    return {**shape_of(first), "root_cause": root}


def _no_worker_for_queue(facts: WaitingFacts) -> WaitReason:
    who = "No live worker serves" if facts.workers.live else "No worker is live, so none serves"
    last = "" if facts.last is None else f" Worker {facts.last.worker} did, until {second(facts.last.until)}."
    message = f"{who} the queue {facts.queue}.{last}{_passed_over(facts)}"
    return WaitReason(code=Code.NO_WORKER_FOR_QUEUE, message=message)


def _no_worker_for_operation(facts: WaitingFacts) -> WaitReason:
    last = ""
    if facts.last is not None and facts.last.is_offering:
        last = f" Worker {facts.last.worker} did, until {second(facts.last.until)}."
    return WaitReason(
        code=Code.NO_WORKER_FOR_OPERATION,
        message=f"No live worker that serves the queue {facts.queue} offers the operation {facts.operation}."
        f"{last}{_passed_over(facts)}",
    )


def _passed_over(facts: WaitingFacts) -> str:
    return " Later tasks do not wait for it any more, until a worker can run it." if facts.is_passed_over else ""


def _quota(author: Author, reader: str | None, running_of: RunningOf) -> Iterator[WaitReason]:
    most = running_of(author.role, author.quota)
    if most is None or author.running < most:
        return
    if reader not in (None, author.name):
        message = f"User {author.name} may not run more tasks at once (quota 'running')."
        yield WaitReason(code=Code.QUOTA, message=message)
    else:
        yield WaitReason(
            code=Code.QUOTA,
            message=f"User {author.name} may run {most} task{'' if most == 1 else 's'} at once (quota 'running'), and"
            f" {author.running} {'is' if author.running == 1 else 'are'} running.",
        )


def parked_reason(parked: ParkedBy) -> WaitReason:
    """Says that a task is parked, and why; the task is shown as it was before."""
    waits = {0: "Nothing waits", 1: "1 later event waits"}.get(parked.behind, f"{parked.behind} later events wait")
    return WaitReason(
        code=Code.PARKED,
        message=f"It is parked: the record at {parked.position} cannot be projected ({parked.reason}). {waits}"
        " behind it.",
    )


def _next_attempt(failed: FailedAttempt) -> WaitReason:
    return WaitReason(
        code=Code.NEXT_ATTEMPT,
        message=f"Attempt {failed.attempt} failed ({failed.code}). The next one begins no earlier than"
        f" {second(failed.retry_at)}.",
    )


def _dependency(unmet: Sequence[Unmet], hidden: Collection[UUID]) -> WaitReason:
    first = next((each for each in unmet if each.state in FINAL), unmet[0])
    more = len(unmet) - 1
    others = f" It depends on {more} more that {'has' if more == 1 else 'have'} not succeeded." if more else ""
    end = ", so this task is skipped in a moment" if first.state in FINAL else ""
    what = "has not succeeded" if first.task_id in hidden else f"{IS[first.state]}{end}"
    seen = [each for each in unmet if each.task_id not in hidden]
    return WaitReason(
        code=Code.DEPENDENCY,
        message=f"It depends on task {first.task_id}, which {what}.{others}",
        tasks=[each.task_id for each in seen],
        follow=next((each.task_id for each in seen if each.state is State.WAITING), None),
    )


def _held(held: Sequence[HeldResource], hidden: Collection[UUID]) -> WaitReason:
    seen = [each for each in held if each.task_id not in hidden]
    first = seen[0] if seen else held[0]
    access = "exclusive" if first.is_exclusive else "shared"
    if not seen:
        verb = "holds" if first.is_exclusive else "shares"
        message = f"{_HIDDEN} {verb} {first.resource}."
        return WaitReason(code=Code.RESOURCE_HELD, message=message, resource=first.resource, access=access)
    how = "holds" if first.is_exclusive else "shares"
    alone = "" if first.is_exclusive else ", which this task needs exclusively"
    match first.state:
        case State.WAITING:
            how = f"is about to start, {how}"
        case State.RUNNING | State.CANCELLING:
            how = f"{IS[first.state]}, {how}"
        case State.SUCCESSFUL | State.FAILED | State.CANCELLED | State.SKIPPED | None:
            how = f"has ended, still {how}"
        case _:
            assert_never(first.state)
    return WaitReason(
        code=Code.RESOURCE_HELD,
        message=f"Task {first.task_id}, which {how} {first.resource}{alone}.",
        tasks=list(dict.fromkeys(each.task_id for each in seen)),
        resource=first.resource,
        access=access,
    )


def _claimed(claimed_by: ClaimedBy) -> WaitReason:
    worker = claimed_by.worker
    message = (
        f"Worker {worker} has claimed it, and is about to start it."
        if claimed_by.is_live
        else f"Worker {worker} had claimed it and was lost; the claim is given back in a moment."
    )
    return WaitReason(code=Code.CLAIMED, message=message)


def shape_of(reason: WaitReason) -> WaitReasonResponse:
    """A reason in JSON."""
    return {
        "reason": reason.code,
        "message": reason.message,
        "tasks": [Kind.TASK.href(task_id) for task_id in reason.tasks],
        "resource": reason.resource,
        "access": reason.access,
    }
