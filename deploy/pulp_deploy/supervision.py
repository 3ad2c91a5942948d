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
from pulp_deploy.log_pipes import LogPipes

BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0)
"""The pauses before a restart: they grow with every crash."""
STEADY_S: Final = 30.0
"""After running this long, a process restarts with the shortest pause."""
BRIEF_S: Final = 1.0
"""Repeated orderly ends after less time than this count as crashes, so that no process restarts in a tight loop."""

_log = logging.getLogger("pulp.stack")


class Supervised:
    """A process that is meant to run.

    `spawner` runs every start: an executor of one thread that lives as long as the stack, because on Linux a child
    dies with the thread that started it. `changed` is called after every start and end; what it raises is logged.
    """

    def __init__(self, command: Command, spawner: Executor, logs: LogPipes, changed: Callable[[], None]) -> None:
        self.command = command
        self.restarts = 0
        self._spawner = spawner
        self._logs = logs
        self._changed = changed
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at_s = 0.0
        self._wanted = threading.Event()
        self._given_up = threading.Event()
        self._watcher: threading.Thread | None = None
        self._restart = False
        self._tolerated: int | None = None
        self._was_brief = False
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def identity(self) -> Identity | None:
        """The running process, without waiting for a start in progress."""
        process = self._process
        if process is None or process.poll() is not None:
            return None
        try:
            return Identity.of(process.pid)
        except psutil.NoSuchProcess:
            return None

    def start(self) -> None:
        """Start it. Until `keep_running`, it is not restarted, and `check` reports its end."""
        with self._lock:
            if self._is_running():
                return
            self._wanted.set()
            self._given_up.clear()
            self._spawn()
            self._watch()

    def keep_running(self, tolerated: int | None = None) -> None:
        """Restart it from now on when it ends; `check` ignores the tolerated exit code."""
        with self._lock:
            self._restart = True
            self._tolerated = tolerated
            if self._wanted.is_set():
                self._watch()

    def check(self) -> None:
        """Raise `ProcessFailed` with the last lines of its log if it has ended."""
        process = self._process
        if process is not None and (code := process.poll()) not in (None, self._tolerated):
            self._logs.settle()
            raise ProcessFailed(
                f"{self.name} ended with exit code {code}; the last lines of {self.command.log}:\n"
                f"{tail(self.command.log)}",
                code,
            )

    def stop(self, timeout_s: float) -> None:
        """Stop it for good, with its stop signal, or by killing it after the timeout."""
        if (process := self._give_up()) is not None:
            stop(process, self.command.stop_signal, timeout_s)
            self._tell()

    def kill(self) -> None:
        """Kill it (SIGKILL) and leave it down until `start`."""
        if (process := self._give_up()) is not None:
            process.kill()
            process.wait()
            self._tell()

    def _give_up(self) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            self._wanted.clear()
            self._given_up.set()
            return self._process

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _spawn(self) -> None:
        output = self._logs.output(self.command.log)
        self._process = self._spawner.submit(spawn, self.command, output).result()
        self._started_at_s = time.monotonic()
        self._tell()

    def _watch(self) -> None:
        """Start watching it, with one thread for all restarts: later a new one might not start."""
        if self._watcher is None or not self._watcher.is_alive():
            self._watcher = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._watcher.start()

    def _run(self) -> None:
        while (process := self._process) is not None:
            code = process.wait()
            lived_s = time.monotonic() - self._started_at_s
            while self._goes_on(process):
                pause_s = self._pause_s(code, lived_s)
                if pause_s:
                    self._tell()
                if self._given_up.wait(pause_s) or self._starts_again(process):
                    break
                code, lived_s = _NOT_STARTED, 0.0
            with self._lock:
                if self._process is process:  # it should not run, or must not be restarted
                    self._watcher = None
                    break
        self._tell()

    def _goes_on(self, process: "subprocess.Popen[bytes]") -> bool:
        with self._lock:
            return self._restart and self._wanted.is_set() and self._process is process

    def _starts_again(self, process: "subprocess.Popen[bytes]") -> bool:
        """Start it; return whether nothing is left to do."""
        with self._lock:
            if not self._goes_on(process):
                return True
            try:
                self._spawn()
            except Exception as error:  # out of memory, descriptors, processes or threads: try again later
                _log.error("%s cannot be started", self.name, extra={"error": error})
                return False
            return True

    def _pause_s(self, code: int, lived_s: float) -> float:
        if lived_s >= STEADY_S:
            self.restarts = 0
        signum = int(self.command.stop_signal)
        is_orderly = code in (0, -signum, 128 + signum)  # Java exits with 128 + the signal
        is_brief = lived_s < BRIEF_S
        was_brief, self._was_brief = self._was_brief, is_brief
        if is_orderly and not (is_brief and was_brief):
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
        """A record of running processes that cannot be written must not stop any of them."""
        try:
            self._changed()
        except Exception as error:
            _log.error("the processes that run cannot be recorded", extra={"error": error})


_NOT_STARTED: Final = 1
