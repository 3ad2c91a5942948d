"""One supervised process: started, watched, started again when it ends, stopped."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

import psutil

from pulp_deploy.errors import ProcessFailed
from pulp_deploy.local.processes import Command, Identity, spawn, stop, tail

BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0)
"""Between a crash and the next start: longer with every crash, but never long."""
STEADY_S: Final = 30.0
"""A process that ran for so long starts again with the shortest pause."""
BRIEF_S: Final = 1.0
"""An orderly end after less time counts as a crash: else it would be started for ever without a pause."""

_log = logging.getLogger("pulp.stack")


class Supervised:
    """A process that is meant to run.

    `spawner` runs every start: an executor of one thread that lives as long as the stack, because on Linux a child
    dies with the thread that started it. `changed` is called after every start and end; an OSError of it is logged.
    """

    def __init__(self, command: Command, spawner: Executor, changed: Callable[[], None]) -> None:
        self.command = command
        self.restarts = 0
        self._spawner = spawner
        self._changed = changed
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = threading.Event()
        self._given_up = threading.Event()
        self._restart = False
        self._tolerated: int | None = None
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def identity(self) -> Identity | None:
        """The process that runs now."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                return None
            try:
                return Identity.of(self._process.pid)
            except psutil.NoSuchProcess:
                return None

    def start(self) -> None:
        """Start it. Until `keep_running` its end is final, and `check` reports it."""
        with self._lock:
            if self.identity is not None:
                return
            self._wanted.set()
            self._given_up.clear()
            self._spawn()

    def keep_running(self, tolerated: int | None = None) -> None:
        """From now on start it again when it ends; `check` does not mind the tolerated exit code."""
        with self._lock:
            self._restart = True
            self._tolerated = tolerated
            if self._wanted.is_set() and self.identity is None:
                self._spawn()

    def check(self) -> None:
        """Raise `ProcessFailed` with the last lines of its log if it has ended."""
        process = self._process
        if process is not None and (code := process.poll()) not in (None, self._tolerated):
            raise ProcessFailed(
                f"{self.name} ended with exit code {code}; the last lines of {self.command.log}:\n"
                f"{tail(self.command.log)}",
                code,
            )

    def stop(self, timeout_s: float) -> None:
        """Stop it for good, with its own stop signal, then by killing it."""
        with self._lock:
            self._wanted.clear()
            self._given_up.set()
            process = self._process
        if process is not None:
            stop(process, self.command.stop_signal, timeout_s)
            self._tell()

    def kill(self) -> None:
        """Kill it (SIGKILL) and leave it dead until `start`."""
        with self._lock:
            self._wanted.clear()
            self._given_up.set()
            process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._tell()

    def _spawn(self) -> None:
        process = self._spawner.submit(spawn, self.command).result()
        self._process = process
        threading.Thread(target=self._watch, args=[process, time.monotonic()], name=self.name, daemon=True).start()
        self._tell()

    def _watch(self, process: "subprocess.Popen[bytes]", started: float) -> None:
        code = process.wait()
        lived_s = time.monotonic() - started
        while self._wanted.is_set() and self._restart:
            pause_s = self._pause_s(code, lived_s)
            if pause_s:
                self._tell()
            if self._given_up.wait(pause_s):
                break
            with self._lock:
                if not (self._wanted.is_set() and self._process is process):
                    break
                try:
                    self._spawn()
                except OSError as error:  # such as no memory: it may be there again
                    _log.error("%s cannot be started", self.name, extra={"error": error})
                else:
                    return
            lived_s = 0.0
        self._tell()

    def _pause_s(self, code: int, lived_s: float) -> float:
        if lived_s >= STEADY_S:
            self.restarts = 0
        signum = int(self.command.stop_signal)
        if code in (0, -signum, 128 + signum) and lived_s >= BRIEF_S:  # Java gives 128 + the signal
            _log.info("%s ended in order and starts again", self.name)
            return 0.0
        pause_s = BACKOFF_S[min(self.restarts, len(BACKOFF_S) - 1)]
        self.restarts += 1
        _log.warning(
            "%s ended and starts again in %g s",
            self.name,
            pause_s,
            extra={"exit_code": code, "log": str(self.command.log)},
        )
        return pause_s

    def _tell(self) -> None:
        """The record of what runs comes second: that it cannot be written must not keep anything from running."""
        try:
            self._changed()
        except OSError as error:
            _log.error("the processes that run cannot be recorded", extra={"error": error})
