"""Runs `pulp-tasks` as a user does, isolated from the real home and environment."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

OWN_SETTINGS = ("PULP_", "XDG_")
_ESCAPE = re.compile(r"\x1b\[[0-9;?<>=:]*[A-Za-z]")


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user without a client configuration or a stack; Kafka's jars stay where they are."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OWN_SETTINGS)}
    ours = {"PULP_ADMIN_CONFIG": str(home / ".pulp" / "admin.toml"), "PULP_DATA": str(home / "usual")}
    return {**kept, **ours, **more}


def pulp_tasks(*arguments: str, env: dict[str, str], timeout_s: float = 90) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pulp_deploy", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def on_a_terminal(*arguments: str, env: dict[str, str], columns: int = 80, timeout_s: float = 90) -> str:
    """Run the command to its end on a terminal; return its output. Raises if it fails."""
    command = [sys.executable, "-m", "pulp_deploy", *arguments]
    code, shown = shown_on_a_terminal(command, env=env, columns=columns, timeout_s=timeout_s)
    if code:
        raise subprocess.CalledProcessError(code, command, shown)
    return shown


def shown_on_a_terminal(
    command: Sequence[str], *, env: dict[str, str], columns: int = 80, timeout_s: float = 90, typed: str = ""
) -> tuple[int, str]:
    """Run any command to its end on a terminal with `typed` as input; return its exit code and output."""
    terminal, line = pty.openpty()
    os.write(terminal, typed.encode())
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    unset = {key: value for key, value in env.items() if key not in ("COLUMNS", "LINES")}
    with subprocess.Popen(command, env=unset, stdin=line, stdout=line, stderr=line) as process:
        os.close(line)
        shown = b"".join(iter(lambda: _read(terminal), b""))
        process.wait(timeout_s)
    os.close(terminal)
    return process.returncode, shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux reports EIO when no process has it open any more
        return b""


class OnATerminal:
    """A command on a terminal of its own, which is driven by keys; whatever it draws is collected."""

    def __init__(self, command: Sequence[str], env: dict[str, str], *, columns: int = 80, lines: int = 24) -> None:
        self._terminal, line = pty.openpty()
        fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        unset = {key: value for key, value in env.items() if key not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command, env={**unset, "TERM": "xterm-256color"}, stdin=line, stdout=line, stderr=line
        )
        os.close(line)
        self.drawn = ""

    def __enter__(self) -> "OnATerminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def until(self, text: str, timeout_s: float = 60) -> None:
        """Read until a text was drawn since the last call. Raises `AssertionError` if it does not come."""
        fresh, end = "", time.monotonic() + timeout_s
        while text not in fresh:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))
            part = _read(self._terminal).decode(errors="replace") if ready else ""
            assert part, f"{text!r} was not drawn: {fresh[-2000:]!r}"
            fresh += _ESCAPE.sub("", part)
        self.drawn += fresh

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._terminal, keys.encode())

    def end(self, timeout_s: float = 60) -> int:
        """Read to the end; the exit code."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            part = _read(self._terminal)
            if not part:
                break
            self.drawn += part.decode(errors="replace")
        return self.process.wait(timeout_s)
