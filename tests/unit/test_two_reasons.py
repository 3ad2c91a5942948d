"""Two reasons to end one attempt: the task's outcome, whichever comes first, and whether its author knew of the other.

The table is the one in docs/develop/retries.md.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from pulp_events.decisions import Situation, react, request_cancel
from pulp_events.errors import TaskAlreadyFinal
from pulp_events.events import ErrorCode, Event, Retry
from pulp_events.retries import attempts_of
from pulp_events.task import FINAL, Ignored, Position, State, Task, evolve
from pulp_worker.outcome import failed, finished_for_good

from tests.support.events import ATTEMPT, NOON, OTHER_ATTEMPT, accepted, attempt_failed, event, started

LIMIT_S = 10
RETRY = Retry(3, 60, 60)


def fold(events: Sequence[Event], task: Task | None = None) -> Task:
    for one in events:
        offset = 0 if task is None else task.offset + 1
        after = evolve(task, one, Position(0, offset), at_ms=int(NOON.timestamp() * 1000))
        task = task if isinstance(after, Ignored) else after
    assert task is not None
    return task


def reacts(task: Task, *, late_s: float = 0, lost: bool = False) -> list[Event]:
    now = NOON + timedelta(seconds=late_s)
    situation = Situation(lease_lost=lost, now_ms=int(now.timestamp() * 1000), cancel_grace_ms=60_000)
    found = react(task, situation, now=now)
    return [] if found is None else [found]


def times_out(task: Task) -> list[Event]:
    return reacts(task, late_s=LIMIT_S + 1)


def is_lost(task: Task) -> list[Event]:
    return reacts(task, lost=task.attempt_id is not None)


def is_cancelled(task: Task) -> list[Event]:
    try:
        return request_cancel(task, event_id=UUID(int=1), now=NOON, actor="user:ann")
    except TaskAlreadyFinal:
        return []


def costs_its_worker(code: ErrorCode) -> Callable[[Task], list[Event]]:
    def by(task: Task) -> list[Event]:
        if task.state in FINAL:
            return []
        is_over = task.attempt_id != ATTEMPT
        words = finished_for_good(
            ATTEMPT, failed(code, "of the worker"), attempts_of(RUNNING[task.retry]), is_over=is_over
        )
        return [event(word) for word in words]

    return by


RUNNING = {retry: fold([accepted(timeout_seconds=LIMIT_S, retry=retry), started()]) for retry in (None, RETRY)}
REASONS = {
    "timeout": times_out,
    "cancel": is_cancelled,
    "stuck": costs_its_worker(ErrorCode.OPERATION_STUCK),
    "blocked": costs_its_worker(ErrorCode.LOOP_BLOCKED),
    "lost": is_lost,
}
AGAIN = State.WAITING
FAILED = State.FAILED
CANCELLED = (State.CANCELLED, None)
STUCK = (FAILED, "operation-stuck")
BLOCKED = (FAILED, "loop-blocked")
TIMEOUT = (FAILED, "timeout")
LOST = (FAILED, "worker-lost")

Becomes = tuple[State, str | None]
WITH_RETRIES: dict[tuple[str, str], Becomes] = {
    ("timeout", "cancel"): CANCELLED,
    ("timeout", "stuck"): STUCK,
    ("timeout", "blocked"): BLOCKED,
    ("timeout", "lost"): (AGAIN, "timeout"),
    ("cancel", "timeout"): TIMEOUT,
    ("cancel", "stuck"): STUCK,
    ("cancel", "blocked"): BLOCKED,
    ("cancel", "lost"): LOST,
    ("stuck", "timeout"): STUCK,
    ("stuck", "cancel"): STUCK,
    ("stuck", "blocked"): STUCK,
    ("stuck", "lost"): STUCK,
    ("blocked", "timeout"): BLOCKED,
    ("blocked", "cancel"): BLOCKED,
    ("blocked", "stuck"): BLOCKED,
    ("blocked", "lost"): BLOCKED,
    ("lost", "timeout"): (AGAIN, "worker-lost"),
    ("lost", "cancel"): CANCELLED,
    ("lost", "stuck"): STUCK,
    ("lost", "blocked"): BLOCKED,
}
WITHOUT: dict[tuple[str, str], Becomes] = {
    **{pair: TIMEOUT for pair in WITH_RETRIES if pair[0] == "timeout"},
    **{pair: LOST for pair in WITH_RETRIES if pair[0] == "lost"},
    **{pair: becomes for pair, becomes in WITH_RETRIES.items() if pair[0] in {"cancel", "stuck", "blocked"}},
}
RACES = {("cancel", "timeout"), ("cancel", "lost")}
"""Their second reason ends the attempt so that the task is tried again, if the cancel was not seen: it is cancelled."""


def becomes(task: Task) -> Becomes:
    while found := reacts(task):  # the reactor ends a cancelled task without an attempt
        task = fold(found, task)
    return task.state, task.error.code if task.error else None


@pytest.mark.parametrize("retry", [RETRY, None], ids=["with-retries", "without"])
@pytest.mark.parametrize("has_seen", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize("pair", WITH_RETRIES, ids="-then-".join)
def test_what_becomes_of_the_task(pair: tuple[str, str], has_seen: bool, retry: Retry | None) -> None:
    first, second = (REASONS[name] for name in pair)
    begun = RUNNING[retry]
    between = fold(first(begun), begun)
    after = fold(second(between if has_seen else begun), between)
    expected = (WITH_RETRIES if retry else WITHOUT)[pair]
    assert becomes(after) == (CANCELLED if retry and not has_seen and pair in RACES else expected)


def test_every_pair_is_in_the_table() -> None:
    assert set(WITH_RETRIES) == {(first, second) for first in REASONS for second in REASONS if first != second}


@pytest.mark.parametrize("code", [ErrorCode.OPERATION_STUCK, ErrorCode.LOOP_BLOCKED])
def test_it_is_too_late_once_another_attempt_runs(code: ErrorCode) -> None:
    """No other worker loses its work because of an operation that an earlier worker could not stop."""
    begun = RUNNING[RETRY]
    later = fold([attempt_failed(), started(attempt=2, attempt_id=OTHER_ATTEMPT)], begun)
    assert fold(costs_its_worker(code)(begun), later) == later
