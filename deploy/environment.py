"""Lets one `./dev` at a time change the environment of a clone, and none while a program runs in it.

`./dev` calls this with descriptor 9 open on `.dev/users`. On success that descriptor holds a shared lock, which the
program that `./dev` becomes inherits and holds until it ends. Uses the standard library only.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

USERS_FD = 9
CURRENT, OTHER_PACKAGES, OTHER_PYTHON = 0, 1, 2
"""Exit codes of `./dev _state`: what the environment needs."""
PATIENCE_S = 0.5
"""How long to wait silently: usually the lock is held for milliseconds."""


def main(root: Path, pid: int, command: str, action: Sequence[str]) -> int:
    """Bring the environment up to date, run `./dev ACTION` if given, and register as a user. Returns the exit code."""
    users = root / ".dev" / "users"
    with (root / ".dev" / "lock").open("a") as lock:
        _wait_for(lock.fileno())
        code = _update(root, users)
        if code == 0 and action:
            code = subprocess.call([root / "dev", *action])
        if code == 0:
            fcntl.flock(USERS_FD, fcntl.LOCK_SH)
            alive = {**_users(users), pid: command}
            users.write_text("".join(f"{number} {text}\n" for number, text in alive.items()))
    return code


def _update(root: Path, users: Path) -> int:
    """Install missing packages, unless a program runs in the environment."""
    state = subprocess.call([root / "dev", "_state"])
    if state == CURRENT:
        return 0
    if _take_alone():
        running = _running_in(root / ".venv") if state == OTHER_PYTHON else {}
        if not running:
            return subprocess.call([root / "dev", "_prepare"])
    else:
        running = _users(users)
    names = "".join(f"\n  {pid} {text}" for pid, text in running.items())
    if state == OTHER_PACKAGES:
        _say(
            "pyproject.toml has changed. The packages of .venv stay as they are while these run in it; the first"
            f" ./dev afterwards brings them up to date:{names}"
        )
        return 0
    _say(f".venv would have to be created again, and these run in it. End them first, or use another clone:{names}")
    return os.EX_TEMPFAIL


def _wait_for(lock: int) -> None:
    signal.signal(
        signal.SIGALRM, lambda *_: _say("another ./dev changes the environment of this clone: waiting for it")
    )
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    fcntl.flock(lock, fcntl.LOCK_EX)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _take_alone() -> bool:
    try:
        fcntl.flock(USERS_FD, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _users(users: Path) -> dict[int, str]:
    """The commands that have entered the environment and still run, by process id."""
    lines = (line.split(" ", 1) for line in users.read_text().splitlines())
    return {int(pid): command for pid, command in lines if _is_alive(int(pid))}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _running_in(venv: Path) -> dict[int, str]:
    """Programs of the environment that hold no lock, such as a stack in the background. None without /proc."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_text(errors="replace").split("\0")
        except OSError:
            continue  # it has ended, or we may not read it
        is_dev = words[1:2] in (["-c"], [__file__])  # another ./dev that computes its state
        if words[0].startswith(f"{venv}/") and not is_dev:
            found[int(file.parent.name)] = " ".join(words).strip()
    return found


def _say(text: str) -> None:
    print(f"dev: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
