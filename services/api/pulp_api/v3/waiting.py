"""Why a task waits: the reason that the facts give, in the order in which a person has to deal with them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from pulp_events.task import FINAL, State
from pulp_projections.reading.waiting import Facts, Held, Unmet

from pulp_api.v3.tasks import href_of

_MOST_STEPS: Final = 20
"""Tasks that are followed on the way to the root cause."""
_IS: Final = {
    State.WAITING: "waits as well",
    State.RUNNING: "is running",
    State.CANCELLING: "is being cancelled",
    State.SUCCESSFUL: "has succeeded",
    State.FAILED: "has failed",
    State.CANCELLED: "was cancelled",
    State.SKIPPED: "was skipped",
    None: "is not known",
}


class Code(StrEnum):
    """Why a task waits."""

    NO_WORKER_FOR_QUEUE = "no-worker-for-queue"
    NO_WORKER_FOR_OPERATION = "no-worker-for-operation"
    DEPENDENCY = "dependency"
    RESOURCE_HELD = "resource-held"
    EARLIER_TASK = "earlier-task"
    QUOTA = "quota"
    NO_FREE_SLOT = "no-free-slot"
    CLAIMED = "claimed"
    ABOUT_TO_BE_CLAIMED = "about-to-be-claimed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason; `message` is one plain sentence."""

    code: Code
    message: str
    tasks: Sequence[UUID] = ()
    """The tasks that are waited for."""
    resource: str | None = None
    access: str | None = None
    """How the resource is held: exclusive or shared."""
    follow: UUID | None = None
    """A task that waits itself, and so has a reason of its own."""


RunningOf = Callable[[str, str], int | None]
"""How many tasks of a user may run at once, by the role and by what was set for the user; None: any number."""


def reason_of(facts: Facts, running_of: RunningOf = lambda _role, _own: None) -> Reason:
    """What keeps a waiting task from running. What it cannot get over by itself comes first."""
    workers = facts.workers
    if facts.claimed_by is not None:
        return _held(facts.held) if facts.held else _claimed(facts)
    if not workers.serving:
        who = "No live worker serves" if workers.live else "No worker is live, so none serves"
        return Reason(code=Code.NO_WORKER_FOR_QUEUE, message=f"{who} the queue {facts.queue}.{_passed_over(facts)}")
    if not workers.offering:
        return Reason(
            code=Code.NO_WORKER_FOR_OPERATION,
            message=f"No live worker that serves the queue {facts.queue} offers the operation {facts.operation}."
            f"{_passed_over(facts)}",
        )
    if facts.unmet:
        return _dependency(facts.unmet)
    if facts.held:
        return _held(facts.held)
    if facts.ahead is not None:
        other, resource = facts.ahead.task_id, facts.ahead.resource
        return Reason(
            code=Code.EARLIER_TASK,
            message=f"Task {other} was accepted earlier, needs {resource} too, and waits as well.",
            tasks=[other],
            resource=resource,
            follow=other,
        )
    author = facts.author
    most = None if author is None else running_of(author.role, author.quota)
    if author is not None and most is not None and author.running >= most:
        return Reason(
            code=Code.QUOTA,
            message=f"User {author.name} may run {most} task{'' if most == 1 else 's'} at once (quota 'running'), and"
            f" {author.running} {'is' if author.running == 1 else 'are'} running.",
        )
    if not workers.free:
        slots = "The only slot" if workers.slots == 1 else f"All {workers.slots} slots"
        of = "the live worker" if workers.offering == 1 else f"the {workers.offering} live workers"
        verb = "is" if workers.slots == 1 else "are"
        return Reason(code=Code.NO_FREE_SLOT, message=f"{slots} of {of} that can run it {verb} taken.")
    return Reason(code=Code.ABOUT_TO_BE_CLAIMED, message="A worker has a free slot for it, and claims it in a moment.")


async def why(
    facts_of: Callable[[UUID], Awaitable[Facts | None]],
    task_id: UUID,
    running_of: RunningOf = lambda _role, _own: None,
) -> dict[str, Any] | None:
    """Why the task waits, as the API shows it; None if it does not wait.

    `root_cause` is the reason of the last task in the row, where the task waits for one that waits itself.
    """
    facts = await facts_of(task_id)
    if facts is None or facts.state is not State.WAITING:
        return None
    first = last = reason_of(facts, running_of)
    seen = [task_id]
    while last.follow is not None and last.follow not in seen and len(seen) < _MOST_STEPS:
        facts = await facts_of(last.follow)
        if facts is None or facts.state is not State.WAITING:
            break  # it has moved meanwhile
        seen.append(last.follow)
        last = reason_of(facts, running_of)
    root = None if last is first else {"task": href_of(seen[-1]), **_shape(last)}
    return {**_shape(first), "root_cause": root}


def _passed_over(facts: Facts) -> str:
    return " Later tasks do not wait for it any more, until a worker can run it." if facts.is_passed_over else ""


def _dependency(unmet: Sequence[Unmet]) -> Reason:
    first = next((each for each in unmet if each.state in FINAL), unmet[0])
    more = len(unmet) - 1
    others = f" It depends on {more} more that {'has' if more == 1 else 'have'} not succeeded." if more else ""
    end = ", so this task is skipped in a moment" if first.state in FINAL else ""
    return Reason(
        code=Code.DEPENDENCY,
        message=f"It depends on task {first.task_id}, which {_IS[first.state]}{end}.{others}",
        tasks=[each.task_id for each in unmet],
        follow=next((each.task_id for each in unmet if each.state is State.WAITING), None),
    )


def _held(held: Sequence[Held]) -> Reason:
    first = held[0]
    how = "holds" if first.is_exclusive else "shares"
    alone = "" if first.is_exclusive else ", which this task needs exclusively"
    match first.state:
        case State.WAITING:
            how = f"is about to start, {how}"
        case State.RUNNING | State.CANCELLING:
            how = f"{_IS[first.state]}, {how}"
        case _:
            how = f"has ended, still {how}"
    return Reason(
        code=Code.RESOURCE_HELD,
        message=f"Task {first.task_id}, which {how} {first.resource}{alone}.",
        tasks=list(dict.fromkeys(each.task_id for each in held)),
        resource=first.resource,
        access="exclusive" if first.is_exclusive else "shared",
    )


def _claimed(facts: Facts) -> Reason:
    assert facts.claimed_by is not None
    worker = facts.claimed_by.worker
    message = (
        f"Worker {worker} has claimed it, and is about to start it."
        if facts.claimed_by.is_live
        else f"Worker {worker} had claimed it and was lost; the claim is given back in a moment."
    )
    return Reason(code=Code.CLAIMED, message=message)


def _shape(reason: Reason) -> dict[str, Any]:
    return {
        "reason": reason.code,
        "message": reason.message,
        "tasks": [href_of(task_id) for task_id in reason.tasks],
        "resource": reason.resource,
        "access": reason.access,
    }
