"""`pulp-tasks down`, `status` and `logs`: a stack that runs, seen from another process."""

import signal
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import click
import psutil
from pulp_console.escaping import plain

from pulp_deploy.errors import DeployError, NotRunning
from pulp_deploy.folder import DataFolder, default_folder
from pulp_deploy.local.processes import Identity
from pulp_deploy.log_files import follow as follow_files
from pulp_deploy.log_files import last_lines

_DATA = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_folder,
    help="Data folder of the stack (the usual one).",
)


@click.command()
@_DATA
@click.option(
    "--timeout", "timeout_s", type=float, default=90.0, show_default=True, help="Seconds before it is killed."
)
def down(data: Path, timeout_s: float) -> None:
    """Stop the stack of a data folder; the data stays."""
    folder = DataFolder(data)
    if stop(folder, timeout_s):
        click.echo("stopped")
        return
    leftovers = folder.end_leftovers() if folder.path.exists() else []
    if not leftovers:
        raise NotRunning(f"no stack runs on {folder.path}")
    click.echo(f"ended what was left running: {', '.join(leftovers)}")


def stop(folder: DataFolder, timeout_s: float) -> bool:
    """End the supervisor of a data folder and with it all of the stack; false if there is none."""
    owner = folder.owner()
    if owner is None:
        return False
    process = owner.identity.process()
    if process is not None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)
    folder.end_leftovers()
    return True


@click.command()
@_DATA
def status(data: Path) -> None:
    """Show the processes of a stack. Exit code 69 if it does not run or a process is down."""
    folder = DataFolder(data)
    owner = folder.owner()
    if owner is None:
        raise NotRunning(f"no stack runs on {folder.path}: start it with: pulp-tasks up --data {folder.path}")
    click.echo(f"API   {owner.url or '(starting)'}")
    click.echo(f"Data  {folder.path}")
    click.echo(f"{'NAME':<14}{'PID':>8}  {'MEMORY':>9}  SINCE")
    click.echo(_row("supervisor", owner.identity))
    processes = folder.processes()
    for name, identity in processes.items():
        click.echo(_row(name, identity))
    dead = [name for name, identity in processes.items() if identity is None or identity.process() is None]
    if dead:
        raise NotRunning(f"{', '.join(dead)} down: see pulp-tasks logs {dead[0]} --data {folder.path}")
    if owner.url is not None and not _answers(owner.url):
        raise NotRunning(f"the API at {owner.url} does not answer: see pulp-tasks logs api")


@click.command()
@click.argument("name", required=False)
@_DATA
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="Last lines of each log.")
def logs(name: str | None, data: Path, follow: bool, lines: int) -> None:
    """Show the logs of all processes, merged by time, or that of NAME."""
    folder = DataFolder(data)
    files = {path.stem: path for path in sorted(folder.logs.glob("*.log"))}
    if name is not None and name not in files:
        raise DeployError(f"there is no log of {name} in {folder.logs}: the names are {', '.join(files) or '(none)'}")
    chosen = files if name is None else {name: files[name]}
    prefix = {each: f"{each:<12}| " if len(chosen) > 1 else "" for each in chosen}
    lines_so_far, ends = last_lines(chosen, lines)
    for batch in chain([lines_so_far], follow_files(chosen, ends) if follow else []):
        for line in batch:
            click.echo(prefix[line.name] + plain(line.text))


def _row(name: str, identity: Identity | None) -> str:
    process = None if identity is None else identity.process()
    if identity is None or process is None:
        return f"{name:<14}{'down':>8}"
    try:
        memory_mb = process.memory_info().rss / 1e6
    except psutil.Error:
        memory_mb = 0.0
    since = datetime.fromtimestamp(identity.started, UTC).astimezone()
    return f"{name:<14}{identity.pid:>8}  {memory_mb:>6.0f} MB  {since:%Y-%m-%d %H:%M:%S}"


def _answers(url: str) -> bool:
    from pulp_deploy.probes import api_answers

    return api_answers(url)
