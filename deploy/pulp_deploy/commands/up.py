"""`pulp-tasks up`: everything on this machine."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from pulp_console.groups import Choice, examples
from pulp_events.defaults import API_PORT, WORKER_CONCURRENCY

from pulp_deploy import process_settings
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Folder
from pulp_deploy.defaults import KAFKA_PORT, PARTITIONS, POSTGRES_PORT
from pulp_deploy.settings_help import SettingsCommand

if TYPE_CHECKING:
    from pulp_deploy.stack import StackOptions

_PORT: Final = click.IntRange(0, 65535)


@click.command(
    cls=SettingsCommand,
    settings=process_settings.up,
    epilog=examples(
        "pulp-tasks up --detach",
        "pulp-tasks up --temporary --workers 3",
        "pulp-tasks up --detach --output json | jq -r .kafka",
    ),
)
@click.option("--data", type=Folder(), help="Data folder; it is kept for the next start.")
@click.option("--temporary", is_flag=True, help="Use a new data folder and free ports; remove the folder at the end.")
@click.option("--brokers", type=Choice(["1", "3"]), help="Kafka brokers, fixed at the first start (1).")
@click.option(
    "--partitions", type=click.IntRange(1), default=PARTITIONS, show_default=True, help="Fixed at the first start."
)
@click.option("--api-port", type=_PORT, help=f"Port of the API ({API_PORT}; 0: any free one).")
@click.option("--kafka-port", type=_PORT, help=f"Port of the first broker ({KAFKA_PORT}; 0: any free ones).")
@click.option("--postgres-port", type=_PORT, help=f"Port of PostgreSQL ({POSTGRES_PORT}; 0: any free one).")
@click.option("--free-ports", is_flag=True, help="Use free ports for all that have no option of their own.")
@click.option("--processors", type=click.IntRange(0), default=1, show_default=True, help="Number of processors.")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Number of workers.")
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=WORKER_CONCURRENCY,
    show_default=True,
    help="Tasks that a worker runs at once.",
)
@click.option("--no-transparency", is_flag=True, help="Do not keep the log that shows whether an event was altered.")
@click.option(
    "--user",
    metavar="NAME",
    help="For root: run everything as this user; root: as root."
    " Default: postgres or nobody, if they can read what is installed.",
)
@click.option("--detach", is_flag=True, help="Return when everything is ready, and leave it running.")
@click.option("--at", type=click.Path(path_type=Path), hidden=True, help="Where --temporary has its folder.")
@output_option
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
    no_transparency: bool,
    user: str | None,
    detach: bool,
    at: Path | None,
    output: str,
) -> None:
    """Run everything on this machine: a local stack.

    It starts Kafka, Postgres, the API, a processor, a worker, and the process that keeps the log. If PULP_KAFKA or
    PULP_POSTGRES is set, it uses that one instead of a local one, and waits up to PULP_STARTUP_TIMEOUT_S for it to
    answer. Ctrl-C stops everything. The data folder remembers its ports: the next start uses the same ones unless told
    otherwise. Without --data, the folder is PULP_DATA, else the user's usual one.
    """
    from pulp_events import settings
    from pulp_events.declared_settings import read_field
    from pulp_runtime.installation import Installation

    from pulp_deploy.backend import BackendOptions
    from pulp_deploy.folder import default_folder
    from pulp_deploy.local.postgres import connections_for
    from pulp_deploy.local.surroundings import without_libpq
    from pulp_deploy.stack import StackOptions
    from pulp_deploy.temporary import make_temporary
    from pulp_deploy.unknown_settings import warn_of_unknown

    if data is not None and temporary:
        raise click.UsageError("--data and --temporary exclude each other.")
    prefix = settings.topic_prefix(os.environ)
    kafka = settings.kafka(os.environ).bootstrap if os.environ.get("PULP_KAFKA", "").strip() else None
    folder = data or at or (make_temporary() if temporary else default_folder())
    if detach:
        _detach(folder, temporary=temporary)
        return
    warn_of_unknown(os.environ)
    for key in os.environ.keys() - without_libpq(os.environ).keys():
        del os.environ[key]  # PGPASSWORD would override the password file of the stack's own PostgreSQL
    unless_given = 0 if temporary or free_ports else None
    backend = BackendOptions(
        brokers=None if brokers is None else int(brokers),
        partitions=partitions,
        kafka_port=unless_given if kafka_port is None else kafka_port,
        postgres_port=unless_given if postgres_port is None else postgres_port,
        postgres_connections=connections_for(processors=processors, workers=workers),
        user=user,
        given_kafka=kafka,
        given_postgres=os.environ.get("PULP_POSTGRES", "").strip() or None,
    )
    options = StackOptions(
        data=folder,
        temporary=temporary,
        api_port=unless_given if api_port is None else api_port,
        processors=processors,
        workers=workers,
        concurrency=concurrency,
        transparency=not no_transparency,
        prefix=prefix,
        backend=backend,
        startup_timeout_s=read_field(Installation, "startup_timeout_s", os.environ),
    )
    run(options, private=temporary, output=output)


def run(options: "StackOptions", *, private: bool, output: str) -> None:
    """Run the stack in the foreground."""
    from pulp_deploy import foreground

    foreground.run(options, private=private, output=output)


def _detach(folder: Path, *, temporary: bool) -> None:
    """Run the same command in the background, and print its output once it is ready."""
    from pulp_deploy.detach import start_detached

    arguments = [each for each in sys.argv[1:] if each != "--detach"]
    click.echo(start_detached([*arguments, *(["--at", str(folder)] if temporary else [])], folder))
