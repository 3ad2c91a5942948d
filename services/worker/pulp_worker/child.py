"""The child process that runs one plain function: `python -m pulp_worker.child`.

It speaks lines of JSON: the job and then commands come on standard input; progress and the end go to what standard
output was when it started. What the operation itself prints goes to standard error.

It ends when the worker's lease runs out or the worker is gone, also where the worker cannot see to that itself.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from pulp_worker.outcome import Ended, raised, succeeded
from pulp_worker.sdk import Context, Operation

_PR_SET_PDEATHSIG = 1
_BLOCKED_S = 0.5


class Job(Struct):
    """What the child is to run, and until when it may: `until_s` is of the machine's monotonic clock."""

    module: str
    attribute: str
    task_id: UUID
    attempt_id: UUID
    arguments: dict[str, Any]
    storage: str
    tokens: dict[str, int]
    until_s: float


class Command(Struct, omit_defaults=True):
    """What the worker tells the child: somebody asked the task to stop, or the lease was renewed."""

    cancel: bool = False
    until_s: float | None = None


class Message(Struct, omit_defaults=True):
    """What the child says: how far it is, or how it ended."""

    progress: Raw = Raw()
    ended: Ended | None = None


def main() -> None:
    """Run the job that comes on standard input, then end."""
    _die_with_parent()
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    commands = sys.stdin.buffer
    first = commands.readline()
    if not first:
        return  # the worker went away before it said what to do
    job = msgspec.json.decode(first, type=Job)
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            rest = memoryview(msgspec.json.encode(message) + b"\n")
            while rest:
                rest = rest[channel.write(rest) :]

    context: Context[Any] = Context(
        task_id=job.task_id,
        attempt_id=job.attempt_id,
        arguments=job.arguments,
        storage=Path(job.storage),
        tokens=job.tokens,
        send=lambda progress: send(Message(progress=Raw(progress))),
    )
    deadline = _Deadline(job.until_s)
    threading.Thread(target=_obey, args=(commands, context, deadline), daemon=True).start()
    ended = _run(job, context)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # before the end is said: the worker then kills what is left of this process group
    send(Message(ended=ended))
    os._exit(0)  # threads that the operation left behind do not keep the task alive


def _run(job: Job, context: Context) -> Ended:
    try:
        operation = getattr(import_module(job.module), job.attribute)
        assert isinstance(operation, Operation)
        return succeeded(operation.call(context))
    except BaseException as error:  # the edge of this process: also SystemExit ends the task, not the worker
        return raised(error)


class _Deadline:
    """Kills this process group when the lease runs out."""

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s
        self.extend(until_s)
        threading.Thread(target=self._watch, daemon=True).start()

    def extend(self, until_s: float) -> None:
        """The lease was renewed."""
        self._until_s = until_s
        # Behind the thread, for code that never lets go of the interpreter: the signal's default action ends it.
        signal.setitimer(signal.ITIMER_REAL, max(0.001, until_s - time.monotonic() + _BLOCKED_S))

    def _watch(self) -> None:
        while (left_s := self._until_s - time.monotonic()) > 0:
            time.sleep(left_s)
        _die()


def _obey(commands: BinaryIO, context: Context, deadline: _Deadline) -> None:
    for line in commands:
        command = msgspec.json.decode(line, type=Command)
        if command.until_s is not None:
            deadline.extend(command.until_s)
        if command.cancel:
            context.cancel()
    _die()  # end of input: the worker is gone


def _die() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
