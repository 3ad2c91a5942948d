"""`pulp-tasks down` and `status`: a stack that runs, seen from another process."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pulp_console.groups import examples
from pulp_console.output import show, table
from pulp_console.times import time_text

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
    help="Kill what has not stopped by then.",
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
    """End the supervisor of a data folder and with it all of the stack; false if there is none."""
    import signal

    import psutil

    owner = folder.owner()
    if owner is None:
        return False
    process = owner.identity.process()
    if process is not None:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # one that was stopped (Ctrl-Z, SIGSTOP) heeds nothing else
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
    """Show the processes of a stack, and where it is. Exits 69 if it does not run, or a process is down."""
    from pulp_deploy.errors import NotRunning

    folder = stack_folder(data)
    owner = folder.owner()
    if owner is None:
        raise NotRunning(f"no stack runs on {folder.path}: start it with: pulp-tasks up --data {folder.path}")
    report = _report(folder, owner)
    show(output, report, lambda: _page(report))
    dead = [each["name"] for each in report["processes"] if each["state"] == "down"]
    if dead:
        raise NotRunning(f"{', '.join(dead)} down: see pulp-tasks logs {dead[0]} --data {folder.path}")
    if owner.url is not None and not _answers(owner.url):
        raise NotRunning(f"the API at {owner.url} does not answer: see pulp-tasks logs api --data {folder.path}")


def _report(folder: "DataFolder", owner: "Owner") -> dict[str, Any]:
    from pulp_projections.conninfo import without_secrets

    processes = {"supervisor": owner.identity, **folder.processes()}
    services = folder.services() or {}
    return {
        "url": owner.url,
        "kafka": services.get("PULP_KAFKA"),
        "postgres": without_secrets(services["PULP_POSTGRES"]) if services else None,
        "data": str(folder.path),
        "processes": [_process(name, identity) for name, identity in processes.items()],
    }


def _process(name: str, identity: "Identity | None") -> dict[str, Any]:
    import psutil

    process = None if identity is None else identity.process()
    if identity is None or process is None:
        return {"name": name, "state": "down", "pid": None, "memory_bytes": None, "started_at": None}
    try:
        memory_bytes = process.memory_info().rss
    except psutil.Error:
        memory_bytes = None
    return {
        "name": name,
        "state": "running",
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
        *table(rows, ("NAME", "STATE", "PID", "MEMORY", "SINCE")),
    ]


def _answers(url: str) -> bool:
    from pulp_deploy.probes import api_answers

    return api_answers(url)
