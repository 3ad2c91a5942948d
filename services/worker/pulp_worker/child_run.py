"""Running a plain operation: a guardian and the operation's process, controlled by lines of JSON."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import Final

import msgspec
from msgspec.structs import replace
from pulp_events.events import ErrorCode

from pulp_worker import scratch
from pulp_worker.claims import Claim
from pulp_worker.descendants import kill, marked
from pulp_worker.environment import ATTEMPT_ID, TASK_ID, TRACEPARENT, allowed
from pulp_worker.errors import TaskCancelled
from pulp_worker.loading import Loaded
from pulp_worker.messages import CHANNEL_LOST, Command, Job, Message, line
from pulp_worker.outcome import Ended, failed, raised
from pulp_worker.reporter import Reporter
from pulp_worker.surroundings import Surroundings

_LINE_LIMIT: Final = 4 * 1024 * 1024
_KILL_S: Final = 5.0
"""How long a guardian has to end its operation before it is killed itself."""
_PAUSE_S: Final = 0.01
_log = logging.getLogger("pulp.worker")
_printed = logging.getLogger("pulp.operation")


class ChildRun:
    """See `pulp_worker.child` for the processes."""

    def __init__(
        self,
        loaded: Loaded,
        claim: Claim,
        reporter: Reporter,
        surroundings: Surroundings,
        traceparent: str | None = None,
    ) -> None:
        """`traceparent` is the context of the attempt, for the operation's own traces."""
        self._traceparent = traceparent
        self._reporter = reporter
        self._surroundings = surroundings
        self._process: asyncio.subprocess.Process | None = None
        self._has_job = False
        """Whether the process may run the operation. Until then, a cancel ends it at once."""
        self._is_killed = False
        self._is_cancelled = False
        self._last_resort: asyncio.TimerHandle | None = None
        self._exited: int | None = None
        self._job = Job(
            module=loaded.module,
            attribute=loaded.attribute,
            task_id=claim.task_id,
            attempt_id=claim.attempt_id,
            arguments=msgspec.json.decode(claim.arguments),
            storage=str(surroundings.storage),
            tokens=dict(claim.tokens),
            path=[os.path.abspath(folder) for folder in sys.path],
            scratch=scratch.folder_of(claim.attempt_id),
            until_s=0,
            fetching=surroundings.fetching,
            isolation=surroundings.isolation,
        )
        self._task = asyncio.create_task(self._run(), name=f"operation-{claim.task_id}")

    async def wait(self) -> Ended:
        """See `Run.wait`."""
        return await asyncio.shield(self._task)

    def cancel(self) -> None:
        """See `Run.cancel`."""
        self._is_cancelled = True
        self._tell(Command(cancel=True))
        self._end_before_job()

    def kill(self) -> None:
        """See `Run.kill`."""
        self._is_killed = True
        self._tell(Command(kill=True))
        self._end_before_job()
        if self._process is not None and self._last_resort is None:
            self._last_resort = asyncio.get_running_loop().call_later(_KILL_S, self._kill_guardian)

    def extend(self) -> None:
        """See `Run.extend`."""
        self._tell(Command(until_s=self._surroundings.lease.ends_at_s))

    def _tell(self, command: Command) -> None:
        if self._has_job and self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line(command))

    @property
    def _is_stopped(self) -> bool:
        return self._is_cancelled or self._is_killed

    def _end_before_job(self) -> None:
        if self._is_stopped and not self._has_job:
            self._kill_guardian()

    def _kill_guardian(self) -> None:
        if self._process is not None and self._exited is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _run(self) -> Ended:
        environment = allowed(os.environ, self._surroundings.environment)
        environment |= {TASK_ID: str(self._job.task_id), ATTEMPT_ID: str(self._job.attempt_id)}
        if self._traceparent is not None:
            environment[TRACEPARENT] = self._traceparent
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pulp_worker.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=_LINE_LIMIT,
                env=environment,
            )
        except OSError as error:
            return failed(ErrorCode.OPERATION_CRASHED, f"No process could be started for the operation: {error}")
        ended = None
        try:
            ended = await self._converse(process)
        except ValueError as error:
            ended = failed(
                ErrorCode.OPERATION_CRASHED, f"The process of the operation sent what no worker takes: {error}"
            )
        if self._exited is None:
            await self._end_unguarded(process)
        status = await process.wait()
        if self._last_resort is not None:
            self._last_resort.cancel()
        if ended is not None:
            return ended
        if self._is_killed:
            return raised(TaskCancelled())
        return _crashed(status if self._exited is None else self._exited)

    async def _converse(self, process: asyncio.subprocess.Process) -> Ended | None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._end_before_job()
        is_ready = await process.stdout.readline()
        if self._is_stopped:
            self._kill_guardian()
            self._exited = -signal.SIGKILL
            return raised(TaskCancelled())
        if is_ready:
            self._has_job = True
            process.stdin.write(line(replace(self._job, until_s=self._surroundings.lease.ends_at_s)))
        ended = None
        async for text in process.stdout:
            message = _message(text)
            progress = bytes(message.progress)
            if progress:
                self._reporter.report(progress)
            for printed in message.output:
                _printed.info("%s", printed, extra={"task_id": self._job.task_id})
            ended = ended or message.ended
            if message.exited is not None:
                self._exited = message.exited
                break
        return ended

    async def _end_unguarded(self, process: asyncio.subprocess.Process) -> None:
        """The guardian was killed or sent an invalid line: end what it would have ended."""
        _log.warning("a plain operation has lost its guardian", extra={"task_id": self._job.task_id})
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        while left := await asyncio.to_thread(marked, ATTEMPT_ID, str(self._job.attempt_id)):
            for pid in left:
                kill(pid)
            await asyncio.sleep(_PAUSE_S)
        await asyncio.to_thread(scratch.remove, self._job.scratch)


def _message(text: bytes) -> Message:
    try:
        return msgspec.json.decode(text, type=Message)
    except msgspec.DecodeError:
        return Message()  # the last line of a process that died while writing it


def _crashed(status: int) -> Ended:
    how = f"exited with status {status}"
    if status < 0:
        try:
            how = f"was killed by {signal.Signals(-status).name}"
        except ValueError:  # a real-time signal
            how = f"was killed by signal {-status}"
    text = f"The process of the operation {how} and left no result."
    if status == CHANNEL_LOST:
        text += " It had closed descriptors that it had not opened, and with them the way to its worker."
    return failed(ErrorCode.OPERATION_CRASHED, text)
