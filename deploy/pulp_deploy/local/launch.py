"""Run a command that dies with its parent: `python launch.py PARENT SIGNAL USER GROUP COMMAND...`.

It stands between the supervisor and the command because code between fork and exec is not safe in a process with
threads. USER and GROUP are numbers, or - to keep ours. Only the standard library: it runs with -I -S.

The command gets the system's limit of open files, and dumps no core, which could contain secrets.
"""

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
MOST_FILES = 1 << 20
"""Enough for every service; some programs loop over every descriptor up to the limit."""


def main(parent: int, signum: int, user: str, group: str, command: list[str]) -> None:
    """Become the command."""
    set_limits()
    if user != "-":
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    if sys.platform == "linux":
        # After setuid, which clears it; exec keeps it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the supervisor has gone")
    os.umask(0o077)
    os.execv(command[0], command)


def set_limits() -> None:
    """Raise the limit of open files to the hard one, up to `MOST_FILES`, and forbid core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # macOS enforces a lower limit
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
