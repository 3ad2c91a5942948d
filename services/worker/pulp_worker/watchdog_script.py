"""The watchdog of a worker: a separate process, which ends the worker if the worker cannot do so itself.

An async operation may keep the interpreter to itself (code in C that never releases it): then no thread of the worker
runs, and nothing notices that the lease has run out. A timer signal could, but signals belong to the operations.

It is run as a script, `python -I -S watchdog_script.py FILE ABORT KILL LINE`, with the numbers of a descriptor and of
signals, and the line for the log, in which `EPOCH` stands for the time. In the file the worker stores when its lease
ends, or the current time if it has ended, by the machine's monotonic clock: it writes after each renewal, and while the
lease has run out. The script wakes no more often than leases could end.

It imports little, since every worker has one: `signal`, `subprocess` and `contextlib` would increase its memory by two
thirds.
"""

import os
import select
import struct
import sys
import time

SLACK_S = 1.5
"""How long after the lease: later than the guard thread, which can report more, but before others get the resources."""
_ABORT_S = 0.5
EPOCH = "1970-01-01T00:00:00.000Z"
"""The placeholder for the time in the worker's line."""
DEADLINE = struct.Struct("d")


def main(worker: int, file: int, abort: int, kill: int, line: str) -> None:
    """Watch the worker until it closes the pipe, or is gone; the signals are for its end."""
    not_before_s = 0.0
    while True:
        due_s = max(_lease_ends_at_s(file) + SLACK_S, not_before_s)
        left_s = due_s - time.monotonic()
        if left_s > 0:
            if select.select([0], [], [], left_s)[0]:
                return
        elif _is_stopped(worker):
            not_before_s = time.monotonic() + SLACK_S
        else:
            _end(worker, abort, kill, line)
            return


def _lease_ends_at_s(file: int) -> float:
    [ends_at_s] = DEADLINE.unpack(os.pread(file, DEADLINE.size, 0))
    return float(ends_at_s)


def _end(worker: int, abort: int, kill: int, line: str) -> None:
    now_s = time.time()
    at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s * 1000) % 1000:03}Z"
    sys.stderr.write(line.replace(EPOCH, at) + "\n")
    sys.stderr.flush()
    try:
        os.kill(worker, abort)  # makes it print where it is, for which it needs no interpreter
        select.select([0], [], [], _ABORT_S)  # readable when it is gone
        os.kill(worker, kill)
    except ProcessLookupError:
        pass


def _is_stopped(worker: int) -> bool:
    """Whether a signal or a debugger has stopped the whole process: it does nothing, and checks its lease later."""
    try:
        with open(f"/proc/{worker}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False


if __name__ == "__main__":
    main(os.getppid(), int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
