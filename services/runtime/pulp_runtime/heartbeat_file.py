"""The file by which a process shows probes that it is at work.

It imports nothing but the standard library, so that a probe is fast.
"""

import contextlib
import errno
import os
import time
from typing import Final, NamedTuple, Self

STARTING: Final = "starting"
UP: Final = "up"
_LINE: Final = "{state:<10}{now_s:>20.3f}\n"
"""The line has a constant length, so that one write replaces the previous line: a reader sees one or the other, or at
first an empty file."""
_LONGEST: Final = 64


class Beat(NamedTuple):
    """The last heartbeat of a process."""

    is_up: bool
    age_s: float
    """By the machine's monotonic clock, so that setting the clock changes nothing."""

    @classmethod
    def read(cls, path: str) -> Self:
        """Raises `OSError` without a heartbeat yet, and `ValueError` if the file holds something else."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            line = os.read(descriptor, _LONGEST)
        finally:
            os.close(descriptor)
        if not line:
            raise FileNotFoundError(errno.ENOENT, "nothing has been written yet", path)
        state, at_s = line.decode("ascii").split()
        return cls(is_up=state == UP, age_s=time.monotonic() - float(at_s))


class HeartbeatFile:
    """A heartbeat file, open for writing."""

    def __init__(self, path: str) -> None:
        """Create the file, which no other user may write. Raises `OSError`, also for a symbolic link in its place."""
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def beat(self, state: str) -> None:
        """Record that the process is at work now. Raises `OSError`."""
        line = _LINE.format(state=state, now_s=time.monotonic())
        os.pwrite(self._descriptor, line.encode("ascii"), 0)

    def close(self) -> None:
        """Remove the file, since the process shuts down cleanly."""
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            os.unlink(self._path)
