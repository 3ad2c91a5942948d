"""The file by which a process says that it is at work, for whoever asks from outside.

It needs nothing but Python: a probe that reads it takes as long as Python takes to start.
"""

import contextlib
import errno
import os
import time
from typing import Final, NamedTuple, Self

STARTING: Final = "starting"
UP: Final = "up"
_LINE: Final = "{state:<10}{now_s:>20.3f}\n"
"""Always as long: one small write replaces the one before, and a reader sees either, or an empty file at first."""
_LONGEST: Final = 64


class Beat(NamedTuple):
    """What a process said last."""

    is_up: bool
    age_s: float
    """By the machine's monotonic clock: a clock that is set meanwhile changes nothing."""

    @classmethod
    def read(cls, path: str) -> Self:
        """Raises `OSError` if nobody has written one yet, `ValueError` if the file is not of a heartbeat."""
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
    """The writer's side."""

    def __init__(self, path: str) -> None:
        """Makes the file, which nobody else may write; raises `OSError`. A link in its place is refused."""
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def beat(self, state: str) -> None:
        """Say that the process is at work now. Raises `OSError`."""
        line = _LINE.format(state=state, now_s=time.monotonic())
        os.pwrite(self._descriptor, line.encode("ascii"), 0)

    def close(self) -> None:
        """Remove the file: the process ends in order."""
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            os.unlink(self._path)
