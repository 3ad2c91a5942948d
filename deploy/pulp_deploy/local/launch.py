"""Run a command that dies with its parent: `python launch.py PARENT SIGNAL USER GROUP COMMAND...`.

It stands between the supervisor and the command because code between fork and exec is not safe in a process with
threads. USER and GROUP are numbers, or - to stay who we are. Only the standard library: it runs with -I -S.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signum: int, user: str, group: str, command: list[str]) -> None:
    """Become the command."""
    if user != "-":
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    if sys.platform == "linux":
        # After setuid, which clears it; exec keeps it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the supervisor has gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
