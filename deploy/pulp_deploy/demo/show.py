"""The demonstration: every feature once, on a real Kafka, Postgres and repository."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from pulp_console.output import hint
from pulp_events.errors import PulpError
from pulp_events.settings import kafka

from pulp_deploy.commands.running import stop
from pulp_deploy.demo import repository
from pulp_deploy.demo.commands import Commands, client, own_environment
from pulp_deploy.demo.follower import Follower
from pulp_deploy.demo.server import DemoServer
from pulp_deploy.demo.shown import Shown
from pulp_deploy.demo.tour import PUBLISH_LIST, Tour
from pulp_deploy.detach import start_detached
from pulp_deploy.folder import DataFolder
from pulp_deploy.log_files import for_people

_SECOND_SIZES: Final = [1_000_000] * 8
_SECOND_WITHHELD: Final = 3
_STOP_S: Final = 90.0


def show_everything(*, keep: bool) -> bool:
    """Run the demonstration; return whether every check passed. With `keep` everything is left running."""
    shown = Shown()
    client()  # now, rather than after everything has started
    folder = Path(tempfile.mkdtemp(prefix="pulp-tasks-demo-"))
    folder.chmod(0o711)  # PostgreSQL's account must be able to enter
    data = DataFolder(folder / "data")
    kept = False
    try:
        with _ended_by_signals():
            withheld = _start(shown, folder, data)
            _tour(shown, folder, data, withheld)
            kept = keep
        if keep:
            _say_how_to_go_on(folder, data)
    finally:
        if not kept:
            shown.note("stopping")
            stop(data, _STOP_S)
            shutil.rmtree(folder, ignore_errors=True)
    shown.summary("what was submitted, cancelled, killed and rebuilt is all there, once, in order")
    return not shown.failed


def _start(shown: Shown, folder: Path, data: DataFolder) -> tuple[list[str], list[str]]:
    """Create the repositories while Kafka and Postgres start; return the paths that the servers withhold."""
    shown.step("-", "Start", "Kafka, Postgres, API, processor, worker; and two yum repositories of 37 and 8 RPM files.")
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(_build, folder)
        start_detached(["up", "--temporary", "--at", str(data.path), "--api-port", "0"], data.path, own_environment())
        withheld = building.result()
    size = sum(path.stat().st_size for path in (folder / "first" / "Packages").iterdir())
    shown.check("the first repository's 37 packages have 149,958,122 bytes", size == 149_958_122, size)
    shown.note(f"everything is ready after {shown.elapsed_s:.0f} s")
    return withheld


def _build(folder: Path) -> tuple[list[str], list[str]]:
    first = repository.build(folder / "first", repository.guide_sizes())
    names = [Path(location).name.removesuffix("-1.0-1.noarch.rpm") for location in first]
    (folder / "first" / PUBLISH_LIST.removeprefix("/")).write_text("\n".join(names) + "\n")
    second = repository.build(folder / "second", _SECOND_SIZES, "zoo")
    late = first[repository.FIRST :], second[-_SECOND_WITHHELD:]
    return [f"/{location}" for location in late[0]], [f"/{location}" for location in late[1]]


def _tour(shown: Shown, folder: Path, data: DataFolder, withheld: tuple[list[str], list[str]]) -> None:
    """Show every step; a step that cannot finish counts as a failed check and ends the tour."""
    services = data.services()
    assert services is not None
    with (
        DemoServer(folder / "first") as first,
        DemoServer(folder / "second") as second,
        Follower(kafka(services), services["PULP_TOPIC_PREFIX"]) as follower,
    ):
        run = Commands(shown, data.path, own_environment())
        try:
            Tour(shown, run, follower, data, (first, second), withheld).everything()
        except (PulpError, TimeoutError, subprocess.TimeoutExpired) as error:
            shown.check("the demonstration goes on", False, error)
            _show_logs(data)


def _show_logs(data: DataFolder) -> None:
    """Show the last log lines of each service, since the folder will be removed."""
    for name in ("api", "processor", "worker"):
        for record in (data.logs / f"{name}.log").read_text(errors="replace").splitlines()[-10:]:
            for line in for_people(record):
                hint(f"{name:<10}| {line}")


def _say_how_to_go_on(folder: Path, data: DataFolder) -> None:
    """Serve the repositories from a process that keeps running, and print what to try next."""
    with (folder / "repositories.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", "pulp_deploy.demo.server", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    server.returncode = 0  # it goes on without us: no warning that it still runs
    click.echo("\nEverything is still running. To go on:\n")
    click.echo(f"  export PATH={Path(client()).parent}:$PATH PULP_ADMIN_CONFIG={data.path / 'admin.toml'}")
    owner = data.owner()
    if owner is not None and owner.url is not None:
        click.echo(f"  {owner.url}/ui/    # in a browser, as admin; the password is in {data.path / 'admin.toml'}")
    click.echo("  pulp-admin tasks list --all")
    click.echo(f"  pulp-admin repo sync run --repo-id zoo --feed {url}second/ --watch")
    click.echo(f"  pulp-tasks events tail --data {data.path}")
    click.echo(f"  pulp-tasks status --data {data.path}")
    click.echo("\nTo end it:\n")
    click.echo(f"  pulp-tasks down --data {data.path}; kill {server.pid}; rm -r {folder}")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP like Ctrl-C: stop everything first."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
