"""The child process that runs one plain function: `python -m pulp_worker.child`.

It speaks lines of JSON: the job and then `{"cancel": true}` come on standard input; progress and the end go to what
standard output was when it started. What the operation itself prints goes to standard error.
"""

import ctypes
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from pulp_worker.outcome import Ended, raised, succeeded
from pulp_worker.sdk import Context, Operation

_PR_SET_PDEATHSIG = 1


class Job(Struct):
    """What the child is to run."""

    module: str
    attribute: str
    task_id: UUID
    attempt_id: UUID
    arguments: dict[str, Any]
    storage: str
    tokens: dict[str, int]


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
    job = msgspec.json.decode(commands.readline(), type=Job)
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            channel.write(msgspec.json.encode(message) + b"\n")

    context = Context(
        task_id=job.task_id,
        attempt_id=job.attempt_id,
        arguments=job.arguments,
        storage=Path(job.storage),
        tokens=job.tokens,
        send=lambda progress: send(Message(progress=Raw(progress))),
    )
    threading.Thread(target=_obey, args=(commands, context), daemon=True).start()
    send(Message(ended=_run(job, context)))
    channel.close()
    os._exit(0)  # threads that the operation left behind do not keep the task alive


def _run(job: Job, context: Context) -> Ended:
    try:
        operation = getattr(import_module(job.module), job.attribute)
        assert isinstance(operation, Operation)
        return succeeded(operation.function(context))
    except BaseException as error:  # the edge of this process: also SystemExit ends the task, not the worker
        return raised(error)


def _obey(commands: BinaryIO, context: Context) -> None:
    for _ in commands:
        context.cancel()
    os.killpg(os.getpgid(0), signal.SIGKILL)  # end of input: the worker is gone, and so are we


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)


if __name__ == "__main__":
    main()
