"""Child processes that end with their parent, and the identity by which one is found again."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Final, NamedTuple

import psutil

from pulp_deploy.errors import NotOurs
from pulp_deploy.files import open_file
from pulp_deploy.local.accounts import Account
from pulp_deploy.local.surroundings import for_servers
from pulp_deploy.log_files import for_people

_LAUNCH: Final = Path(__file__).with_name("launch.py")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_SAME_S: Final = 0.05
_JAVA_FRAME: Final = re.compile(r"\s+(at \S+\(|\.\.\. \d+ more)")


class Identity(NamedTuple):
    """Identifies one process for certain: a pid alone may be reused."""

    pid: int
    started: float
    """Seconds after the boot, unaffected by clock changes; if `boot` is empty, psutil's create_time."""
    boot: str = ""
    """The system's id of this boot; empty where it has none."""

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The process that has this pid now; raises psutil.NoSuchProcess."""
        boot = _boot()
        return cls(pid, _started_s(pid) if boot else psutil.Process(pid).create_time(), boot)

    @property
    def since(self) -> datetime:
        """When it started, by the current clock."""
        if not self.boot:
            return datetime.fromtimestamp(self.started, UTC)
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - self.started
        return datetime.fromtimestamp(round(time.time() - age_s), UTC)

    def process(self) -> psutil.Process | None:
        """The process, if it still runs under one of our accounts."""
        try:
            process = psutil.Process(self.pid)
            alive = self._is_current(process) and process.status() != psutil.STATUS_ZOMBIE
            is_ours = alive and os.geteuid() in (0, process.uids().real)
        except psutil.NoSuchProcess:
            return None
        return process if is_ours else None

    def _is_current(self, process: psutil.Process) -> bool:
        if self.boot:
            return self.boot == _boot() and abs(_started_s(self.pid) - self.started) < _TICK_S / 2
        return abs(process.create_time() - self.started) < _SAME_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run, and where its output goes (appended)."""

    name: str
    arguments: Sequence[str]
    """The first one is an absolute path."""
    log: Path
    environment: Mapping[str, str] = field(default_factory=lambda: for_servers(os.environ))
    """The complete environment: nothing is inherited."""
    folder: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """The signal that it gets when we die (on Linux). All our processes survive SIGKILL."""


@cache
def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # not Linux
        return ""


def _started_s(pid: int) -> float:
    """Seconds between the boot and the start of the process, by the kernel; raises psutil.NoSuchProcess."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    return int(text.rpartition(")")[2].split()[19]) * _TICK_S


def spawn(command: Command, output: IO[bytes] | int) -> "subprocess.Popen[bytes]":
    """Start it in a process group of its own, so that a terminal's Ctrl-C reaches the supervisor alone.

    What it writes goes to `output`. On Linux it gets its death signal when the calling *thread* ends: call it from a
    thread that lives as long.
    """
    account = ["-", "-"] if command.account is None else [str(number) for number in command.account[:2]]
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), str(int(command.death_signal)), *account]
    return subprocess.Popen(
        [*launcher, *command.arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=command.folder,
        env=dict(command.environment),
        process_group=0,
    )


def open_log(log: Path) -> IO[bytes]:
    """A log opened for appending, readable by its owner alone, whatever the umask. Raises `NotOurs`."""
    return os.fdopen(open_file(log, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b")


def stop(process: "subprocess.Popen[bytes]", signum: signal.Signals, timeout_s: float) -> int:
    """Ask it to stop, kill it after the timeout; return its exit code."""
    if process.poll() is None:
        process.send_signal(signum)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def end_leftover(identity: Identity, timeout_s: float = 10.0) -> bool:
    """End a process of an earlier run, if it is still the same process; return whether it was."""
    process = identity.process()
    if process is None:
        return False
    try:
        process.terminate()
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(timeout_s)
    except psutil.NoSuchProcess:
        pass
    return True


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log without stack traces, which would hide their causes."""
    try:
        with os.fdopen(open_file(log, os.O_RDONLY), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65_536))
            text = file.read().decode(errors="replace")
    except (OSError, NotOurs):
        return "(no output)"
    told = [for_people(line)[0] for line in text.splitlines() if not _JAVA_FRAME.match(line)]
    return "\n".join(told[-lines:]) or "(no output)"
