"""The state machine, cell by cell, as the design has it: not derived from the code."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from pulp_events.events import Data, Event, Outcome, Retry, TaskError
from pulp_events.task import Ignored, Position, State, Task, evolve

from tests.support.events import (
    ATTEMPT,
    OTHER_ATTEMPT,
    accepted,
    attempt_failed,
    cancel_requested,
    finished,
    progress,
    purged,
    started,
    unparked,
)

BEFORE: dict[str, list[Event]] = {
    "none": [],
    "waiting": [accepted()],
    "waiting, tried before": [accepted(), started(attempt=2), progress(sequence=5), attempt_failed()],
    "running": [accepted(), started(attempt=2), progress(sequence=5)],
    "running, not cancellable": [accepted(), started(attempt=2, cancellable=False), progress(sequence=5)],
    "cancelling": [accepted(), started(attempt=2), progress(sequence=5), cancel_requested()],
    "cancelling, never started": [accepted(), cancel_requested()],
    "cancelling, tried before": [accepted(), started(attempt=2), cancel_requested(), attempt_failed()],
    "successful": [accepted(), started(attempt=2), finished()],
    "failed": [accepted(), started(attempt=2), finished(outcome=Outcome.FAILED)],
    "cancelled": [accepted(), cancel_requested(), finished(outcome=Outcome.CANCELLED, attempt_id=None)],
    "skipped": [accepted(), finished(outcome=Outcome.SKIPPED, attempt_id=None)],
    "purged": [accepted(), started(attempt=2), finished(), purged()],
}

EVENTS: dict[str, Event] = {
    "accepted": accepted(),
    "started, first attempt": started(attempt=1, attempt_id=OTHER_ATTEMPT),
    "started, same number, another attempt": started(attempt=2, attempt_id=OTHER_ATTEMPT),
    "started, the same again": started(attempt=2),
    "started, a later attempt": started(attempt=3, attempt_id=OTHER_ATTEMPT),
    "progress, this attempt, later": progress(sequence=6),
    "progress, this attempt, the same": progress(sequence=5),
    "progress, this attempt, earlier": progress(sequence=4),
    "progress, another attempt": progress(sequence=6, attempt_id=OTHER_ATTEMPT),
    "attempt-failed, this attempt": attempt_failed(),
    "attempt-failed, another attempt": attempt_failed(attempt_id=OTHER_ATTEMPT),
    "cancel-requested": cancel_requested(),
    "finished, this attempt": finished(),
    "finished, another attempt": finished(attempt_id=OTHER_ATTEMPT),
    "finished, no attempt": finished(outcome=Outcome.SKIPPED, attempt_id=None),
    "purged": purged(),
    "unparked": unparked(),
}

FINAL_STATES = ("successful", "failed", "cancelled", "skipped")
COLUMNS = (
    *("none", "waiting", "waiting, tried before", "running", "running, not cancellable", "cancelling"),
    *("cancelling, never started", "cancelling, tried before", "purged"),
)

# One line for each event; one cell for each of COLUMNS, and the last for every final state before a purge. `→ STATE` is
# an effect, `→ hidden` one that leaves the state; anything else is the reason why there is no effect.
TABLE = """
accepted                              | → waiting    | duplicate   | duplicate         | duplicate         | duplicate         | duplicate         | duplicate         | duplicate         | duplicate       | duplicate
started, first attempt                | unknown task | → running   | attempt is taken  | attempt is taken  | attempt is taken  | cancel came first | cancel came first | cancel came first | final           | final
started, same number, another attempt | unknown task | → running   | attempt is taken  | attempt is taken  | attempt is taken  | cancel came first | cancel came first | cancel came first | final           | final
started, the same again               | unknown task | → running   | attempt is taken  | attempt is taken  | attempt is taken  | cancel came first | cancel came first | cancel came first | final           | final
started, a later attempt              | unknown task | → running   | → running         | → running         | → running         | cancel came first | cancel came first | cancel came first | final           | final
progress, this attempt, later         | unknown task | not started | stale             | → running         | → running         | → cancelling      | not started       | stale             | final           | final
progress, this attempt, the same      | unknown task | not started | stale             | stale             | stale             | stale             | not started       | stale             | final           | final
progress, this attempt, earlier       | unknown task | not started | stale             | stale             | stale             | stale             | not started       | stale             | final           | final
progress, another attempt             | unknown task | not started | stale             | stale             | stale             | stale             | not started       | stale             | final           | final
attempt-failed, this attempt          | unknown task | not started | stale             | → waiting         | → waiting         | → cancelling      | not started       | stale             | final           | final
attempt-failed, another attempt       | unknown task | not started | stale             | stale             | stale             | stale             | not started       | stale             | final           | final
cancel-requested                      | unknown task | → cancelling| → cancelling      | → cancelling      | not cancellable   | already requested | already requested | already requested | final           | final
finished, this attempt                | unknown task | not started | stale             | → successful      | → successful      | → successful      | not started       | stale             | final           | final
finished, another attempt             | unknown task | not started | stale             | stale             | stale             | stale             | not started       | stale             | final           | final
finished, no attempt                  | unknown task | → skipped   | → skipped         | stale             | stale             | stale             | → skipped         | → skipped         | final           | final
purged                                | unknown task | not finished| not finished      | not finished      | not finished      | not finished      | not finished      | not finished      | already purged  | → hidden
unparked                              | about a dead letter| about a dead letter| about a dead letter| about a dead letter| about a dead letter| about a dead letter| about a dead letter| about a dead letter| about a dead letter| about a dead letter
"""


def cells() -> list[tuple[str, str, str]]:
    found = []
    for line in TABLE.strip().splitlines():
        event, *row = (cell.strip() for cell in line.split("|"))
        found += [(event, state, effect) for state, effect in zip(COLUMNS, row[:-1], strict=True)]
        found += [(event, state, row[-1]) for state in FINAL_STATES]
    return found


def fold(events: list[Event]) -> Task | None:
    task: Task | None = None
    for offset, event in enumerate(events):
        after = evolve(task, event, Position(1, offset), at_ms=1000 + offset)
        assert isinstance(after, Task)
        task = after
    return task


def test_the_table_names_every_event_and_every_state() -> None:
    assert {event for event, _, _ in cells()} == set(EVENTS)
    assert {state for _, state, _ in cells()} == set(BEFORE)
    assert len(cells()) == len(EVENTS) * len(BEFORE)
    assert {type(event.data) for event in EVENTS.values()} == set(get_args(Data))
    assert {task.state for events in BEFORE.values() if (task := fold(events)) is not None} == set(State)


@pytest.mark.parametrize(("event", "state", "effect"), cells())
def test_cell(event: str, state: str, effect: str) -> None:
    before = fold(BEFORE[state])
    after = evolve(before, EVENTS[event], Position(1, 50), at_ms=5000)
    if effect.startswith("→"):
        assert isinstance(after, Task)
        word = effect.removeprefix("→").strip()
        assert after.state == State(state if word == "hidden" else word)
        assert (after.purged_at_ms, after.purged_by) == ((5000, "user:admin") if word == "hidden" else (None, None))
        assert (after.version, after.offset, after.updated_at_ms) == ((before.version if before else 0) + 1, 50, 5000)
    else:
        assert after == Ignored(effect)  # type: ignore[arg-type]  # compared by its words


def test_what_each_effect_changes() -> None:
    waiting = fold([accepted()])
    assert waiting is not None
    assert (waiting.partition, waiting.accepted_offset, waiting.accepted_at_ms, waiting.created_by) == (
        1,
        0,
        1000,
        "user:admin",
    )
    running = fold([accepted(), started(attempt=2, worker="w7")])
    assert running is not None
    assert (running.attempt, running.attempt_id, running.worker, running.cancellable, running.started_at_ms) == (
        2,
        ATTEMPT,
        "w7",
        True,
        1001,
    )
    again = fold([accepted(), started(), progress(sequence=9), started(attempt=2, attempt_id=OTHER_ATTEMPT)])
    assert again is not None
    assert (again.sequence, bytes(again.progress), again.attempt_id) == (0, b"{}", OTHER_ATTEMPT)
    ended = fold([accepted(), started(), progress(value={"a": 1}), cancel_requested(), finished()])
    assert ended is not None
    assert (ended.cancel_requested_at_ms, ended.finished_at_ms, bytes(ended.progress)) == (1003, 1004, b'{"a":1}')
    assert (ended.accepted_at_ms, ended.started_at_ms, ended.accepted_offset, ended.version) == (1000, 1001, 0, 5)
    hidden = fold([accepted(), started(), finished(), purged(by="user:eve")])
    assert hidden is not None
    assert (hidden.purged_at_ms, hidden.purged_by, hidden.finished_at_ms) == (1003, "user:eve", 1002)
    assert (hidden.state, hidden.version) == (State.SUCCESSFUL, 4)


def test_what_a_failed_attempt_changes() -> None:
    retry = Retry(retries=3, backoff_seconds=1, max_backoff_seconds=4)
    before = [accepted(retry=retry), started(attempt=2, worker="w7"), progress(sequence=9)]
    at_2500_ms = datetime.fromtimestamp(2.5, UTC)
    waiting = fold([*before, attempt_failed(error=TaskError("x", "why"), retry_at=at_2500_ms)])
    assert waiting is not None
    assert (waiting.state, waiting.attempt, waiting.attempt_id, waiting.failed_attempts) == (State.WAITING, 2, None, 1)
    assert (waiting.retry_at_ms, waiting.error, waiting.worker) == (2500, TaskError("x", "why"), "w7")
    assert (waiting.started_at_ms, waiting.cancellable, waiting.sequence) == (None, False, 0)
    assert (bytes(waiting.progress), waiting.accepted_at_ms, waiting.finished_at_ms) == (b"{}", 1000, None)
    again = evolve(waiting, started(attempt=3, attempt_id=OTHER_ATTEMPT), Position(1, 4), at_ms=3000)
    assert isinstance(again, Task)
    assert (again.retry_at_ms, again.error, again.failed_attempts, again.started_at_ms) == (None, None, 1, 3000)
    asked = evolve(waiting, cancel_requested(), Position(1, 4), at_ms=3000)
    assert isinstance(asked, Task)
    assert (asked.retry_at_ms, asked.attempt_id, asked.cancel_requested_at_ms) == (None, None, 3000)


@pytest.mark.parametrize(
    ("retry", "wanted_s", "found_ms"),
    [
        (Retry(retries=1, max_backoff_seconds=4), 3.5, 3500),
        (Retry(retries=1, max_backoff_seconds=4), -86_400.0, 1002),  # the author's clock is behind
        (Retry(retries=1, max_backoff_seconds=4), 86_400.0, 5002),  # the author's clock is ahead
        (None, 86_400.0, 1002),
    ],
)
def test_a_wrong_clock_delays_the_next_attempt_by_no_more_than_the_task_allows(
    retry: Retry | None, wanted_s: float, found_ms: int
) -> None:
    wanted = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=wanted_s)
    task = fold([accepted(retry=retry), started(), attempt_failed(retry_at=wanted)])  # the third record is of 1002 ms
    assert task is not None
    assert task.retry_at_ms == found_ms
