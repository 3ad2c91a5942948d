"""The garbage collector and the heap of a process that projects."""

import contextlib
import ctypes
import gc


def collect_seldom() -> None:
    """Let it look seldom for cycles, and not at what is there now. For the edge of a process: it holds for all of it.

    A batch is very many objects without a cycle among them: looking for one would take a third of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def give_back() -> None:
    """Give memory that is not in use back to the system. Elsewhere than on glibc it does nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
