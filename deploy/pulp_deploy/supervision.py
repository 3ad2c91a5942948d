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

BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S: Final = 60.0
"""A process that ran for so long starts again with the shortest pause."""

_log = logging.getLogger("pulp.stack")


class Supervised:
    """A process that is meant to run.

    `spawner` runs every start: an executor of one thread that lives as long as the stack, because on Linux a child
    dies with the thread that started it. `changed` is called after every start and end.
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
            self._changed()

    def kill(self) -> None:
        """Kill it (SIGKILL) and leave it dead until `start`."""
        with self._lock:
            self._wanted.clear()
            self._given_up.set()
            process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._changed()

    def _spawn(self) -> None:
        process = self._spawner.submit(spawn, self.command).result()
        self._process = process
        threading.Thread(target=self._watch, args=[process, time.monotonic()], name=self.name, daemon=True).start()
        self._changed()

    def _watch(self, process: "subprocess.Popen[bytes]", started: float) -> None:
        code = process.wait()
        self._changed()
        if not (self._wanted.is_set() and self._restart):
            return
        if time.monotonic() - started >= STEADY_S:
            self.restarts = 0
        pause_s = BACKOFF_S[min(self.restarts, len(BACKOFF_S) - 1)]
        self.restarts += 1
        _log.warning(
            "%s ended with exit code %d, starts again in %g s: see %s", self.name, code, pause_s, self.command.log
        )
        if self._given_up.wait(pause_s):
            return
        with self._lock:
            if self._wanted.is_set() and self._process is process:
                self._spawn()
