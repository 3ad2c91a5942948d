"""`pulp-tasks`, the operator's command."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from typing import Final, Never

import click
from pulp_console import edge
from pulp_console.exits import CONFIG, SOFTWARE, UNAVAILABLE, UNWRITABLE
from pulp_console.groups import Choice, LazyGroup, examples
from pulp_console.output import OUTPUTS, failed, hint
from pulp_events.errors import LogRefused, LogUnavailable, PulpError, ReadModelUnavailable
from pulp_runtime.heap import keep_heap_small

from pulp_deploy.exits import exit_code
from pulp_deploy.extras import missing
from pulp_deploy.log_lines import log_what_python_prints, set_up_logging

COMMANDS: Final[Mapping[str, str]] = {
    "up": "pulp_deploy.commands.up:up",
    "down": "pulp_deploy.commands.running:down",
    "status": "pulp_deploy.commands.running:status",
    "doctor": "pulp_deploy.commands.doctor:doctor",
    "logs": "pulp_deploy.commands.logs:logs",
    "restart": "pulp_deploy.commands.restart:restart",
    "demo": "pulp_deploy.commands.demo:demo",
    "database": "pulp_deploy.commands.database:database",
    "topics": "pulp_deploy.commands.topics:topics",
    "users": "pulp_deploy.commands.users:users",
    "quotas": "pulp_deploy.commands.quotas:quotas",
    "subjects": "pulp_deploy.commands.subjects:subjects",
    "archive": "pulp_deploy.commands.archive:archive",
    "audit": "pulp_deploy.commands.audit:audit",
    "events": "pulp_deploy.commands.events:events",
    "dead-letters": "pulp_deploy.commands.dead_letters:dead_letters",
    "rebuild": "pulp_deploy.commands.rebuild:rebuild_group",
    "verify": "pulp_deploy.commands.verify:verify",
    "history": "pulp_deploy.commands.history:history",
    "schedules": "pulp_deploy.commands.schedules:schedules",
    "subscriptions": "pulp_deploy.commands.subscriptions:subscriptions",
    "states": "pulp_deploy.commands.states:states",
    "api": "pulp_deploy.commands.services:api",
    "processor": "pulp_deploy.commands.services:processor",
    "worker": "pulp_deploy.commands.services:worker",
    "transparency": "pulp_deploy.commands.services:transparency",
    "completion": "pulp_deploy.commands.completion:completion",
}
"""The module of each command. They import neither Kafka's nor Postgres's client, so that help and completion are
quick."""
SERVICES: Final = frozenset({"api", "processor", "worker", "transparency"})
"""What runs as a process of an installation: how it ended is a line of its log."""
Run = dict[str, str | None]
"""What is known of the command that runs: its name, as `command`."""
_AWAY: Final = "Is it running? For a local stack: pulp-tasks status. Otherwise check PULP_KAFKA and PULP_POSTGRES."


_UNUSABLE: Final = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
"""What the name of a file is to blame for."""
_NO_RESOURCES: Final[Mapping[int, str]] = {
    errno.ENOSPC: "make room on that disk, and try again",
    errno.EDQUOT: "make room, or have the quota raised, and try again",
    errno.EROFS: "name a folder elsewhere with --data or PULP_DATA, or have the file system mounted for writing",
    errno.EIO: "the disk may be damaged: see what the system's log says",
    errno.EFBIG: "the file system or a limit (ulimit -f) allows no larger file",
    errno.EMFILE: "raise the limit of open files (ulimit -n), and try again",
    errno.ENFILE: "the system has too many files open: try again when it has fewer",
    errno.ENOMEM: "free some memory, and try again",
    errno.EAGAIN: "there are too many processes (ulimit -u): try again when there are fewer",
}
"""Explains a lack of a system resource, with the remedy."""


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 80},
    epilog=examples("pulp-tasks up --detach", "pulp-tasks --output json status"),
)
@click.option("--output", type=Choice(OUTPUTS), default="table", help="Output format, for people or for scripts.")
@click.version_option(package_name="pulp-tasks", message="pulp-tasks %(version)s")
@click.pass_context
def pulp_tasks(context: click.Context, output: str) -> None:
    """Run Pulp Tasks: everything on this machine (up), or one process of an installation.

    PULP_KAFKA and PULP_POSTGRES name the Kafka and the Postgres to use. Data goes to standard output; progress and
    remarks go to standard error.
    """
    context.ensure_object(dict)["command"] = context.invoked_subcommand


def main() -> Never:
    """Run the command line and exit with the codes of `exits.py`."""
    _heed_sigterm()
    keep_heap_small()
    edge.open_what_is_closed()
    set_up_logging(os.environ)
    log_what_python_prints()
    run: Run = {}
    explain = partial(_explain, run)
    edge.end(
        edge.run(pulp_tasks, None, program="pulp-tasks", explain=explain, full=partial(_explain_full, run), obj=run)
    )


def _heed_sigterm() -> None:
    """As process 1 of a container, end at SIGTERM even before the process has its own handler, as while waiting for
    Kafka.

    The kernel does not end process 1 by a signal that it does not handle.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))


def _explain(run: Run, error: Exception) -> int:
    found = _explained(error)
    about: dict[str, object] = {"kind": type(error).__name__}
    # Critical, so that no level leaves out why a process has ended.
    if found is None:
        log = logging.getLogger("pulp")
        log.critical("unexpected error", exc_info=error, extra={**about, "exit_code": SOFTWARE})
        return SOFTWARE
    message, more, code = found
    if _is_in_log(run):
        about |= {"exit_code": code} | ({} if more is None else {"hint": more})
        is_perhaps_ours = isinstance(error, OSError)  # such as a scratch file that another thread has removed
        logging.getLogger("pulp").critical("%s", message, extra=about, exc_info=error if is_perhaps_ours else None)
        return code
    failed(f"pulp-tasks: {message}")
    if more is not None:
        hint(more)
    return code


def _explain_full(run: Run, error: OSError) -> int:
    """A disk is full or broken: a service wrote to a file of its own, another command perhaps to its output."""
    return _explain(run, error) if _is_in_log(run) else edge.unwritable(error)


def _is_in_log(run: Run) -> bool:
    return run.get("command") in SERVICES and not sys.stderr.isatty()


def _explained(error: Exception) -> tuple[str, str | None, int] | None:
    """What went wrong, what else to do, and the exit code; None for an error that nobody expects."""
    if isinstance(error, PulpError):
        is_away = isinstance(error, LogUnavailable | ReadModelUnavailable) and not isinstance(error, LogRefused)
        return str(error), _AWAY if is_away and "pulp-tasks" not in str(error) else None, exit_code(error)
    if isinstance(error, _UNUSABLE) and error.filename:
        return f"{error.filename} cannot be used: {error.strerror}. Name another, or correct this one.", None, CONFIG
    if isinstance(error, OSError) and error.errno is not None and error.errno in _NO_RESOURCES:
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}: {_NO_RESOURCES[error.errno]}.", None, UNWRITABLE
    if isinstance(error, ModuleNotFoundError) and (said := missing(error)) is not None:
        return said, None, UNAVAILABLE
    return None
