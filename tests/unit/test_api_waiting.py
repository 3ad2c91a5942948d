"""Why a task waits: the reason for every combination of facts, and the root cause at the end of the chain."""

from uuid import UUID

import msgspec
import pytest
from pulp_api.v3.waiting import Code, WaitingForResponse, reason_of, why
from pulp_events.task import State
from pulp_projections.reading.waiting import Ahead, ClaimedBy, HeldResource, Unmet, WaitingFacts, Workers

MINE, A, B, C = (UUID(int=number) for number in range(1, 5))
FREE = Workers(live=2, serving=2, offering=2, slots=8, free=1)


def facts(**changed: object) -> WaitingFacts:
    """The facts about a task that nothing keeps from running."""
    plain = WaitingFacts(
        task_id=MINE,
        state=State.WAITING,
        queue="Default",
        operation="sync",
        claimed_by=None,
        workers=FREE,
        unmet=(),
        held=(),
        ahead=None,
    )
    return msgspec.structs.replace(plain, **changed)


def workers(**changed: int) -> Workers:
    return msgspec.structs.replace(FREE, **changed)


NOBODY = Workers(live=0, serving=0, offering=0, slots=0, free=0)
HELD = HeldResource(A, State.RUNNING, "repository:zoo", True)
SHARED = HeldResource(B, State.CANCELLING, "repository:zoo", False)
AHEAD = Ahead(B, "repository:zoo")
UNMET = Unmet(C, State.RUNNING)


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (facts(), Code.ABOUT_TO_BE_CLAIMED, "A worker has a free slot for it: it is assigned in a moment."),
        (
            facts(workers=workers(free=0)),
            Code.NO_FREE_SLOT,
            "All 8 slots of the 2 live workers that can run it are taken.",
        ),
        (
            facts(workers=workers(live=1, serving=1, offering=1, slots=1, free=0)),
            Code.NO_FREE_SLOT,
            "The only slot of the live worker that can run it is taken.",
        ),
        (
            facts(has_dispatcher=False),
            Code.NO_DISPATCHER,
            "No processor is running, so nothing is assigned to workers: start pulp-tasks processor.",
        ),
        (
            facts(is_settling=True),
            Code.DISPATCHER_SETTLES,
            "The processor that assigns tasks has just taken over, and assigns nothing before the events in the log as of"
            " then are projected, and workers have reported what they run.",
        ),
        (
            facts(workers=NOBODY),
            Code.NO_WORKER_FOR_QUEUE,
            "No worker is live, so none serves the queue Default.",
        ),
        (
            facts(workers=workers(serving=0, offering=0, slots=0, free=0)),
            Code.NO_WORKER_FOR_QUEUE,
            "No live worker serves the queue Default.",
        ),
        (
            facts(workers=workers(offering=0, slots=0, free=0)),
            Code.NO_WORKER_FOR_OPERATION,
            "No live worker that serves the queue Default offers the operation sync.",
        ),
        (facts(unmet=(UNMET,)), Code.DEPENDENCY, f"It depends on task {C}, which is running."),
        (
            facts(unmet=(UNMET, Unmet(A, State.FAILED), UNMET)),
            Code.DEPENDENCY,
            f"It depends on task {A}, which has failed, so this task is skipped in a moment."
            " It depends on 2 more that have not succeeded.",
        ),
        (facts(unmet=(Unmet(C, None),)), Code.DEPENDENCY, f"It depends on task {C}, which is not known."),
        (
            facts(held=(HELD, SHARED)),
            Code.RESOURCE_HELD,
            f"Task {A}, which is running, holds repository:zoo.",
        ),
        (
            facts(held=(SHARED,)),
            Code.RESOURCE_HELD,
            f"Task {B}, which is being cancelled, shares repository:zoo, which this task needs exclusively.",
        ),
        (
            facts(held=(HeldResource(A, State.SUCCESSFUL, "r:1", True),)),
            Code.RESOURCE_HELD,
            f"Task {A}, which has ended, still holds r:1.",
        ),
        (
            facts(held=(HeldResource(A, State.WAITING, "r:1", True),)),
            Code.RESOURCE_HELD,
            f"Task {A}, which is about to start, holds r:1.",
        ),
        (
            facts(ahead=AHEAD),
            Code.EARLIER_TASK,
            f"Task {B} was accepted earlier, needs repository:zoo too, and waits as well.",
        ),
        (facts(claimed_by=ClaimedBy("w1", True)), Code.CLAIMED, "Worker w1 has claimed it, and is about to start it."),
        (
            facts(claimed_by=ClaimedBy("w1", False)),
            Code.CLAIMED,
            "Worker w1 had claimed it and was lost; the claim is given back in a moment.",
        ),
    ],
)
def test_the_reason_is_one_plain_sentence(given: WaitingFacts, code: Code, message: str) -> None:
    reason = reason_of(given)
    assert (reason.code, reason.message) == (code, message)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        # A reason that never goes away by itself is reported before one that does.
        (facts(has_dispatcher=False, workers=NOBODY, held=(HELD,)), Code.NO_DISPATCHER),
        (facts(workers=NOBODY, unmet=(UNMET,), held=(HELD,), ahead=AHEAD), Code.NO_WORKER_FOR_QUEUE),
        (
            facts(workers=workers(offering=0), unmet=(UNMET,), held=(HELD,), ahead=AHEAD),
            Code.NO_WORKER_FOR_OPERATION,
        ),
        (facts(workers=workers(free=0), unmet=(UNMET,), held=(HELD,), ahead=AHEAD), Code.DEPENDENCY),
        (facts(workers=workers(free=0), held=(HELD,), ahead=AHEAD), Code.RESOURCE_HELD),
        (facts(workers=workers(free=0), ahead=AHEAD), Code.EARLIER_TASK),
        # A dispatcher that has just taken over frees nothing yet; one that is away is not settling.
        (facts(is_settling=True, held=(HELD,), workers=workers(free=0)), Code.DISPATCHER_SETTLES),
        (facts(is_settling=True, workers=NOBODY), Code.NO_WORKER_FOR_QUEUE),
        (facts(is_settling=True, has_dispatcher=False), Code.NO_DISPATCHER),
        # An assigned task needs no other worker, only the end of the task before it in its slot.
        (facts(has_dispatcher=False, claimed_by=ClaimedBy("w1", True)), Code.CLAIMED),
        (facts(workers=NOBODY, claimed_by=ClaimedBy("w1", True), held=(HELD,)), Code.RESOURCE_HELD),
        (facts(workers=NOBODY, claimed_by=ClaimedBy("w1", True)), Code.CLAIMED),
    ],
)
def test_of_several_reasons_the_one_that_lasts_is_told(given: WaitingFacts, code: Code) -> None:
    assert reason_of(given).code == code


