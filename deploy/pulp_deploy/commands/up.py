"""`pulp-tasks up`: everything on this machine."""

import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import click
from pulp_events import settings
from pulp_projections.conninfo import without_secrets

from pulp_deploy.backend import BackendOptions
from pulp_deploy.credentials import admin_password, is_ours, users_client_file, write_client_file
from pulp_deploy.defaults import PARTITIONS
from pulp_deploy.detach import report_ready, start_detached
from pulp_deploy.folder import default_folder
from pulp_deploy.stack import READY_TIMEOUT_S, Stack, StackOptions

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PORT = click.IntRange(0, 65535)


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder; kept for the next start.")
@click.option("--temporary", is_flag=True, help="A fresh data folder, removed at the end; free ports.")
@click.option("--brokers", type=click.Choice(["1", "3"]), help="Kafka brokers, fixed at the first start (1).")
@click.option(
    "--partitions", type=click.IntRange(1), default=PARTITIONS, show_default=True, help="Fixed at the first start."
)
@click.option("--api-port", type=_PORT, help="(24817; 0: any free one).")
@click.option("--kafka-port", type=_PORT, help="Of the first broker (9092; 0: any free ones).")
@click.option("--postgres-port", type=_PORT, help="(24815; 0: any free one).")
@click.option("--free-ports", is_flag=True, help="Any free ports, for all that have no option of their own.")
@click.option("--processors", type=click.IntRange(0), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Tasks a worker runs at once."
)
@click.option("--detach", is_flag=True, help="Return when everything is ready; it goes on in the background.")
@click.option("--at", type=click.Path(path_type=Path), hidden=True, help="Where --temporary has its folder.")
def up(
    data: Path | None,
    temporary: bool,
    brokers: str | None,
    partitions: int,
    api_port: int | None,
    kafka_port: int | None,
    postgres_port: int | None,
    free_ports: bool,
    processors: int,
    workers: int,
    concurrency: int,
    detach: bool,
    at: Path | None,
) -> None:
    """Start Kafka, Postgres, the API, a processor and a worker on this machine, and keep them running.

    With PULP_KAFKA or PULP_POSTGRES set, that one is used instead of a local one; it is waited for 60 s, or
    PULP_STARTUP_TIMEOUT_S. Ctrl-C stops everything. The data folder keeps its ports: the next start has the same ones
    unless told otherwise. Without --data the folder is that of PULP_DATA, else the usual one of the user.
    """
    if data is not None and temporary:
        raise click.UsageError("--data and --temporary exclude each other")
    folder = data or at or (Path(tempfile.mkdtemp(prefix="pulp-tasks-")) if temporary else default_folder())
    if detach:
        arguments = [each for each in sys.argv[1:] if each != "--detach"]
        click.echo(start_detached([*arguments, *(["--at", str(folder)] if temporary else [])], folder))
        return
    prefix = os.environ.get("PULP_TOPIC_PREFIX") or "pulp.tasks"
    unless_given = 0 if temporary or free_ports else None
    backend = BackendOptions(
        brokers=None if brokers is None else int(brokers),
        partitions=partitions,
        kafka_port=unless_given if kafka_port is None else kafka_port,
        postgres_port=unless_given if postgres_port is None else postgres_port,
        given_kafka=os.environ.get("PULP_KAFKA") or None,
        given_postgres=os.environ.get("PULP_POSTGRES") or None,
    )
    options = StackOptions(
        data=folder,
        temporary=temporary,
        api_port=unless_given if api_port is None else api_port,
        processors=processors,
        workers=workers,
        concurrency=concurrency,
        prefix=prefix,
        backend=backend,
        startup_timeout_s=settings.number(os.environ, "PULP_STARTUP_TIMEOUT_S", READY_TIMEOUT_S),
    )
    run(options, private=temporary)


def run(options: StackOptions, *, private: bool) -> None:
    """Run the stack until SIGINT or SIGTERM. A private one does not become the user's usual one."""
    progress = _Progress()
    stopping = threading.Event()
    for signum in _STOPPING:
        signal.signal(signum, _interrupt)
    stack = Stack(options, progress.say)
    progress.say(f"starting on {stack.folder.path}")
    stack.up()
    try:
        for signum in _STOPPING:
            signal.signal(signum, lambda *_: stopping.set())
        progress.say(f"ready in {progress.elapsed_s:.1f} s")
        how_to_go_on = _how_to_go_on(stack, private=private)
        stop = f"pulp-tasks down --data {shlex.quote(str(stack.folder.path))}"
        click.echo(f"{how_to_go_on}\nStop      Ctrl-C, or: {stop}")
        report_ready(f"{how_to_go_on}\nStop      {stop}")
        stopping.wait()
        progress.say("stopping")
    finally:
        _ignore_signals()
        stack.down()
    progress.say("stopped")


def _interrupt(*_: object) -> None:
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for signum in _STOPPING:
        signal.signal(signum, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it behind


def _how_to_go_on(stack: Stack, *, private: bool) -> str:
    services = stack.service_environment()
    lines = [
        f"API       {stack.url}/pulp/api/v3/",
        f"Kafka     {services['PULP_KAFKA']}",
        f"Postgres  {without_secrets(services['PULP_POSTGRES'])}",
        f"Data      {stack.folder.path}{_why(stack.folder.path)}",
    ]
    usual = users_client_file(os.environ)
    if not private and stack.client_file.exists() and is_ours(usual):
        write_client_file(usual, stack.url, admin_password(stack.folder.path))
        lines.append(f"Client    pulp-admin tasks list        (as admin: {usual})")
    elif stack.client_file.exists():
        if not private:
            lines.append(f"Client    {usual} is not ours and was left alone; to use this stack:")
        lines.append(f"Client    PULP_ADMIN_CONFIG={shlex.quote(str(stack.client_file))} pulp-admin tasks list")
    return "\n".join(lines)


def _why(data: Path) -> str:
    """Where that is the usual folder: how to have another one."""
    return "  (the usual one; another: --data or PULP_DATA)" if data == default_folder() else ""


@dataclass
class _Progress:
    """Lines of progress on standard error; on a terminal a download rewrites its own line."""

    started: float = 0.0
    rewriting: bool = False

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def say(self, line: str) -> None:
        rewrites = sys.stderr.isatty() and line.startswith("downloading")
        if self.rewriting:
            click.echo("\r\033[K" if rewrites else "", nl=not rewrites, err=True)
        click.echo(line, nl=not rewrites, err=True)
        self.rewriting = rewrites
