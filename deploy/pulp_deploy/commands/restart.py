"""`pulp-tasks restart`: shut down processes of a running stack, which its supervisor starts again."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from pulp_console.groups import examples, suggestion
from pulp_console.output import hint, show

from pulp_deploy import process_settings
from pulp_deploy.commands.completing import log_names
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import stack_folder, stack_option
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from pulp_deploy.folder import DataFolder
    from pulp_deploy.local.processes import Identity

_LOOK_EVERY_S: Final = 0.1


@click.command(
    cls=SettingsCommand,
    settings=process_settings.draining,
    epilog=examples("pulp-tasks restart", "pulp-tasks restart api processor"),
)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=log_names)
@stack_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0),
    default=90.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait this long for all of them.",
)
@output_option
def restart(names: tuple[str, ...], data: Path | None, timeout_s: float, output: str) -> None:
    """Restart processes of a running stack.

    NAME is a process or a kind (worker-2: that worker; worker: all workers); without it, the workers restart. Each
    stops in an orderly way: a worker lets its tasks run on for up to PULP_WORKER_DRAIN_S. A restarted worker offers the
    operations that are installed now. The command returns when all are at work again.
    """
    from pulp_deploy.errors import NotRunning

    folder = stack_folder(data)
    if folder.owner() is None:
        raise NotRunning(f"no stack runs on {folder.path}: start it with: pulp-tasks up --data {folder.path}")
    before = _chosen(folder.processes(), names or ("worker",))
    for name, identity in before.items():
        _end(name, identity)
    ends = time.monotonic() + timeout_s
    after = {name: _restarted(folder, name, identity, ends).pid for name, identity in before.items()}
    value = [{"name": name, "pid": pid} for name, pid in after.items()]
    show(output, value, lambda: [f"{name}: restarted (pid {pid})" for name, pid in after.items()])


def _end(name: str, identity: "Identity | None") -> None:
    import signal

    from pulp_deploy.local.postgres import STOP_SIGNAL

    process = None if identity is None else identity.process()
    if process is not None:
        hint(f"{name}: restarting")
        process.send_signal(STOP_SIGNAL if name == "postgres" else signal.SIGTERM)


def _chosen(processes: "dict[str, Identity | None]", names: tuple[str, ...]) -> "dict[str, Identity | None]":
    chosen: dict[str, Identity | None] = {}
    for name in names:
        found = {each: identity for each, identity in processes.items() if each == name or _is_one_of(each, name)}
        if not found:
            known = ", ".join(processes) or "(none)"
            message = f"there is no process {name}: the names are {known}.{suggestion(name, processes)}"
            raise click.BadParameter(message, param_hint="'NAME'")
        chosen |= found
    return chosen


def _is_one_of(name: str, kind: str) -> bool:
    return name.rpartition("-")[0] == kind and name.rpartition("-")[2].isdigit()


def _restarted(folder: "DataFolder", name: str, before: "Identity | None", ends: float) -> "Identity":
    from pulp_deploy.errors import NotRunning, ProcessFailed

    while time.monotonic() < ends:
        identity = folder.processes().get(name)
        if identity is not None and identity != before and identity.process() and _is_at_work(folder, name, identity):
            return identity
        if folder.owner() is None:
            raise NotRunning(f"the stack on {folder.path} has ended")
        time.sleep(_LOOK_EVERY_S)
    raise ProcessFailed(f"{name} is not at work again in time: see pulp-tasks logs {name} --data {folder.path}")


def _is_at_work(folder: "DataFolder", name: str, identity: "Identity") -> bool:
    from pulp_deploy.probes import api_answers, worker_is_up

    owner, services = folder.owner(), folder.services()
    if name == "api":
        return owner is not None and owner.url is not None and api_answers(owner.url)
    if services is not None and (name == "worker" or _is_one_of(name, "worker")):
        return worker_is_up(services["PULP_POSTGRES"], name, identity.pid)
    return True
