"""The state machine, cell by cell, as the design has it: not derived from the code."""

import pytest
from pulp_events.events import Event, Outcome
from pulp_events.task import Ignored, Position, State, Task, evolve

from tests.support.events import ATTEMPT, OTHER_ATTEMPT, accepted, cancel_requested, finished, progress, started

BEFORE: dict[str, list[Event]] = {
    "none": [],
    "waiting": [accepted()],
    "running": [accepted(), started(attempt=2), progress(sequence=5)],
    "running, not cancellable": [accepted(), started(attempt=2, cancellable=False), progress(sequence=5)],
    "cancelling": [accepted(), started(attempt=2), progress(sequence=5), cancel_requested()],
    "cancelling, never started": [accepted(), cancel_requested()],
    "successful": [accepted(), started(attempt=2), finished()],
    "failed": [accepted(), started(attempt=2), finished(outcome=Outcome.FAILED)],
    "cancelled": [accepted(), cancel_requested(), finished(outcome=Outcome.CANCELLED, attempt_id=None)],
    "skipped": [accepted(), finished(outcome=Outcome.SKIPPED, attempt_id=None)],
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
    "cancel-requested": cancel_requested(),
    "finished, this attempt": finished(),
    "finished, another attempt": finished(attempt_id=OTHER_ATTEMPT),
    "finished, no attempt": finished(outcome=Outcome.SKIPPED, attempt_id=None),
}

FINAL_STATES = ("successful", "failed", "cancelled", "skipped")
COLUMNS = ("none", "waiting", "running", "running, not cancellable", "cancelling", "cancelling, never started")

# One line for each event; one cell for each of COLUMNS, and the last for every final state.
# `→ STATE` is an effect; anything else is the reason why there is none.
TABLE = """
accepted                              | → waiting    | duplicate   | duplicate         | duplicate         | duplicate         | duplicate         | duplicate
started, first attempt                | unknown task | → running   | attempt is taken  | attempt is taken  | cancel came first | cancel came first | final
started, same number, another attempt | unknown task | → running   | attempt is taken  | attempt is taken  | cancel came first | cancel came first | final
started, the same again               | unknown task | → running   | attempt is taken  | attempt is taken  | cancel came first | cancel came first | final
started, a later attempt              | unknown task | → running   | → running         | → running         | cancel came first | cancel came first | final
progress, this attempt, later         | unknown task | not started | → running         | → running         | → cancelling      | not started       | final
progress, this attempt, the same      | unknown task | not started | stale             | stale             | stale             | not started       | final
progress, this attempt, earlier       | unknown task | not started | stale             | stale             | stale             | not started       | final
progress, another attempt             | unknown task | not started | stale             | stale             | stale             | not started       | final
cancel-requested                      | unknown task | → cancelling| → cancelling      | not cancellable   | already requested | already requested | final
finished, this attempt                | unknown task | not started | → successful      | → successful      | → successful      | not started       | final
finished, another attempt             | unknown task | not started | stale             | stale             | stale             | not started       | final
finished, no attempt                  | unknown task | → skipped   | stale             | stale             | stale             | → skipped         | final
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


@pytest.mark.parametrize(("event", "state", "effect"), cells())
def test_cell(event: str, state: str, effect: str) -> None:
    before = fold(BEFORE[state])
    after = evolve(before, EVENTS[event], Position(1, 50), at_ms=5000)
    if effect.startswith("→"):
        assert isinstance(after, Task)
        assert after.state == State(effect.removeprefix("→").strip())
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
