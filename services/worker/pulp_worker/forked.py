"""The end of a process that an operation has forked and that returns from the operation."""

import contextlib
import os
import sys
import traceback
from typing import Never


def leave_forked(error: BaseException | None) -> Never:
    """End this process like a program that has reached its end, or that fails with the error."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    flush()
    os._exit(status & 0xFF)


def flush() -> None:
    """Write what was printed and is still buffered."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # the operation may have put anything there, or closed it
            stream.flush()  # type: ignore[union-attr]  # may be None
