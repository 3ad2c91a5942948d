"""What recurs alongside the load: schedules that tick, and purges of ended tasks; and the judges of both."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import httpx

from tests.faults.journals import Use
from tests.faults.ledger import Breach, Ledger
from tests.faults.reference import Reference
from tests.faults.rules import APPLIED

SCHEDULES: Final = "/pulp/api/v3/task-schedules/"
_PURGE: Final = "/pulp/api/v3/tasks/purge/"
_STEPS_S: Final = (10, 15)
"""The intervals of the schedules: the shortest possible one, and a longer one."""
_PURGE_S: Final = 5.0
_AGE: Final = timedelta(seconds=15)
"""A purge takes tasks that ended this long ago, which some clients still read."""
_RETRY_S: Final = 0.5
_STATES: Final = ["completed", "failed", "canceled", "skipped"]
_NAMESPACE: Final = UUID("5f2a5c1e-8a0b-5d6f-9a57-3c1f7c1d2e10")
"""The namespace of derived ids, by section 2 of the design."""

Send = Callable[..., Awaitable[httpx.Response | None]]


class Recurring:
    """Makes the schedules, purges again and again, and at the end disables the schedules."""

    def __init__(self, send: Send, seed: int, stopping: asyncio.Event) -> None:
        self._send, self._seed, self._stopping = send, seed, stopping

    async def run(self) -> None:
        """Until `stopping` is set, and the schedules are disabled."""
        hrefs = [await self._created(step_s) for step_s in _STEPS_S]
        while not self._stopping.is_set():
            before = (datetime.now(UTC) - _AGE).strftime("%Y-%m-%dT%H:%M:%SZ")
            await self._send("purge", "POST", _PURGE, json={"finished_before": before, "states": _STATES})
            await self._pause(_PURGE_S)
        for href in hrefs:
            await self._until("disable", 200, f"{href}disable/", None, {})

    async def _created(self, step_s: int) -> str:
        body = {
            **{
                "name": f"every {step_s} s",
                "task_name": "faults-async",
                "interval_seconds": step_s,
                "overlap": "allow",
            },
            **{"arguments": {"number": 0, "steps": 2, "modes": {}}, "resources": [], "tags": [tag_of(step_s)]},
        }
        key = str(uuid5(_NAMESPACE, f"{self._seed}/schedule/{step_s}"))
        answer = await self._until("schedule", 201, SCHEDULES, body, {"Idempotency-Key": key})
        return str(answer.json()["pulp_href"])

    async def _until(self, what: str, status: int, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        while True:
            answer = await self._send(what, "POST", path, json=body, headers=headers)
            if answer is not None and answer.status_code == status:
                return answer
            await asyncio.sleep(_RETRY_S)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def tag_of(step_s: int) -> str:
    """The tag of the tasks of a schedule."""
    return f"every:{step_s}"


class Run(NamedTuple):
    """What came of a tick, by the table of runs."""

    schedule_id: str
    step_s: int
    tick: datetime
    outcome: str
    missed: int
    """Ticks between the one before and this one, by the table."""
    task_id: str | None


RUNS: Final = """
    select r.schedule_id::text, (convert_from(s.definition, 'UTF8')::json ->> 'interval_seconds')::int, r.tick, r.outcome,
           r.missed, r.task_id::text
      from schedule_runs r join schedules s using (schedule_id) order by r.schedule_id, r.tick
"""


def judge_schedules(reference: Reference, runs: Iterable[Run]) -> Iterator[Breach]:
    """Each tick is accounted for once; the tasks in the log are those of the ticks that were submitted, one each."""
    by_schedule: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run in runs:
        by_schedule[run.schedule_id, run.step_s].append(run)
    for (schedule_id, step_s), found in by_schedule.items():
        where = f"the schedule of every {step_s} s"
        for before, after in pairwise(found):
            steps, rest = divmod((after.tick - before.tick).total_seconds(), step_s)
            if rest or steps - 1 != after.missed:
                text = f"{before.tick} is followed by {after.tick}, and {after.missed} are said to be between"
                yield Breach("ticks", where, text)
        submitted = {run.task_id for run in found if run.outcome == "submitted"}
        possible = {_task_of(schedule_id, run.tick) for run in found if run.outcome in ("submitted", "due", "dropped")}
        tasks = {task_id for task_id, row in reference.all_tasks().items() if tag_of(step_s) in row["tags"]}
        if len(submitted) != sum(run.outcome == "submitted" for run in found):
            yield Breach("ticks", where, "two ticks have one task")
        for task_id in submitted - tasks:
            yield Breach("ticks", where, f"task {task_id} was submitted, and is not in the log")
        for task_id in tasks - possible:
            yield Breach("ticks", where, f"task {task_id} is in the log, and no tick has submitted it")


def _task_of(schedule_id: str, tick: datetime) -> str:
    """By the design: derived from schedule and tick."""
    return str(uuid5(_NAMESPACE, f"schedule\n{schedule_id}\n{int(tick.timestamp())}"))


def judge_purges(ledger: Ledger, reference: Reference) -> Iterator[Breach]:
    """Only purged tasks are gone, purged by a purging task, which reports the right number.

    The reference itself checks that no unfinished task was purged.
    """
    tasks = reference.all_tasks()
    for task_id in ledger.gone:
        row = tasks.get(task_id)
        if row is not None and row["purged_at"] is None:
            yield Breach("purge", task_id, "it could not be read, and nobody had purged it")
    purged: dict[str, set[str]] = defaultdict(set)
    for partition, entry in reference.entries():
        if entry.event.kind != "purged" or entry.effect != APPLIED:
            continue
        where, row = f"{partition}:{entry.raw.offset}", tasks[entry.event.task_id]
        cause = tasks.get(entry.event.cause or "")
        if cause is None or cause["operation"] != "purge-tasks" or cause["attempt"] == 0:
            yield Breach(
                "purge", where, f"task {row['task_id']} was purged by no task that purges: {entry.event.cause}"
            )
            continue
        purged[cause["task_id"]].add(row["task_id"])
        if row["purged_by"] != cause["created_by"]:
            yield Breach("purge", where, f"{row['purged_by']} is named, and {cause['created_by']} has asked for it")
    for task_id, row in tasks.items():
        if row["operation"] == "purge-tasks" and row["state"] == "successful":
            told, known = row["result"]["purged"], len(purged[task_id])
            if told < known:  # what two purges found at once counts for both
                yield Breach("purge", task_id, f"it says that it purged {told} tasks; by the log {known}")


def judge_attempts(reference: Reference, found: Iterable[Use]) -> Iterator[Breach]:
    """Attempts begin in the order of their numbers, in the log and as operations saw it."""
    numbers: dict[str, int] = {}
    last: dict[str, int] = {}
    for partition, entry in reference.entries():
        if entry.event.kind == "started" and entry.effect == APPLIED:
            task_id, attempt = entry.event.task_id, entry.event.data["attempt"]
            numbers[entry.event.data["attempt_id"]] = attempt
            if attempt <= last.get(task_id, 0):
                where = f"{partition}:{entry.raw.offset}"
                yield Breach("retries", where, f"task {task_id}: attempt {attempt} after {last[task_id]}")
            last[task_id] = attempt
    begun: dict[str, int] = {}
    for use in sorted(found, key=lambda each: each.began_ns):
        if use.resource.startswith("task:") and use.attempt in numbers:
            if numbers[use.attempt] <= begun.get(use.task, 0):
                text = f"task {use.task}: attempt {numbers[use.attempt]} ran after {begun[use.task]}"
                yield Breach("retries", use.resource, text)
            begun[use.task] = numbers[use.attempt]
