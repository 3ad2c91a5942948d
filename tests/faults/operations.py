"""Operations of the load. Each writes journals, which show afterwards what ran when and at the same time. A worker
finds them through PULP_WORKER_MODULES.
"""

import asyncio
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pulp_worker import Context, OperationError, TaskCancelled, operation, purging

purging.MOST_AT_ONCE = 10  # type: ignore[misc]  # a purge takes several pieces, and faults come between them
STEP_S = 0.1


class Journal:
    """One file for each resource and one for the task: a line per step, with the machine's monotonic clock."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._modes: dict[str, str] = context.arguments["modes"]
        self._folder = context.storage / "journal"
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, what: str, **more: Any) -> None:
        """Write a line to the task's file and to those of its resources."""
        own = {"task": str(self._context.task_id), "attempt": str(self._context.attempt_id)}
        seen = {**own, "what": what, "at_ns": time.monotonic_ns(), "wall_ms": time.time_ns() // 1_000_000, **more}
        self._append(f"task:{self._context.task_id}", {**seen, "mode": "exclusive", "token": 0})
        for resource, mode in self._modes.items():
            self._append(resource, {**seen, "mode": mode, "token": self._context.tokens[resource]})

    def step(self) -> None:
        """Write to every resource; the store refuses a token older than one it has seen."""
        for resource, mode in self._modes.items():
            if not self._store(resource, mode, self._context.tokens[resource]):
                self.write("refused", resource=resource)
                raise OperationError("fenced", f"{resource} was given to somebody else")
        self.write("work")

    def _append(self, resource: str, line: dict[str, Any]) -> None:
        file = os.open(self._folder / resource.replace("/", "_"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, json.dumps({"resource": resource, **line}).encode() + b"\n")  # one write: lines stay whole
        os.close(file)

    def _store(self, resource: str, mode: str, token: int) -> bool:
        file = os.open(self._context.storage / f"store-{resource}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            highest = int(os.read(file, 40) or b"0")
            if token < highest:
                return False
            if mode == "exclusive":
                os.pwrite(file, b"%-40d" % token, 0)
            return True
        finally:
            os.close(file)


def steps(context: Context, journal: Journal, *, heeds: bool) -> Iterator[None]:
    """The work: the given number of steps, with progress; ends early if it honours cancels."""
    count = int(context.arguments["steps"])
    journal.write("begin", pid=os.getpid())
    for number in range(1, count + 1):
        yield
        if context.cancelled and heeds:
            journal.write("cancelled")
            raise TaskCancelled
        journal.step()
        for _ in range(int(context.arguments.get("reports", 1))):
            context.report({"work": {"items_total": count, "items_left": count - number, "state": "RUNNING"}})
    journal.write("end")


def result(context: Context) -> dict[str, Any]:
    """What a task that succeeds returns."""
    return {"number": context.arguments["number"], "tokens": dict(context.tokens)}


@operation("faults-async", cancellable=True)
async def run_async(context: Context) -> object:
    """Works on the worker's loop, and heeds a cancel."""
    for _ in steps(context, Journal(context), heeds=True):
        await asyncio.sleep(STEP_S)
    return result(context)


@operation("faults-plain", cancellable=True)
def run_plain(context: Context) -> object:
    """Works in a child process, and heeds a cancel."""
    for _ in steps(context, Journal(context), heeds=True):
        time.sleep(STEP_S)
    return result(context)


@operation("faults-stubborn")
async def run_stubborn(context: Context) -> object:
    """Cannot be cancelled."""
    for _ in steps(context, Journal(context), heeds=False):
        await asyncio.sleep(STEP_S)
    return result(context)


@operation("faults-fail", cancellable=True)
async def run_fail(context: Context) -> object:
    """Works, then fails."""
    for _ in steps(context, Journal(context), heeds=True):
        await asyncio.sleep(STEP_S)
    raise OperationError("planned", "it was planned to fail")


@operation("faults-flaky", cancellable=True)
async def run_flaky(context: Context) -> object:
    """Works; then every second attempt fails, by chance."""
    for _ in steps(context, Journal(context), heeds=True):
        await asyncio.sleep(STEP_S)
    if context.attempt_id.int % 2:
        raise OperationError("planned", "it was planned to fail half of the time")
    return result(context)


@operation("faults-crash", cancellable=True)
def run_crash(context: Context) -> object:
    """Works, then its process is killed."""
    for _ in steps(context, Journal(context), heeds=True):
        time.sleep(STEP_S)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


@operation("faults-hang", cancellable=True)
def run_hang(context: Context) -> object:
    """Works on and on, and takes no notice of a cancel: its time limit or its worker ends it."""
    endless = Context(
        task_id=context.task_id,
        attempt_id=context.attempt_id,
        arguments={**context.arguments, "steps": 10_000},
        storage=Path(context.storage),
        tokens=context.tokens,
        send=lambda progress: None,
    )
    for _ in steps(endless, Journal(context), heeds=False):
        time.sleep(STEP_S)
    return None
