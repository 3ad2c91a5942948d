"""`pulp-tasks-probe`: whether the process in its container is at work, by its heartbeat. For the probes of containers.

It uses only the standard library, because a probe runs every few seconds in each container.
"""

import os
import sys
from typing import Final, Never

from pulp_runtime.heartbeat_file import Beat

_OLDEST_S: Final = 20.0
_HELP: Final = """\
Usage: pulp-tasks-probe live|ready

  Say whether the API, processor or worker beside it is at work, by the file that PULP_HEARTBEAT names.

  live    its event loop has turned within the last 20 s
  ready   and it has started: it does what it is for

  Neither depends on Kafka or Postgres once the process has started.
  Exit codes: 0 yes, 1 no, 64 usage, 78 PULP_HEARTBEAT is not set.
"""


def main() -> Never:
    """Exit with 0 if the process is at work; otherwise explain on standard error."""
    sys.exit(answer(sys.argv[1:], os.environ.get("PULP_HEARTBEAT", "")))


def answer(arguments: list[str], path: str) -> int:
    """The exit code of a probe with these arguments."""
    if arguments in (["--help"], ["-h"]):
        sys.stdout.write(_HELP)
        return 0
    if arguments not in (["live"], ["ready"]):
        sys.stderr.write(_HELP)
        return os.EX_USAGE
    if not path:
        sys.stderr.write("pulp-tasks-probe: PULP_HEARTBEAT is not set: it names the file that the process writes\n")
        return os.EX_CONFIG
    fault = _fault(path, needs_up=arguments == ["ready"])
    if fault is not None:
        sys.stderr.write(f"pulp-tasks-probe: {fault}\n")
        return 1
    return 0


def _fault(path: str, *, needs_up: bool) -> str | None:
    try:
        beat = Beat.read(path)
    except OSError as error:
        return f"{path}: {error.strerror}: the process has not started, or has ended"
    except ValueError:
        return f"{path} is not the file of a heartbeat"
    if beat.age_s > _OLDEST_S:
        return f"the process has said nothing for {beat.age_s:.0f} s: its event loop does not turn"
    if needs_up and not beat.is_up:
        return "the process is still starting"
    return None
