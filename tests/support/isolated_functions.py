"""Functions for isolated processes: each misbehaves as a parser of a hostile document might."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from msgspec import Struct
from pulp_worker import LimitExceeded, OperationError

SECRET = "TOP-SECRET-TEXT"


class Point(Struct, frozen=True):
    """A value of a custom type."""

    x: int
    y: int


def moved(point: Point, by: int) -> Point:
    return Point(point.x + by, point.y + by)


def eats_memory() -> int:
    held = [bytes(10_000_000) + b"x" for _ in range(1000)]
    return len(held)


def eats_memory_at_once() -> int:
    return len(bytearray(1 << 40))


def aborts() -> None:
    """Fails like a C or Rust library out of memory."""
    print(SECRET, file=sys.stderr)
    os.abort()


def crashes() -> None:
    ctypes.string_at(0)


def spins() -> None:
    while True:
        pass


def ignores_the_end_of_its_time() -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    spins()


def sleeps(note: str) -> None:
    Path(note).write_text(str(os.getpid()))
    time.sleep(3600)


def says_much() -> bytes:
    return bytes(3_000_000)


def prints() -> str:
    print(SECRET)
    os.write(1, b"garbage")
    return "said"


def raises() -> None:
    raise ValueError(SECRET)


def refuses() -> None:
    raise OperationError("bad-list", "the list is none")


def limits() -> None:
    raise LimitExceeded("too many")


def panics() -> None:
    raise BaseException(SECRET)  # as pyo3 does


def exits() -> None:
    os._exit(3)


def answers_something_else() -> Any:
    return {"code": 1}


def has_environment() -> dict[str, str]:
    return dict(os.environ)


def leaves_a_process(note: str) -> str:
    """Leaves a child with the channel to the worker open."""
    pid = os.fork()
    if pid == 0:
        time.sleep(3600)
    Path(note).write_text(str(pid))
    return "said"


def fill_disk(path: str) -> None:
    """Write until the system refuses more."""
    with open(path, "wb") as file:
        while True:
            file.write(bytes(1 << 20))
