"""Running an operation: an async function on the loop, a plain one in a child process."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

import msgspec
from pulp_events.events import ErrorCode

from pulp_worker.child import Job, Message
from pulp_worker.claims import Claim
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended, failed, raised, succeeded
from pulp_worker.reporter import Reporter
from pulp_worker.sdk import Context, TaskCancelled

_LINE_LIMIT = 4 * 1024 * 1024


class Run(Protocol):
    """One run of an operation."""

    async def wait(self) -> Ended:
        """How it ended; never raises for what the operation does."""
        ...

    def cancel(self) -> None:
        """Ask it to stop."""
        ...

    def kill(self) -> None:
        """Stop it, asked or not."""
        ...


def start(loaded: Loaded, claim: Claim, reporter: Reporter, storage: Path) -> Run:
    """Start the claimed task's operation."""
    return (
        AsyncRun(loaded, claim, reporter, storage)
        if loaded.operation.is_async
        else ChildRun(loaded, claim, reporter, storage)
    )


class AsyncRun:
    """An async function on the worker's loop."""

    def __init__(self, loaded: Loaded, claim: Claim, reporter: Reporter, storage: Path) -> None:
        self._context = Context(
            task_id=claim.task_id,
            attempt_id=claim.attempt_id,
            arguments=msgspec.json.decode(claim.arguments),
            storage=storage,
            tokens=claim.tokens,
            send=reporter.report,
        )
        self._task = asyncio.ensure_future(loaded.operation.function(self._context))

    async def wait(self) -> Ended:
        """See `Run.wait`."""
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return raised(TaskCancelled())
        error = self._task.exception()
        return succeeded(self._task.result()) if error is None else raised(error)

    def cancel(self) -> None:
        """See `Run.cancel`."""
        self._context.cancel()

    def kill(self) -> None:
        """See `Run.kill`. A function that catches the cancellation goes on: its resources stay reserved."""
        self._context.cancel()
        self._task.cancel()


class ChildRun:
    """A plain function in a child process with a process group of its own."""

    def __init__(self, loaded: Loaded, claim: Claim, reporter: Reporter, storage: Path) -> None:
        self._reporter = reporter
        self._process: asyncio.subprocess.Process | None = None
        self._is_killed = False
        self._is_cancelled = False
        job = Job(
            module=loaded.module,
            attribute=loaded.attribute,
            task_id=claim.task_id,
            attempt_id=claim.attempt_id,
            arguments=msgspec.json.decode(claim.arguments),
            storage=str(storage),
            tokens=dict(claim.tokens),
        )
        self._task = asyncio.create_task(self._run(msgspec.json.encode(job) + b"\n"))

    async def wait(self) -> Ended:
        """See `Run.wait`."""
        return await asyncio.shield(self._task)

    def cancel(self) -> None:
        """See `Run.cancel`."""
        self._is_cancelled = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(b'{"cancel": true}\n')

    def kill(self) -> None:
        """See `Run.kill`."""
        self._is_killed = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _run(self, job: bytes) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pulp_worker.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job)
        if self._is_cancelled:
            self.cancel()
        if self._is_killed:
            self.kill()
        ended: Ended | None = None
        async for line in process.stdout:
            message = msgspec.json.decode(line, type=Message)
            progress = bytes(message.progress)
            if progress:
                self._reporter.report(progress)
            ended = message.ended or ended
        code = await process.wait()
        process.stdin.close()
        if ended is not None:
            return ended
        if self._is_killed:
            return raised(TaskCancelled())
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        return failed(ErrorCode.OPERATION_CRASHED, f"The process of the operation {how} and left no result.")
