"""Judges a run at its end: what clients were told and what operations did, against the log as the reference reads it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from tests.faults.folding import Entry
from tests.faults.journals import Use, overlaps
from tests.faults.ledger import Breach, Ledger, Told
from tests.faults.reference import Reference
from tests.faults.rules import APPLIED, ENDED
from tests.faults.run_state import Probe, Wake

ZOMBIE_MS: Final = 100.0
_LATEST_MS: Final = 60_000
"""A task that the reactor ended later than this after a fault had another cause."""


def judge_answers(ledger: Ledger, reference: Reference) -> Iterator[Breach]:
    """I1: acknowledged events are in the log at the position in the answer, with a matching effect."""
    for told in ledger.told:
        entry = _at(reference, told.position)
        row = reference.task(told.task_id)
        if row is None:
            yield Breach("I1", told.position or "?", f"task {told.task_id} was {told.what}, and is not in the log")
        elif told.what == "accepted" and not _is(entry, told, "accepted", {APPLIED, "duplicate"}):
            yield Breach("I1", str(told.position), f"no accepted of task {told.task_id} there: {entry}")
        elif told.what == "cancelled":
            if told.position and not _is(entry, told, "cancel-requested", {APPLIED, "already requested"}):
                yield Breach("I1", told.position, f"no cancel-requested of task {told.task_id} there: {entry}")
            if row["cancel_requested_at"] is None and row["state"] != "cancelled":
                yield Breach("I1", str(told.position), f"task {told.task_id}: a cancel was confirmed, none had effect")
        elif told.what == "refused" and row["cancellable"] and row["state"] == "cancelled":
            yield Breach("I6", str(told.position), f"task {told.task_id}: a cancel was refused that took effect")
        elif told.what == "ended" and row["state"] not in ENDED:
            yield Breach("I5", str(told.position), f"task {told.task_id} was said to have ended")
    yield from _once(ledger, reference)


def _once(ledger: Ledger, reference: Reference) -> Iterator[Breach]:
    """A keyed submission creates one task, however often it was repeated; any other at most one."""
    made: Counter[int] = Counter(row["arguments"].get("number", 0) for row in reference.all_tasks().values())
    for number, count in made.items():
        if number > 0 and count > 1:
            yield Breach("I1", f"task {number} of the plan", f"{count} tasks were made")
    for number in ledger.keyed & ledger.tasks.keys():
        if made[number] != 1:
            yield Breach("I1", f"task {number} of the plan", f"keyed and confirmed, but {made[number]} tasks are there")


def judge_history(reference: Reference) -> Iterator[Breach]:
    """I3: effective events are unique by id. I5: a task has at most one effective end, and only a purge after it."""
    seen: dict[str, str] = {}
    ended: dict[str, str] = {}
    for partition, entry in reference.entries():
        if entry.effect != APPLIED:
            continue
        where, event = f"{partition}:{entry.raw.offset}", entry.event
        if event.id in seen:
            yield Breach("I3", where, f"event {event.id} had an effect at {seen[event.id]} already")
        if event.task_id in ended and event.kind != "purged":
            yield Breach("I5", where, f"task {event.task_id} ended at {ended[event.task_id]}, and changed after it")
        seen[event.id] = where
        if event.kind == "finished":
            ended[event.task_id] = where


def judge_ends(reference: Reference) -> Iterator[Breach]:
    """I15: no task is left waiting, running or cancelling. None was tried again too often. Dependencies were respected."""
    tasks = reference.all_tasks()
    for task_id, row in tasks.items():
        where = f"{row['partition']}:{row['last_offset']}"
        if row["state"] not in ENDED:
            yield Breach("I15", where, f"task {task_id} ({row['operation']}) is left {row['state']}")
        if row["failed_attempts"] > (row["retry"] or {"retries": 0})["retries"]:
            yield Breach("retries", where, f"task {task_id} failed {row['failed_attempts']} times: {row['retry']}")
        for needed in map(tasks.get, row["depends_on"]):
            if needed is None or row["started_at"] is None:
                continue
            if needed["state"] != "successful" or needed["finished_at"] > row["started_at"]:
                yield Breach("order", where, f"task {task_id} started before {needed['task_id']} had succeeded")


def judge_operations(reference: Reference, found: list[Use]) -> Iterator[Breach]:
    """I6: an operation began only for an effective `started`. No task ran twice at once, or at the same time as a
    conflicting one."""
    started: dict[str, str] = {}
    for partition, entry in reference.entries():
        if entry.event.kind == "started" and entry.effect == APPLIED:
            started[entry.event.data["attempt_id"]] = f"{partition}:{entry.raw.offset}"
    for use in found:
        if use.attempt not in started:
            yield Breach("I6", use.resource, f"task {use.task} ran as attempt {use.attempt}, which never started")
    for pair in overlaps(found):
        resource, first, second = pair
        if pair.is_zombie and pair.awake_ms <= ZOMBIE_MS:
            continue
        text = f"tasks {first.task} and {second.task} at work at once for {pair.awake_ms:.0f} ms"
        yield Breach("exclusion", resource, f"{text}{', the first after it was stopped' if pair.is_zombie else ''}")
    yield from _judge_tokens(found)


def _judge_tokens(found: Iterable[Use]) -> Iterator[Breach]:
    highest: dict[str, Use] = {}
    for use in found:
        if use.resource.startswith("task:"):
            continue
        before = highest.get(use.resource)
        if before is not None and before.mode == use.mode == "exclusive" and use.token <= before.token:
            text = f"task {use.task} began with token {use.token}, after {before.token} of task {before.task}"
            yield Breach("fencing", use.resource, text)
        if use.mode == "exclusive":
            highest[use.resource] = use


def zombie_windows_ms(reference: Reference, lines: Iterable[dict[str, Any]], wakes: Iterable[Wake]) -> list[float]:
    """How long operations of a stopped worker continued after it woke, if their tasks were ended meanwhile."""
    steps: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        if line["resource"].startswith("task:"):
            steps[line["attempt"]].append(line["at_ns"])
    return [
        max(0.0, (max(steps[lost.attempt]) - wake.woke_ns) / 1e6)
        for wake in wakes
        for lost in _lost(reference)
        if lost.worker == wake.worker
        and wake.woke_ms - _LATEST_MS < lost.ended_ms < wake.woke_ms
        and any(at_ns < wake.stopped_ns for at_ns in steps[lost.attempt])
    ]


class Reached(NamedTuple):
    """A cancel that an operation has noticed."""

    task_id: str
    asked_ms: float
    """By the broker's clock."""
    took_ms: float


