"""The heartbeat of a process: a file that shows that its event loop runs."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Final, Never, Self

from pulp_events.settings import SettingsError

from pulp_runtime.heartbeat_file import STARTING, UP, HeartbeatFile

_PERIOD_S: Final = 2.0
_log = logging.getLogger("pulp")


class Heartbeat:
    """An async context in which the file is written every two seconds. Without a path it does nothing.

    It covers this process alone, not Kafka or Postgres, since restarting the process would help neither. Entering it
    raises `SettingsError` if the file cannot be created.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._state = STARTING
        self._file: HeartbeatFile | None = None
        self._task: asyncio.Task[Never] | None = None

    async def __aenter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = HeartbeatFile(str(self._path))
                self._file.beat(self._state)
            except OSError as error:
                raise SettingsError(f"PULP_HEARTBEAT={self._path}: the file cannot be written: {error}") from error
            self._task = asyncio.create_task(self._beat(self._file))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None and self._file is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._file.close()

    def up(self) -> None:
        """Report that the process has started and is at work."""
        self._state = UP
        if self._file is not None:
            self._write(self._file)

    async def _beat(self, file: HeartbeatFile) -> Never:
        while True:
            await asyncio.sleep(_PERIOD_S)
            self._write(file)

    def _write(self, file: HeartbeatFile) -> None:
        try:
            file.beat(self._state)
        except OSError as error:  # its readers see that it is old
            _log.warning("the heartbeat cannot be written: %s", error, extra={"file": str(self._path)})
