"""Running an operation: an async function on the loop, a plain one in a child process."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace
from pulp_events.events import ErrorCode

from pulp_worker.child import Command, Job, Message
from pulp_worker.claims import Claim
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.outcome import Ended, failed, raised, succeeded
from pulp_worker.reporter import Reporter
from pulp_worker.sdk import Context, TaskCancelled

_LINE_LIMIT: Final = 4 * 1024 * 1024
# What holds the credentials of the installation is no business of an operation.
_KEPT_FROM_CHILDREN: Final = ("PULP_POSTGRES", "PULP_KAFKA")


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

    def extend(self) -> None:
        """The lease was renewed."""
        ...


def start(loaded: Loaded, claim: Claim, reporter: Reporter, storage: Path, lease: Lease) -> Run:
    """Start the claimed task's operation."""
    if loaded.operation.is_async:
        return AsyncRun(loaded, claim, reporter, storage)
    return ChildRun(loaded, claim, reporter, storage, lease)


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
        self._is_killed = False
        self._task = asyncio.create_task(self._run(loaded), name=f"operation-{claim.task_id}")

    async def wait(self) -> Ended:
        """See `Run.wait`."""
        await asyncio.wait([self._task])
        if self._task.cancelled():  # killed before it began
            return raised(TaskCancelled())
        return self._task.result()

    def cancel(self) -> None:
        """See `Run.cancel`."""
        self._context.cancel()

    def kill(self) -> None:
        """See `Run.kill`. A function that catches the cancellation goes on: its resources stay reserved."""
        self._is_killed = True
        self._context.cancel()
        self._task.cancel()

    def extend(self) -> None:
        """See `Run.extend`: it runs where the lease is watched."""

    async def _run(self, loaded: Loaded) -> Ended:
        try:
            return succeeded(await loaded.operation.call(self._context))
        except asyncio.CancelledError as error:
            return raised(TaskCancelled() if self._is_killed else error)
        except BaseException as error:  # also SystemExit ends the task, not the worker
            return raised(error)


class ChildRun:
    """A plain function in a child process with a process group of its own."""

    def __init__(self, loaded: Loaded, claim: Claim, reporter: Reporter, storage: Path, lease: Lease) -> None:
        self._reporter = reporter
        self._lease = lease
        self._process: asyncio.subprocess.Process | None = None
        self._is_killed = False
        self._is_cancelled = False
        self._job = Job(
            module=loaded.module,
            attribute=loaded.attribute,
            task_id=claim.task_id,
            attempt_id=claim.attempt_id,
            arguments=msgspec.json.decode(claim.arguments),
            storage=str(storage.resolve()),
            tokens=dict(claim.tokens),
            until_s=0,
        )
        self._task = asyncio.create_task(self._run(), name=f"operation-{claim.task_id}")

    async def wait(self) -> Ended:
        """See `Run.wait`."""
        return await asyncio.shield(self._task)

    def cancel(self) -> None:
        """See `Run.cancel`."""
        self._is_cancelled = True
        self._tell(Command(cancel=True))

    def kill(self) -> None:
        """See `Run.kill`."""
        self._is_killed = True
        self._kill_group()

    def extend(self) -> None:
        """See `Run.extend`."""
        self._tell(Command(until_s=self._lease.ends_at_s))

    def _tell(self, command: Command) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(msgspec.json.encode(command) + b"\n")

    async def _run(self) -> Ended:
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pulp_worker.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=_LINE_LIMIT,
                env=_environment(os.environ),
            )
        except OSError as error:
            return failed(ErrorCode.OPERATION_CRASHED, f"No process could be started for the operation: {error}")
        exited = asyncio.create_task(process.wait())
        exited.add_done_callback(lambda _: self._kill_group())  # also what the operation started and left behind
        try:
            ended = await self._converse(process)
        except ValueError as error:
            ended = failed(
                ErrorCode.OPERATION_CRASHED, f"The process of the operation sent what no worker takes: {error}"
            )
        self._kill_group()
        code = await exited
        if ended is not None:
            return ended
        if self._is_killed:
            return raised(TaskCancelled())
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        return failed(ErrorCode.OPERATION_CRASHED, f"The process of the operation {how} and left no result.")

    def _kill_group(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _converse(self, process: asyncio.subprocess.Process) -> Ended | None:
        assert process.stdin is not None
        assert process.stdout is not None
        job = replace(self._job, until_s=self._lease.ends_at_s)
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        if self._is_cancelled:
            self.cancel()
        if self._is_killed:
            self.kill()
        async for line in process.stdout:
            message = _message(line)
            progress = bytes(message.progress)
            if progress:
                self._reporter.report(progress)
            if message.ended is not None:
                return message.ended
        return None


def _message(line: bytes) -> Message:
    try:
        return msgspec.json.decode(line, type=Message)
    except msgspec.DecodeError:
        return Message()  # the last line of a process that died while it wrote it


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key not in _KEPT_FROM_CHILDREN}
