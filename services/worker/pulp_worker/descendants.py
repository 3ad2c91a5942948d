"""Processes and their descendants on Linux. On other systems it finds and adopts none."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PROC: Final = Path("/proc")


def die_with_parent(signum: signal.Signals) -> None:
    """This process gets the signal when its parent ends. Check afterwards whether that has already happened."""
    _prctl(_PR_SET_PDEATHSIG, signum)


def adopt_orphans() -> None:
    """Descendants of this process whose parents end become its children, whatever session they are in."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children_of(parent: int) -> list[int]:
    """Its direct children that are not dead yet."""
    return [pid for pid, ppid in _living() if ppid == parent]


def tree_of(root: int) -> list[int]:
    """The process, if it lives, and its descendants: parents before children."""
    parents = dict(_living())
    found = [root] if root in parents else []
    for pid in found:  # grows during the iteration
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def marked(name: str, value: str) -> list[int]:
    """All living processes that were started with this variable in their environment, other than this one."""
    wanted = f"{name}={value}".encode()
    return [pid for pid, _ in _living() if pid != os.getpid() and wanted in _environment(pid)]


def kill(pid: int) -> None:
    """End a process, if it exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _living() -> Iterator[tuple[int, int]]:
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():
        if name.isdigit():
            with contextlib.suppress(OSError):
                # The name is in parentheses, and may contain anything.
                state, ppid = (_PROC / name / "stat").read_bytes().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    yield int(name), int(ppid)


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
