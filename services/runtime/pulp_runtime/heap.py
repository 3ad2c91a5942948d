"""Tuning of the C library's heap."""

import contextlib
import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8  # mallopt(3), glibc
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 524_288  # above the 262,144 that asyncio allocates per read: those must not be mapped one by one


def keep_heap_small() -> None:
    """Make all threads share one heap, without large blocks. Call it before any thread starts. Only for glibc.

    glibc gives each thread an arena, and no other thread can use memory from it, even once it is free: batches of
    records, read by one thread and written by another, made a process twice as large. Large blocks get their own pages
    only until the first one is freed; later ones are in the heap, where small blocks keep it from shrinking.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return unused memory to the system, which takes some milliseconds. Only for glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
