"""Decisions append the right events: cancel requests, and ends that no worker will write."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
from msgspec.structs import replace
from pulp_events.decisions import Dependencies, Situation, purge, react, request_cancel
from pulp_events.errors import TaskAlreadyFinal, TaskNotCancellable, TaskNotPurgeable
from pulp_events.events import AttemptFailed, CancelRequested, Event, Finished, Outcome, Purged, Retry
from pulp_events.ids import NAMESPACE
from pulp_events.task import FINAL, Ignored, Position, State, Task, evolve

from tests.support.events import (
    ATTEMPT,
    NOON,
    OTHER_ATTEMPT,
    TASK,
    accepted,
    attempt_failed,
    cancel_requested,
    finished,
    purged,
    started,
)

EVENT_ID = UUID("0193f3f0-7a00-7000-8000-000000000042")
WAITING = [accepted()]
RUNNING = [accepted(), started()]
STUBBORN = [accepted(), started(cancellable=False)]


def fold(events: list[Event]) -> Task:
    """Events a second apart, from second 0 on."""
    task: Task | None = None
    for offset, event in enumerate(events):
        after = evolve(task, event, Position(0, offset), at_ms=offset * 1000)
        assert isinstance(after, Task)
        task = after
    assert task is not None
    return task


def ask(events: list[Event]) -> list[Event]:
    return request_cancel(
        fold(events), event_id=EVENT_ID, now=NOON, actor="user:ann", reason="no need", correlation_id="c"
    )


@pytest.mark.parametrize("events", [WAITING, RUNNING])
def test_a_cancel_of_an_unfinished_task_is_one_event(events: list[Event]) -> None:
    data = CancelRequested(reason="no need")
    assert ask(events) == [Event(id=EVENT_ID, task_id=TASK, time=NOON, actor="user:ann", data=data, correlation_id="c")]


@pytest.mark.parametrize("events", [WAITING, RUNNING])
def test_a_second_cancel_is_none(events: list[Event]) -> None:
    assert ask([*events, cancel_requested()]) == []


def test_a_running_task_without_support_for_it_is_not_cancelled() -> None:
    with pytest.raises(TaskNotCancellable, match=f"task {TASK} is running, and its operation cannot be cancelled"):
        ask(STUBBORN)


@pytest.mark.parametrize("outcome", Outcome)
def test_an_ended_task_is_purged_once(outcome: Outcome) -> None:
    ended = [*RUNNING, finished(outcome=outcome)]
    [event] = purge(fold(ended), event_id=EVENT_ID, now=NOON, actor="user:ann", correlation_id="c")
    data = Purged(requested_by="user:ann")
    assert event == Event(id=EVENT_ID, task_id=TASK, time=NOON, actor="user:ann", data=data, correlation_id="c")
    assert purge(fold([*ended, event]), event_id=EVENT_ID, now=NOON, actor="user:bob") == []
    assert purge(fold([*ended, purged()]), event_id=EVENT_ID, now=NOON, actor="user:bob") == []


@pytest.mark.parametrize("events", [WAITING, RUNNING, [*RUNNING, cancel_requested()]])
def test_an_unfinished_task_is_not_purged(events: list[Event]) -> None:
    with pytest.raises(TaskNotPurgeable, match=f"task {TASK} has not ended: wait for its end, or cancel it, before"):
        purge(fold(events), event_id=EVENT_ID, now=NOON, actor="user:ann")


@pytest.mark.parametrize("outcome", Outcome)
def test_a_finished_task_is_not_cancelled(outcome: Outcome) -> None:
    with pytest.raises(TaskAlreadyFinal):
        ask([*RUNNING, finished(outcome=outcome)])


@dataclass(frozen=True)
class Case:
    """A task, what else is known, and the end that follows: outcome and code, or none."""

    name: str
    events: list[Event]
    situation: Situation
    end: tuple[Outcome, str | None] | None
    timeout_seconds: int | None = None


def situation(*, lost: bool = False, depends: Dependencies = Dependencies.SUCCEEDED, at_ms: int = 5_000) -> Situation:
    return Situation(lease_lost=lost, dependencies=depends, now_ms=at_ms, cancel_grace_ms=60_000)


CASES = [
    Case("waiting", WAITING, situation(), None),
    Case("waiting for others", WAITING, situation(depends=Dependencies.PENDING), None),
    Case("others failed", WAITING, situation(depends=Dependencies.FAILED), (Outcome.SKIPPED, "dependency-failed")),
    Case("a time limit counts from the start only", WAITING, situation(at_ms=10**9), None, timeout_seconds=1),
    Case("cancelled before it started", [*WAITING, cancel_requested()], situation(), (Outcome.CANCELLED, None)),
    Case(
        "cancelled while others failed",
        [*WAITING, cancel_requested()],
        situation(depends=Dependencies.FAILED),
        (Outcome.CANCELLED, None),
    ),
    Case("running", RUNNING, situation(), None),
    Case("running, others of no matter", RUNNING, situation(depends=Dependencies.FAILED), None),
    Case("its worker is lost", RUNNING, situation(lost=True), (Outcome.FAILED, "worker-lost")),
    Case("at its time limit", RUNNING, situation(at_ms=11_000), None, timeout_seconds=10),
    Case("past its time limit", RUNNING, situation(at_ms=11_001), (Outcome.FAILED, "timeout"), timeout_seconds=10),
    Case("within the grace period", [*RUNNING, cancel_requested()], situation(at_ms=62_000), None),
    Case(
        "past the grace period",
        [*RUNNING, cancel_requested()],
        situation(at_ms=62_001),
        (Outcome.FAILED, "cancel-abandoned"),
    ),
    Case(
        "lost with a cancel under way: never `cancelled`, nobody knows what was done",
        [*RUNNING, cancel_requested()],
        situation(lost=True, at_ms=10**9),
        (Outcome.FAILED, "worker-lost"),
        timeout_seconds=1,
    ),
    *(
        Case(f"{outcome} already", [*RUNNING, finished(outcome=outcome)], situation(lost=True, at_ms=10**9), None)
        for outcome in Outcome
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reaction(case: Case) -> None:
    task = replace(fold(case.events), timeout_seconds=case.timeout_seconds)
    reaction = react(task, case.situation, now=NOON)
    if case.end is None:
        assert reaction is None
        return
    assert reaction is not None
    assert isinstance(reaction.data, Finished)
    assert (reaction.data.outcome, reaction.data.error and reaction.data.error.code) == case.end
    assert (reaction.actor, reaction.task_id, reaction.time) == ("reactor", TASK, NOON)
    assert reaction.data.error is None or reaction.data.error.description.endswith(".")
    ended = evolve(task, reaction, Position(0, 99), at_ms=10**9)
    assert isinstance(ended, Task)
    assert ended.state in FINAL
    assert isinstance(evolve(ended, reaction, Position(0, 100), at_ms=10**9), Ignored)
    assert react(ended, case.situation, now=NOON) is None


def test_the_id_of_a_reaction_is_of_task_attempt_and_reason() -> None:
    lost = situation(lost=True)
    first = react(fold(RUNNING), lost, now=NOON)
    later = react(fold(RUNNING), replace(lost, now_ms=99_000), now=NOON.replace(hour=13))
    assert first is not None
    assert later is not None
    assert first.id == later.id == uuid5(NAMESPACE, f"{TASK}\n{ATTEMPT}\nworker-lost")
    ids = {first.id}
    for events in (
        [accepted(), started(attempt_id=OTHER_ATTEMPT)],
        [accepted(UUID(int=1)), started(UUID(int=1))],
        [accepted(), cancel_requested()],
    ):
        reaction = react(fold(events), lost, now=NOON)
        assert reaction is not None
        ids.add(reaction.id)
    assert len(ids) == 4


def test_a_task_without_attempt_is_ended_as_such() -> None:
    reaction = react(fold([accepted(), cancel_requested()]), situation(), now=NOON)
    assert reaction is not None
    assert isinstance(reaction.data, Finished)
    assert reaction.data.attempt_id is None
    assert fold([accepted(), cancel_requested(), reaction]).state is State.CANCELLED


RETRY = Retry(retries=2, backoff_seconds=4, max_backoff_seconds=60)
TRIED = [*RUNNING, attempt_failed()]
AGAIN = [*TRIED, started(attempt=2, attempt_id=OTHER_ATTEMPT)]


@pytest.mark.parametrize(
    ("events", "known", "code"),
    [
        (RUNNING, situation(lost=True), "worker-lost"),
        (RUNNING, situation(at_ms=20_000), "timeout"),
        (AGAIN, situation(lost=True), "worker-lost"),
    ],
)
def test_a_task_with_retries_left_goes_on_to_its_next_attempt(events: list[Event], known: Situation, code: str) -> None:
    task = replace(fold(events), timeout_seconds=10, retry=RETRY, started_at_ms=1000)
    reaction = react(task, known, now=NOON)
    assert reaction is not None
    assert isinstance(reaction.data, AttemptFailed)
    assert (reaction.data.error.code, reaction.data.attempt_id, reaction.actor) == (code, task.attempt_id, "reactor")
    longest = timedelta(seconds=4 * 2**task.failed_attempts)
    assert longest / 2 <= reaction.data.retry_at - NOON <= longest
    waiting = evolve(task, reaction, Position(0, 99), at_ms=10**9)
    assert isinstance(waiting, Task)
    assert waiting.state is State.WAITING
    assert isinstance(evolve(waiting, reaction, Position(0, 100), at_ms=10**9), Ignored)
    assert react(waiting, known, now=NOON) is None


@pytest.mark.parametrize(
    ("name", "events", "known", "changed", "end"),
    [
        ("no retry left", RUNNING, situation(lost=True), {"failed_attempts": 2}, "worker-lost"),
        ("somebody has cancelled it", [*RUNNING, cancel_requested()], situation(lost=True), {}, "worker-lost"),
        ("the next attempt would come too late", RUNNING, situation(lost=True), {"deadline_seconds": 1}, "worker-lost"),
        ("the deadline has passed", RUNNING, situation(at_ms=6001), {"deadline_seconds": 5}, "deadline-exceeded"),
        ("also between two attempts", TRIED, situation(at_ms=6001), {"deadline_seconds": 5}, "deadline-exceeded"),
        ("also before the first", WAITING, situation(at_ms=6001), {"deadline_seconds": 5}, "deadline-exceeded"),
        ("it has not passed", RUNNING, situation(at_ms=6000), {"deadline_seconds": 5}, None),
    ],
)
def test_a_task_that_is_not_tried_again_ends(
    name: str, events: list[Event], known: Situation, changed: dict[str, int], end: str | None
) -> None:
    task = replace(fold(events), retry=RETRY, accepted_at_ms=1000, **changed)
    reaction = react(task, known, now=datetime.fromtimestamp(2, UTC))
    if end is None:
        assert reaction is None
        return
    assert reaction is not None, name
    assert isinstance(reaction.data, Finished)
    assert (reaction.data.outcome, reaction.data.error and reaction.data.error.code) == (Outcome.FAILED, end)
    assert isinstance(evolve(task, reaction, Position(0, 99), at_ms=10**9), Task)


def test_a_cancel_between_two_attempts_ends_the_task() -> None:
    reaction = react(fold([*TRIED, cancel_requested()]), situation(), now=NOON)
    assert reaction is not None
    assert isinstance(reaction.data, Finished)
    assert (reaction.data.outcome, reaction.data.attempt_id) == (Outcome.CANCELLED, None)
