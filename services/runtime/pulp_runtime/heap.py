"""The heap of a process, which the C library keeps."""

import contextlib
import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8  # mallopt(3), glibc
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 262_144


def keep_heap_small() -> None:
    """Let all threads share one heap, without large blocks. Call it before there are threads.

    glibc gives threads heaps of their own, and what one thread takes and another lets go of is room in none of the
    others: batches of records, which a thread reads and another writes, made a process twice as large. A large block
    has pages of its own only until the first one is freed; from then on such blocks lie in the heap, and small ones
    between them keep the heap from shrinking. Elsewhere than on glibc it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Give memory that is not in use back to the system, some milliseconds' work. Elsewhere than on glibc nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
