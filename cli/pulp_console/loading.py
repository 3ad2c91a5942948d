"""Ctrl-C while a command's modules are still loading. Imports only the standard library."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

from pulp_console.exits import INTERRUPTED


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Within the block, Ctrl-C ends the process at once, with its usual code and without a traceback.

    An exception would not do: whatever is being imported may catch it. A process that was told to ignore Ctrl-C goes on
    ignoring it.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _leave)
    yield
    signal.signal(signal.SIGINT, before)


def _leave(_number: int, _frame: FrameType | None) -> Never:
    os._exit(INTERRUPTED)  # nothing has been written yet
