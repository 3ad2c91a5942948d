"""Child processes that end with their parent, and the identity by which one is found again."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

import psutil

_LAUNCH: Final = Path(__file__).with_name("launch.py")


class Account(NamedTuple):
    """A user and its group, by number, and the user's name."""

    user: int
    group: int
    name: str


class Identity(NamedTuple):
    """A process for certain: a pid alone is given again to another process."""

    pid: int
    started: float
    """As psutil's create_time: seconds since 1970."""

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The process that has this pid now; raises psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            alive = abs(process.create_time() - self.started) < 0.05 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run, and where its output goes (appended)."""

    name: str
    arguments: Sequence[str]
    """The first one is an absolute path."""
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """In addition to our own."""
    folder: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What it gets when we die ourselves (on Linux). What runs here is made to survive being killed."""


def spawn(command: Command) -> "subprocess.Popen[bytes]":
    """Start it in a process group of its own, so that a terminal's Ctrl-C reaches the supervisor alone.

    On Linux it gets its death signal when the calling *thread* ends: call it from a thread that lives as long.
    """
    command.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = ["-", "-"] if command.account is None else [str(number) for number in command.account[:2]]
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), str(int(command.death_signal)), *account]
    with open_log(command.log) as output:
        return subprocess.Popen(
            [*launcher, *command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=command.folder,
            env={**os.environ, **command.environment},
            process_group=0,
        )


def open_log(log: Path) -> IO[bytes]:
    """The end of a log, to be written to; for its owner's eyes only, whatever the umask is."""
    file = os.fdopen(os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "a+b")
    os.fchmod(file.fileno(), 0o600)
    return file


def stop(process: "subprocess.Popen[bytes]", signum: signal.Signals, timeout_s: float) -> int:
    """Ask it to stop, kill it if it does not within the time; its exit code."""
    if process.poll() is None:
        process.send_signal(signum)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def end_leftover(identity: Identity, timeout_s: float = 10.0) -> bool:
    """End a process of an earlier run, if it is still that process; whether there was one."""
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
    """The last lines of a log, for an error message."""
    if not log.exists():
        return "(no output)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:]) or "(no output)"