def reached_cancels(
    reference: Reference, lines: Iterable[dict[str, Any]], quiet: list[tuple[float, float]]
) -> list[Reached]:
    """From the broker's time of a cancel until the operation noticed it, without a fault at that time."""
    tasks = reference.all_tasks()
    found = []
    for line in lines:
        if line["what"] == "cancelled" and line["resource"].startswith("task:"):
            asked = tasks[line["task"]]["cancel_requested_at"]
            if asked is not None and any(start <= asked and line["wall_ms"] <= end for start, end in quiet):
                found.append(Reached(line["task"], asked, max(0.0, line["wall_ms"] - asked)))
    return found


def worker_lost_s(reference: Reference, kills: Iterable[tuple[str, float]]) -> list[float]:
    """From a worker's death until the reactor ended its tasks."""
    return [
        (lost.ended_ms - at_ms) / 1000
        for worker, at_ms in kills
        for lost in _lost(reference)
        if lost.worker == worker and lost.began_ms < at_ms < lost.ended_ms < at_ms + _LATEST_MS
    ]


def started_after_s(reference: Reference, probes: Iterable[Probe]) -> Iterator[tuple[str, float]]:
    """Bound and seconds of each probe that has started. One that never did is left unfinished, or was cancelled."""
    started = {
        entry.event.task_id: entry.raw.time_ms
        for _, entry in reference.entries()
        if entry.event.kind == "started" and entry.effect == APPLIED
    }
    for probe in probes:
        if probe.task_id in started:
            yield probe.bound, (started[probe.task_id] - probe.at_ms) / 1000


class _Lost(NamedTuple):
    """An attempt that the reactor ended because its worker was lost. Times are the broker's."""

    attempt: str
    worker: str
    began_ms: int
    ended_ms: int


def _lost(reference: Reference) -> list[_Lost]:
    running: dict[str, Entry] = {}
    lost = []
    for _, entry in reference.entries():
        if entry.effect != APPLIED:
            continue
        event = entry.event
        if event.kind == "started":
            running[event.task_id] = entry
        elif event.kind in ("finished", "attempt-failed") and event.task_id in running:
            began = running.pop(event.task_id)
            if (event.data.get("error") or {}).get("code") == "worker-lost":
                data = began.event.data
                lost.append(_Lost(data["attempt_id"], data["worker"], began.raw.time_ms, entry.raw.time_ms))
    return lost


def _at(reference: Reference, position: str | None) -> Entry | None:
    if position is None:
        return None
    partition, offset = map(int, position.split(":"))
    return reference.history[partition].get(offset)


def _is(entry: Entry | None, told: Told, kind: str, effects: set[str]) -> bool:
    return (
        entry is not None
        and entry.event.kind == kind
        and entry.event.task_id == told.task_id
        and entry.effect in effects
    )
