"""The logs of a stack, seen from its supervisor: a pipe for each process, and the one process that reads them all."""

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from pulp_deploy.local.log_writer import DONE
from pulp_deploy.local.surroundings import for_python

_ANSWER_S: Final = 2.0
_END_S: Final = 5.0
_PIPE_BYTES: Final = 1 << 20
"""How much fits in a pipe while the reader restarts."""
_log = logging.getLogger("pulp.stack")


class LogPipes:
    """The pipe of each log: it survives restarts of the writing and of the reading process."""

    def __init__(self) -> None:
        self._pipes: dict[Path, tuple[int, int]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def output(self, log: Path) -> int:
        """The descriptor that a process writes its log to."""
        with self._lock:
            if log not in self._pipes:
                self._pipes[log] = _pipe()
                if self._is_reading():
                    self._send(log)
            self._read_on()
            return self._pipes[log][1]

    def look_after(self) -> None:
        """Restart the reading process if it has ended; a failure is logged and retried next time."""
        with self._lock:
            self._read_on()

    def settle(self) -> None:
        """Wait a short time until everything written so far is in the files."""
        with self._lock:
            if self._is_reading():
                self._request(b"settle", [])

    def close(self) -> None:
        """Let the reading process end after it has written everything."""
        with self._lock:
            self._is_closed = True
            self._hang_up()
            for pipe in self._pipes.values():
                for each in pipe:
                    os.close(each)
            self._pipes.clear()
            if self._process is not None:
                try:
                    self._process.wait(_END_S)
                except subprocess.TimeoutExpired:  # a leftover process of a task still has a pipe open
                    self._process.kill()
                    self._process.wait()

    def _is_reading(self) -> bool:
        return self._control is not None and self._process is not None and self._process.poll() is None

    def _read_on(self) -> None:
        if self._is_reading() or self._is_closed or not self._pipes:
            return
        self._hang_up()
        try:
            self._start()
            for log in self._pipes:
                self._send(log)
        except OSError as error:  # out of memory or descriptors: output waits in the pipes
            _log.error("the logs cannot be written", extra={"error": error})

    def _start(self) -> None:
        ours, its = socket.socketpair()
        with its:
            ours.settimeout(_ANSWER_S)
            self._control = ours
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pulp_deploy.local.log_writer", str(its.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                env=for_python(os.environ),
                process_group=0,
            )

    def _send(self, log: Path) -> None:
        self._request(os.fsencode(log), [self._pipes[log][0]])

    def _request(self, text: bytes, pipes: list[int]) -> None:
        assert self._control is not None
        try:
            socket.send_fds(self._control, [text], pipes)
            if self._control.recv(len(DONE)) == DONE:
                return
        except OSError:
            pass
        self._give_up()

    def _give_up(self) -> None:
        """It hangs or has ended: replace it."""
        self._hang_up()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _hang_up(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    with suppress(ImportError, AttributeError, OSError):  # only on Linux, and within this user's limit
        import fcntl

        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return reading, writing
