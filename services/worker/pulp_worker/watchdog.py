"""The worker's side of its watchdog, which is a script: `watchdog_script.py`."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Final

from pulp_worker import watchdog_script

_SIGNALS: Final = [str(int(each)) for each in (signal.SIGABRT, signal.SIGKILL)]


class Watchdog:
    """The process that ends the worker when its lease is over and none of its threads runs."""

    def __init__(self) -> None:
        self._told = _shared_file()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start watching, if it does not watch yet. An idle worker needs no watchdog, so it has no process for one."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog_script.__file__, str(self._told), *_SIGNALS, last_line()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[self._told],
                start_new_session=True,
            )

    def pulse(self, lease_ends_at_s: float) -> None:
        """The worker's threads run, and its lease ends then. From any thread."""
        with contextlib.suppress(OSError):
            os.pwrite(self._told, watchdog_script.DEADLINE.pack(max(lease_ends_at_s, time.monotonic())), 0)

    def close(self) -> None:
        """Stop watching."""
        told, self._told = self._told, -1  # the guard's thread may still write, and another file may get the number
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
        os.close(told)


def last_line() -> str:
    """What the script writes to the log before it ends this worker, in the format of its log.

    The time is `watchdog_script.EPOCH`, for the script to replace: it cannot load what formats a line.
    """
    record = logging.makeLogRecord(
        {
            "name": "pulp.worker",
            "levelno": logging.CRITICAL,
            "levelname": "CRITICAL",
            "created": 0.0,
            "msg": "watchdog: no thread of the worker runs, and its lease is over: it is ended",
            "worker_pid": os.getpid(),
        }
    )
    handlers = logging.getLogger().handlers
    return handlers[0].format(record) if handlers else record.getMessage()


def _shared_file() -> int:
    make = getattr(os, "memfd_create", None)  # only Linux has it
    if make is not None:
        return int(make("pulp-worker-lease"))
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
