"""Separates what async operations print and log, because they share their streams with the worker."""

import io
import logging
import sys
from typing import Any, TextIO

from pulp_worker.belongings import OWNER


class TaskFilter(logging.Filter):
    """Adds `task_id` to records that an operation logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything pass."""
        owner = OWNER.get()
        if owner is not None and not hasattr(record, "task_id"):
            record.task_id = owner.task_id
        return True


class Attributed(io.TextIOBase):
    """A stream whose text goes to the log, line by line, if an operation prints it; otherwise to the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """See `TextIO.write`."""
        owner = OWNER.get()
        if owner is None:
            return self._stream.write(text)
        owner.write(text)
        return len(text)

    def flush(self) -> None:
        """See `TextIO.flush`."""
        self._stream.flush()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """See `TextIO.fileno`: output written there has no task's id."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """See `TextIO.isatty`."""
        return self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def attribute_output() -> None:
    """From now on, what operations print or log in this process has their task's id."""
    sys.stdout, sys.stderr = Attributed(sys.stdout), Attributed(sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(TaskFilter())
