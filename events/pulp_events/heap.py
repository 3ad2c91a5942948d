"""The heap of a process, which the C library keeps."""

import contextlib
import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8  # mallopt(3), glibc


def share_one_heap() -> None:
    """Let all threads share one heap. Call it before there are any.

    glibc gives threads heaps of their own, and what one thread takes and another lets go of is room in none of the
    others: batches of records, which a thread reads and another writes, made a process twice as large. Elsewhere than
    on glibc it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Give memory that is not in use back to the system, some milliseconds' work. Elsewhere than on glibc nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
