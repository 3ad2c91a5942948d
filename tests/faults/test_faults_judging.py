"""The judges of a run find planted breaches. Pure: the reference is filled by hand."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from tests.faults.folding import Entry, Raw
from tests.faults.journals import Use, overlaps, uses
from tests.faults.ledger import Ledger, Seen
from tests.faults.plan import planned
from tests.faults.promises import judge_operations, started_after_s, zombie_windows_ms
from tests.faults.reading import read
from tests.faults.recurring import Run, judge_attempts, judge_purges, judge_schedules, tag_of
from tests.faults.reference import Reference
from tests.faults.rules import APPLIED, TABLE
from tests.faults.run_state import Probe, Wake

SECOND = 1_000_000_000


class _NoLog(Reference):
    """A reference that reads nothing."""

    def __init__(self) -> None:
        self.history = {0: {}}
        self.tasks = {0: {}}


def line(task: str, at_s: float, what: str = "work", **more: Any) -> dict[str, Any]:
    usual = {"resource": "repository:r1", "attempt": f"attempt of {task}", "mode": "exclusive", "token": 1}
    return {**usual, "task": task, "what": what, "at_ns": round(at_s * SECOND), "wall_ms": 0, **more}


def started(*tasks: str) -> Reference:
    """A log in which an attempt of each task has started."""
    reference = _NoLog()
    for number, task in enumerate(tasks):
        _append(reference, number, "started", attempt=1, worker="w", cancellable=True)
        reference.history[0][number].event.data["attempt_id"] = f"attempt of {task}"
    return reference


def _append(reference: Reference, number: int, kind: str, at_ms: int = 0, **data: Any) -> None:
    """One more event, of the task of this number."""
    offset = len(reference.history[0])
    body = {
        **{"specversion": "1.0", "source": "/test", "type": f"org.pulpproject.task.{kind}.v1"},
        **{"id": f"{offset:032}", "subject": f"{number:032}", "time": "2026-11-24T12:00:00Z", "actor": "worker:w"},
        "data": {"attempt_id": f"{number:032}", **data},
    }
    key = f"{'0' * 8}-0000-0000-0000-{number:012}".encode()
    event = read(key, json.dumps(body).encode())
    reference.history[0][offset] = Entry(Raw(offset, at_ms, key, b""), event, APPLIED)


def test_two_at_work_on_one_resource_are_found() -> None:
    found = uses([line("a", 1), line("a", 3), line("b", 2, token=2), line("b", 4, token=2)])
    assert [breach.promise for breach in judge_operations(started("a", "b"), found)] == ["exclusion"]


def test_two_that_share_a_resource_are_no_conflict() -> None:
    found = uses([line("a", 1, mode="shared"), line("a", 3, mode="shared"), line("b", 2, mode="shared")])
    assert list(judge_operations(started("a", "b"), found)) == []


def test_one_after_the_other_is_no_conflict_but_tokens_must_rise() -> None:
    rising = uses([line("a", 1), line("a", 2), line("b", 3, token=2)])
    assert list(judge_operations(started("a", "b"), rising)) == []
    falling = uses([line("a", 1, token=5), line("a", 2, token=5), line("b", 3, token=2)])
    assert [breach.promise for breach in judge_operations(started("a", "b"), falling)] == ["fencing"]


def test_an_operation_that_never_started_in_the_log_is_found() -> None:
    breaches = list(judge_operations(started("a"), uses([line("a", 1), line("b", 2, token=2)])))
    assert [breach.promise for breach in breaches] == ["I6"]


def test_one_that_was_stopped_may_go_on_for_a_moment_when_it_wakes() -> None:
    frozen = [line("a", 1), line("a", 1.1), line("b", 12, token=2), line("b", 25, token=2)]
    [pair] = overlaps(uses([*frozen, line("a", 20.0), line("a", 20.05)]))
    assert pair.is_zombie
    assert round(pair.awake_ms) == 50
    too_long = uses([*frozen, line("a", 20.0), line("a", 20.1), line("a", 20.4)])
    assert [breach.promise for breach in judge_operations(started("a", "b"), too_long)] == ["exclusion"]


def test_how_long_a_stopped_workers_operations_went_on_when_it_woke() -> None:
    reference = started("a", "b", "c")
    lost = {"code": "worker-lost", "description": "it was not heard"}
    for number in (0, 1):
        _append(reference, number, "finished", at_ms=9000, outcome="failed", error=lost, progress=None, result=None)
    at_work = [(task, 1.0) for task in "abc"] + [("a", 12.03), ("b", 1.5), ("c", 12.7)]
    lines = [{**line(task, at_s), "resource": f"task:{task}"} for task, at_s in at_work]
    wake = Wake("w", stopped_ns=2 * SECOND, woke_ns=12 * SECOND, woke_ms=12_000)
    windows = zombie_windows_ms(reference, lines, [wake])
    assert [round(window) for window in windows] == [30, 0]  # nobody had reported that c was lost
    assert zombie_windows_ms(reference, lines, [wake._replace(worker="another")]) == []


def test_how_soon_a_task_started_after_a_fault() -> None:
    reference = _NoLog()
    _append(reference, 0, "started", at_ms=9500, attempt=1, worker="w", cancellable=True)
    probes = [Probe("soon", task, at_ms=8000.0) for task in (reference.history[0][0].event.task_id, "not started")]
    assert list(started_after_s(reference, probes)) == [("soon", 1.5)]


def test_a_reader_who_is_shown_an_older_task_is_a_breach() -> None:
    ledger = Ledger()
    body = {"pulp_href": "/pulp/api/v3/tasks/t/", "position": "0:7", "version": 3, "state": "running"}
    ledger.show(None, body)
    assert ledger.breaches == []
    ledger.show(Seen(0, 9, 4, "running"), body)
    ledger.show(Seen(0, 7, 3, "failed"), body)
    assert [breach.promise for breach in ledger.breaches] == ["I9", "I5"]


def test_a_repeated_submission_is_told_a_later_position_than_its_row_has() -> None:
    ledger = Ledger()
    ledger.tell("accepted", 1, "t", "0:9")
    body = {"pulp_href": "/pulp/api/v3/tasks/t/", "position": "0:7", "version": 1, "state": "waiting"}
    ledger.show(ledger.seen["t"], body)
    assert ledger.breaches == []
    ledger.show(Seen(0, 9, 1, "waiting"), body)  # a row that was read there
    assert [breach.promise for breach in ledger.breaches] == ["I9"]


def test_a_key_that_made_two_tasks_is_a_breach() -> None:
    ledger = Ledger()
    ledger.tell("accepted", 1, "a", "0:1")
    ledger.tell("accepted", 1, "b", "0:2")
    assert [breach.promise for breach in ledger.breaches] == ["I1"]


def test_the_same_seed_plans_the_same() -> None:
    assert [planned(7, number) for number in range(50)] == [planned(7, number) for number in range(50)]
    assert [planned(7, number) for number in range(50)] != [planned(8, number) for number in range(50)]


def test_the_table_has_every_cell() -> None:
    states = {"(none)", "waiting", "running", "cancelling", "final"}
    assert {kind: set(cells) for kind, cells in TABLE.items()} == {
        kind: states - ({"(none)"} if kind == "accepted" else set()) for kind in TABLE
    }
    assert len(TABLE) == 8


def test_uses_are_in_order_of_their_beginning() -> None:
    found: list[Use] = uses([line("b", 5), line("a", 1), line("b", 6)])
    assert [use.task for use in found] == ["a", "b"]


def task(number: int) -> str:
    return str(UUID(f"{number:032}"))


def row(number: int, **more: Any) -> dict[str, Any]:
    usual = {
        "operation": "sync",
        "state": "successful",
        "attempt": 1,
        "purged_at": None,
        "created_by": "user:a",
        "tags": [],
    }
    return {"task_id": task(number), **usual, **more}


def purging(
    *, purged_at: int | None = 5, by: str = "user:a", operation: str = "purge-tasks", told: int = 1
) -> Reference:
    """Task 2 has purged task 1."""
    reference = _NoLog()
    reference.tasks[0] = {
        task(1): row(1, purged_at=purged_at, purged_by=by),
        task(2): row(2, operation=operation, result={"purged": told}),
    }
    _append(reference, 1, "purged", requested_by=by)
    reference.history[0][0] = reference.history[0][0]._replace(
        event=reference.history[0][0].event._replace(cause=task(2))
    )
    return reference


def test_what_is_gone_was_purged_and_by_whom_it_was_asked_for() -> None:
    def told(reference: Reference, *gone: int) -> list[str]:
        ledger = Ledger()
        for number in gone:
            ledger.miss(task(number))
        return [breach.what for breach in judge_purges(ledger, reference)]

    assert told(purging(), 1) == []
    assert told(purging(), 2) == ["it could not be read, and nobody had purged it"]
    assert told(purging(by="user:b")) == ["user:b is named, and user:a has asked for it"]
    assert told(purging(operation="sync")) == [f"task {task(1)} was purged by no task that purges: {task(2)}"]
    assert told(purging(told=0)) == ["it says that it purged 0 tasks; by the log 1"]
    assert told(purging(told=2)) == []


def test_each_tick_is_accounted_for_once() -> None:
    schedule, start = str(UUID(int=7)), datetime(2026, 11, 24, 12, tzinfo=UTC)
    namespace = UUID("5f2a5c1e-8a0b-5d6f-9a57-3c1f7c1d2e10")

    def run(second: int, outcome: str = "submitted", missed: int = 0) -> Run:
        tick = start + timedelta(seconds=second)
        task_id = str(uuid5(namespace, f"schedule\n{schedule}\n{int(tick.timestamp())}"))
        return Run(schedule, 10, tick, outcome, missed, task_id if outcome == "submitted" else None)

    def told(*runs: Run, extra: int = 0) -> list[str]:
        reference = _NoLog()
        ids = [each.task_id for each in runs if each.task_id] + [task(number) for number in range(extra)]
        reference.tasks[0] = {task_id: row(0, tags=[tag_of(10)]) for task_id in ids}
        return [breach.what.split(",")[0] for breach in judge_schedules(reference, runs)]

    assert told(run(0), run(10), run(40, missed=2), run(50, "missed"), run(60)) == []
    assert told(run(0), run(20)) == [f"{start} is followed by {start + timedelta(seconds=20)}"]
    assert told(run(0), run(15)) == [f"{start} is followed by {start + timedelta(seconds=15)}"]
    assert told(run(0), run(10), extra=1) == [f"task {task(0)} is in the log"]
    lost = run(10)._replace(task_id=task(9))
    reference = _NoLog()
    assert [each.what for each in judge_schedules(reference, [lost])] == [
        f"task {task(9)} was submitted, and is not in the log"
    ]


def test_attempts_that_ran_in_another_order_are_found() -> None:
    reference = _NoLog()
    for attempt in (1, 2):
        _append(reference, 1, "started", attempt=attempt, worker="w", cancellable=True)
        reference.history[0][attempt - 1].event.data["attempt_id"] = f"attempt {attempt}"

    def told(*order: int) -> list[str]:
        own: dict[str, Any] = {"resource": f"task:{task(1)}", "mode": "exclusive", "token": 0}
        found = uses([line(task(1), at, attempt=f"attempt {number}", **own) for at, number in enumerate(order)])
        return [breach.promise for breach in judge_attempts(reference, found)]

    assert told(1, 2) == []
    assert told(2, 1) == ["retries"]