def test_all_tasks_that_are_waited_for_are_named_once() -> None:
    twice = replace_held(HELD, resource="repository:bear")
    assert list(reason_of(facts(held=(HELD, twice, SHARED))).tasks) == [A, B]
    assert list(reason_of(facts(unmet=(UNMET, Unmet(A, None)))).tasks) == [C, A]


def replace_held(held: HeldResource, **changed: object) -> HeldResource:
    return msgspec.structs.replace(held, **changed)


async def told(*known: WaitingFacts) -> WaitingForResponse | None:
    """Why the first of these waits."""
    found = {each.task_id: each for each in known}

    async def facts_of(task_id: UUID) -> WaitingFacts | None:
        return found.get(task_id)

    return await why(facts_of, known[0].task_id)


async def test_the_root_cause_is_that_of_the_last_task_in_the_row() -> None:
    first = facts(ahead=Ahead(A, "repository:zoo"))
    second = facts(task_id=A, unmet=(Unmet(B, State.WAITING),))
    third = facts(task_id=B, queue="typo", workers=workers(serving=0))
    assert await told(first, second, third) == {
        "reason": "earlier-task",
        "message": f"Task {A} was accepted earlier, needs repository:zoo too, and waits as well.",
        "tasks": [f"/pulp/api/v3/tasks/{A}/"],
        "resource": "repository:zoo",
        "access": None,
        "root_cause": {
            "task": f"/pulp/api/v3/tasks/{B}/",
            "reason": "no-worker-for-queue",
            "message": "No live worker serves the queue typo.",
            "tasks": [],
            "resource": None,
            "access": None,
        },
    }


async def test_a_reason_of_its_own_has_no_root_cause_beside_it() -> None:
    found = await told(facts(held=(HELD,)))
    assert found is not None
    assert (found["access"], found["root_cause"]) == ("exclusive", None)


async def test_what_has_moved_meanwhile_is_no_cause() -> None:
    found = await told(facts(ahead=AHEAD), facts(task_id=B, state=State.RUNNING))
    assert found is not None
    assert (found["reason"], found["root_cause"]) == ("earlier-task", None)
    assert await told(facts(state=State.RUNNING)) is None


async def test_tasks_that_wait_for_each_other_are_followed_once() -> None:
    mine, other = facts(unmet=(Unmet(A, State.WAITING),)), facts(task_id=A, unmet=(Unmet(MINE, State.WAITING),))
    found = await told(mine, other)
    assert found is not None
    assert found["reason"] == "dependency"
