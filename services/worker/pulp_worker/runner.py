"""The process in which a plain operation runs. Everything here belongs to the operation, except one descriptor."""

import atexit
import contextlib
import fcntl
import importlib
import logging
import os
import select
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final, Never, TextIO

from msgspec import Raw

from pulp_worker.descendants import die_with_parent
from pulp_worker.forked import flush, leave_forked
from pulp_worker.messages import CHANNEL_LOST, Job, Message, line
from pulp_worker.outcome import Ended, raised, succeeded
from pulp_worker.returning import returned
from pulp_worker.sdk import Context, Operation

LEAST_DESCRIPTOR: Final = 64
"""Above the numbers of descriptors that a program usually gets, and may close or replace."""
_SET_BY_PYTHON: Final = {signal.SIGPIPE, signal.SIGXFSZ}
_CHATTY: Final = ("httpx", "asyncio")


class Channel:
    """The way to the guardian. Processes that are forked from this one lose it, and programs do not inherit it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LEAST_DESCRIPTOR)
        os.close(descriptor)
        self._identity = _identity(self._descriptor)
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._is_sending = False
        os.register_at_fork(after_in_child=self._close)

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that created the channel."""
        return os.getpid() == self._pid

    def send(self, message: Message) -> None:
        """Raises `RuntimeError` in a forked process, or if the operation has closed the descriptor."""
        if not self.is_ours:
            raise RuntimeError(
                "this process was forked from the operation's own: only that one can report, so let it collect what"
                " there is to tell"
            )
        with self._lock:
            if self._is_sending:
                return  # a signal handler that reports while a report is sent
            if _identity(self._descriptor) != self._identity:
                raise RuntimeError("the operation has closed a descriptor that is not its own: the way to its worker")
            self._is_sending = True
            try:
                # On a separate line, whatever the operation may have written there.
                rest = memoryview(b"\n" + line(message))
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            finally:
                self._is_sending = False

    def is_asked_to_stop(self) -> bool:
        """Whether the guardian has passed a cancel on."""
        if not self.is_ours or _identity(self._descriptor) != self._identity:
            return False
        asked = select.poll()
        asked.register(self._descriptor, select.POLLIN)
        return bool(asked.poll(0))

    def _close(self) -> None:
        if _identity(self._descriptor) == self._identity:
            os.close(self._descriptor)


def run(job: Job, descriptor: int, output: int) -> Never:
    """Become the operation's process: run it, report how it ended, and exit."""
    guardian = os.getppid()
    os.setsid()
    die_with_parent(signal.SIGKILL)
    if os.getppid() != guardian:
        os._exit(1)
    _arrange(job, output)
    channel = Channel(descriptor)
    context: Context[Any] = Context(
        task_id=job.task_id,
        attempt_id=job.attempt_id,
        arguments=job.arguments,
        storage=Path(job.storage),
        tokens=job.tokens,
        send=lambda progress: channel.send(Message(progress=Raw(progress))),
        is_asked=channel.is_asked_to_stop,
        fetching=job.fetching,
        isolation=job.isolation,
    )
    try:
        ended = _run(job, context)
    except BaseException as error:  # SystemExit, too, ends the task, not the worker
        if not channel.is_ours:
            leave_forked(error)
        ended = raised(error)
    if not channel.is_ours:
        leave_forked(None)
    flush()
    try:
        channel.send(Message(ended=ended))
    except (RuntimeError, OSError):
        os._exit(CHANNEL_LOST)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    flush()
    os._exit(0)  # threads that the operation left behind do not keep the task alive


def _run(job: Job, context: Context[Any]) -> Ended:
    operation = getattr(importlib.import_module(job.module), job.attribute)
    assert isinstance(operation, Operation)
    context.check_cancelled()  # the imports may have taken long
    return succeeded(returned(operation.call(context)))


def _arrange(job: Job, output: int) -> None:
    """Set up the operation's surroundings; docs/operate/operations.md promises each of these."""
    for public in (1, 2):
        os.dup2(output, public)
    os.close(output)
    for signum in signal.valid_signals() - _SET_BY_PYTHON:
        if signal.getsignal(signum) is signal.SIG_IGN:  # set by the program that started the worker, such as `nohup`
            signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir(job.scratch)
    os.environ["TMPDIR"] = job.scratch
    tempfile.tempdir = None  # its old value may be cached
    sys.path[:] = [*job.path, *(folder for folder in sys.path if folder not in job.path)]
    sys.argv[:] = [job.attribute]
    sys.stdout, sys.stderr = _lines_to(1), _lines_to(2)
    level = logging.getLevelNamesMapping().get(os.environ.get("PULP_LOG_LEVEL", "").upper(), logging.INFO)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _lines_to(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino
