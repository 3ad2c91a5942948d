"""`pulp-tasks down` and `status`, for a stack that runs in other processes."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pulp_console.groups import examples
from pulp_console.output import show, table
from pulp_console.times import time_text

from pulp_deploy.commands.findings import lines_of
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import stack_folder, stack_option

if TYPE_CHECKING:
    from pulp_deploy.folder import DataFolder, Owner
    from pulp_deploy.local.processes import Identity


@click.command(epilog=examples("pulp-tasks down"))
@stack_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0),
    default=90.0,
    show_default=True,
    metavar="SECONDS",
    help="Kill whatever has not stopped by then.",
)
@output_option
def down(data: Path | None, timeout_s: float, output: str) -> None:
    """Stop the stack of a data folder. The data stays, for the next start."""
    from pulp_deploy.errors import NotRunning

    if not math.isfinite(timeout_s):
        raise click.BadParameter(f"{timeout_s} is not a number of seconds.", param_hint="'--timeout'")
    folder = stack_folder(data)
    if stop(folder, timeout_s):
        show(output, {"data": str(folder.path), "stopped": True, "ended": []}, lambda: ["stopped"])
        return
    leftovers = folder.end_leftovers() if folder.path.exists() else []
    if not leftovers:
        raise NotRunning(f"no stack runs on {folder.path}: there is nothing to stop")
    report = {"data": str(folder.path), "stopped": False, "ended": leftovers}
    show(output, report, lambda: [f"ended what was left running: {', '.join(leftovers)}"])


def stop(folder: "DataFolder", timeout_s: float) -> bool:
    """Stop the supervisor of a data folder, and so the whole stack; false if none runs."""
    import signal

    import psutil

    owner = folder.owner()
    if owner is None:
        return False
    process = owner.identity.process()
    if process is not None:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # a stopped process (Ctrl-Z, SIGSTOP) reacts to nothing else
        try:
            process.wait(timeout_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)
    folder.end_leftovers()
    return True


@click.command(epilog=examples("pulp-tasks status", "pulp-tasks status --output json | jq -r .url"))
@stack_option
@output_option
def status(data: Path | None, output: str) -> None:
    """Show the processes of a stack, and its addresses.

    It also shows how many workers are at work. Exits 69 if the stack does not run, a process is down or stopped by a
    signal, or a worker is not at work.
    """
    from pulp_deploy.errors import NotRunning

    folder = stack_folder(data)
    owner = folder.owner()
    if owner is None:
        raise NotRunning(f"no stack runs on {folder.path}: start it with: pulp-tasks up --data {folder.path}")
    report = _report(folder, owner)
    show(output, report, lambda: _page(report))
    _check(report, folder)


def _check(report: dict[str, Any], folder: "DataFolder") -> None:
    """Raise `NotRunning` if a process is not at work, with the command that shows why."""
    from pulp_deploy.errors import NotRunning

    processes = report["processes"]
    dead = [each["name"] for each in processes if each["state"] == "down"]
    if dead:
        raise NotRunning(f"{', '.join(dead)} down: see pulp-tasks logs {dead[0]} --data {folder.path}")
    for each in processes:
        if each["state"] == "stopped":
            raise NotRunning(f"{each['name']} was stopped by a signal: let it go on with kill -CONT {each['pid']}")
    if report["url"] is None:
        return
    if report["workers"] is None:
        raise NotRunning(
            f"the API at {report['url']} does not answer, or Postgres does not answer it: see pulp-tasks logs api"
            f" --data {folder.path}"
        )
    started = sum(_is_worker(each["name"]) for each in processes)
    live = report["workers"]["live"]
    if live < started:
        raise NotRunning(
            f"of {started} worker(s) only {live} at work: see pulp-tasks logs worker --data {folder.path}, or restart"
            f" them with pulp-tasks restart --data {folder.path}"
        )


def _is_worker(name: str) -> bool:
    return name == "worker" or name.startswith("worker-")


def _report(folder: "DataFolder", owner: "Owner") -> dict[str, Any]:
    from pulp_projections.conninfo import without_secrets

    from pulp_deploy.probes import health

    processes = {"supervisor": owner.identity, **folder.processes()}
    services = folder.services() or {}
    said = {} if owner.url is None else health(owner.url)
    return {
        "url": owner.url,
        "kafka": services.get("PULP_KAFKA"),
        "postgres": without_secrets(services["PULP_POSTGRES"]) if services else None,
        "data": str(folder.path),
        "workers": said.get("workers"),
        "processes": [_process(name, identity) for name, identity in processes.items()],
        "findings": said.get("findings"),
        "log": _log(services.get("PULP_TRANSPARENCY_FOLDER")),
    }


def _log(folder: str | None) -> dict[str, Any] | None:
    """The last report of the process that keeps the log; None if the stack keeps none, or without a report yet."""
    import json

    from pulp_transparency.follower import STATUS

    try:
        found = json.loads((Path(folder or "/nowhere") / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    faults = {name: each["fault"] for name, each in found["outlets"].items() if each["fault"]}
    return {"lag": sum(found["lag"].values()), "faults": faults}


def _process(name: str, identity: "Identity | None") -> dict[str, Any]:
    import psutil

    process = None if identity is None else identity.process()
    if identity is None or process is None:
        return {"name": name, "state": "down", "pid": None, "memory_bytes": None, "started_at": None}
    try:
        memory_bytes = process.memory_info().rss
        state = "stopped" if process.status() == psutil.STATUS_STOPPED else "running"
    except psutil.Error:
        memory_bytes, state = None, "running"
    return {
        "name": name,
        "state": state,
        "pid": identity.pid,
        "memory_bytes": memory_bytes,
        "started_at": time_text(identity.since),
    }


def _page(report: dict[str, Any]) -> list[str]:
    rows = [
        [
            each["name"],
            each["state"],
            "-" if each["pid"] is None else str(each["pid"]),
            "-" if each["memory_bytes"] is None else f"{each['memory_bytes'] / 1e6:.0f} MB",
            each["started_at"] or "-",
        ]
        for each in report["processes"]
    ]
    return [
        f"API       {report['url'] or '(starting)'}",
        f"Kafka     {report['kafka'] or '(starting)'}",
        f"Postgres  {report['postgres'] or '(starting)'}",
        f"Data      {report['data']}",
        f"Workers   {_workers(report['workers'])}",
        f"Log       {_log_line(report['log'])}",
        *table(rows, ("NAME", "STATE", "PID", "MEMORY", "SINCE")),
        *lines_of(each for each in report["findings"] or [] if each["severity"] != "note"),
    ]


def _log_line(found: dict[str, Any] | None) -> str:
    if found is None:
        return "(none)"
    return "; ".join(
        [f"{found['lag']} records to go", *(f"{name}: {fault}" for name, fault in found["faults"].items())]
    )


def _workers(found: dict[str, int] | None) -> str:
    return "(unknown)" if found is None else f"{found['live']} at work, {found['free']} of {found['slots']} slots free"
