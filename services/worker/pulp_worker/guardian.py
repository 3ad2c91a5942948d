"""The guardian of a plain operation: it watches the operation's process from outside, and ends whatever is left of it.

It runs no code of the operation, so it can do what that process cannot: enforce the lease even if the interpreter is
never released, report a crash, and kill detached processes of the operation.
"""

import contextlib
import math
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Final

import msgspec

from pulp_worker.descendants import children_of, kill
from pulp_worker.messages import END_OF_RUN, Command, Job, Message, line
from pulp_worker.output import OutputLines
from pulp_worker.scratch import remove

EXIT_GRACE_S: Final = 2.0
"""The time for what an operation has registered with `atexit`, once its end is known."""
_MOST_UNSENT: Final = 1 << 20
"""While the worker does not read, the guardian reads at most this much from the operation."""
_PIECE: Final = 1 << 16
_LONGEST_WAIT_S: Final = 60.0
_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.5


class Guardian:
    """Between the worker (`commands`, `messages`) and the operation's process (`channel`, `printed`): descriptors."""

    def __init__(self, job: Job, runner: int, commands: int, messages: int, channel: int, printed: int) -> None:
        self._job = job
        self._runner = runner
        self._messages, self._channel = messages, channel
        self._woken, waking = os.pipe()
        self._sources: dict[int, Callable[[bytes], None]] = {
            commands: self._obey,
            channel: self._hear,
            printed: self._print,
            self._woken: lambda _: None,
        }
        """Descriptor to read → the handler of its data; an empty read is the end."""
        self._of_operation = (channel, printed)
        for descriptor in (*self._sources, messages, waking):
            os.set_blocking(descriptor, False)
        self._until_s = job.until_s
        self._exits_by_s = math.inf
        self._status: int | None = None
        self._asked, self._told = b"", b""
        """Input from the worker and the operation that is not a complete line yet."""
        self._unsent = bytearray()
        self._output = OutputLines()
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(signum, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._kill())  # the worker is gone
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)

    def watch(self, commands: bytes) -> None:
        """Returns when no process of the operation is left and the worker has been told.

        `commands` is what the worker has already sent.
        """
        if commands:
            self._obey(commands)
        self._reap()
        while self._status is None:
            self._step()
        self._end_all()
        for descriptor in self._of_operation:
            while self._read(descriptor):
                pass
        self._say(self._output.end())
        remove(self._job.scratch)
        self._unsent += line(Message(exited=self._status))
        os.set_blocking(self._messages, True)
        while self._unsent:
            self._send()

    def _step(self) -> None:
        """Wait for an event, and handle it."""
        is_full = len(self._unsent) > _MOST_UNSENT
        reading = [source for source in self._sources if not (is_full and source in self._of_operation)]
        left_s = min(self._until_s, self._exits_by_s) - time.monotonic()
        writing = [self._messages] if self._unsent else []
        ready, writable, _ = select.select(reading, writing, [], min(max(0.0, left_s), _LONGEST_WAIT_S))
        for source in ready:
            self._read(source)
        if writable:
            self._send()
        self._reap()
        if time.monotonic() >= min(self._until_s, self._exits_by_s):
            self._kill()
            self._until_s = self._exits_by_s = math.inf

    def _read(self, source: int) -> bool:
        """Whether anything was read."""
        take = self._sources.get(source)
        if take is None:
            return False
        try:
            received = os.read(source, _PIECE)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            received = b""
        if not received:
            del self._sources[source]
        take(received)
        return bool(received)

    def _obey(self, received: bytes) -> None:
        if not received:  # the worker is gone
            self._kill()
        *lines, self._asked = (self._asked + received).split(b"\n")
        for text in lines:
            command = msgspec.json.decode(text, type=Command)
            if command.until_s is not None:
                self._until_s = command.until_s
            if command.cancel:
                with contextlib.suppress(OSError):
                    os.write(self._channel, b"!")
            if command.kill:
                self._kill()

    def _hear(self, received: bytes) -> None:
        *lines, self._told = (self._told + received).split(b"\n")
        for text in lines:
            self._unsent += text + b"\n" if text else b""
            if text.startswith(END_OF_RUN):
                self._exits_by_s = time.monotonic() + EXIT_GRACE_S

    def _print(self, received: bytes) -> None:
        self._say(self._output.feed(received))

    def _say(self, lines: list[str]) -> None:
        if lines:
            self._unsent += line(Message(output=tuple(lines)))

    def _send(self) -> None:
        try:
            del self._unsent[: os.write(self._messages, self._unsent[:_PIECE])]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # the worker is gone
            self._unsent.clear()

    def _reap(self) -> bool:
        """Whether any processes are left. Orphans are children of this process as well."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == self._runner:
                self._status = os.waitstatus_to_exitcode(status)
            if pid == 0:
                return True

    def _kill(self) -> None:
        if self._status is None:
            kill(self._runner)

    def _end_all(self) -> None:
        """Kill the remaining processes. Their children become children of this process, and are killed next."""
        pause_s = _PAUSE_S
        while self._reap():
            for child in children_of(os.getpid()):
                kill(child)
            select.select([self._woken], [], [], pause_s)
            self._read(self._woken)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
