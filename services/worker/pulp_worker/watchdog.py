"""The watchdog of a worker: a process of its own, which ends the worker when that cannot do it itself.

An async operation may keep the interpreter to itself (code in C that never gives it back): then no thread of the worker
runs, and nobody there sees that the lease has run out. A timer signal would do, but signals belong to the operations.

It is run as a script: `python -I -S watchdog.py`. The worker writes to its standard input, while its threads run, when
its lease ends by the machine's monotonic clock.
"""

import contextlib
import os
import select
import signal
import struct
import subprocess
import sys
import time

SLACK_S = 1.5
"""After the lease: later than the guard thread, which can say more, and before anybody takes the resources."""
_ABORT_S = 0.5
_DEADLINE = struct.Struct("d")


class Watchdog:
    """The worker's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin.fileno()
        os.set_blocking(self._pipe, False)

    def pulse(self, lease_ends_at_s: float) -> None:
        """The worker's threads run, and its lease ends then."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, _DEADLINE.pack(lease_ends_at_s))

    def close(self) -> None:
        """Nothing has to be watched any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main(worker: int) -> None:
    """Watch the worker until it closes the pipe, or is gone."""
    due_s = float("inf")
    while True:
        left_s = due_s - time.monotonic()
        if select.select([0], [], [], min(max(0.0, left_s), 3600.0))[0]:
            received = os.read(0, 1 << 16)
            if not received:
                return
            [lease_ends_at_s] = _DEADLINE.unpack(received[-_DEADLINE.size :])  # each was one small write
            due_s = max(lease_ends_at_s, time.monotonic()) + SLACK_S
        elif time.monotonic() < due_s:
            continue
        elif _is_stopped(worker):
            due_s = time.monotonic() + SLACK_S
        else:
            _end(worker)
            return


def _end(worker: int) -> None:
    sys.stderr.write(f"watchdog: no thread of worker {worker} runs, and its lease is over: it is ended\n")
    sys.stderr.flush()
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGABRT)  # has it print where it is, which needs no interpreter
        select.select([0], [], [], _ABORT_S)  # readable when it is gone
        os.kill(worker, signal.SIGKILL)


def _is_stopped(worker: int) -> bool:
    """Whether the process as a whole is held by a signal or a debugger: it does nothing, and sees to itself later."""
    try:
        with open(f"/proc/{worker}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False


if __name__ == "__main__":
    main(os.getppid())
