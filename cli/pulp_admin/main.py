"""`pulp-admin`: the client of Pulp Tasks."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from pulp_console import edge
from pulp_console.groups import Choice, Group, examples
from pulp_console.output import failed

from pulp_admin import info, operations, start, submitting, tasks
from pulp_admin.app import WIDE_OUTPUTS, App
from pulp_admin.client_log import write_log
from pulp_admin.config import config_path
from pulp_admin.errors import SOFTWARE, Failure


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 80},
    epilog=examples("pulp-admin tasks list", "pulp-admin --output json tasks details --task-id ID"),
)
@click.option("--url", metavar="URL", help="The server  [env: PULP_URL].")
@click.option("--username", "-u", metavar="NAME", help="Who asks  [env: PULP_USERNAME].")
@click.option("--password-file", metavar="FILE", help="A file with the password  [env with it: PULP_PASSWORD].")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust  [env: PULP_CA_FILE].")
@click.option("--output", type=Choice(WIDE_OUTPUTS), default="table", help="Output format: for people, or for scripts.")
@click.version_option(package_name="pulp-admin", message="pulp-admin %(version)s")
@click.pass_context
def cli(context: click.Context, /, output: str, **flags: Any) -> None:
    """Start, list, inspect, watch and cancel the tasks of a Pulp server.

    The server and the user come from flags, else from the environment, else from ~/.pulp/admin.toml (or the file
    that PULP_ADMIN_CONFIG names).
    """
    app = context.obj if isinstance(context.obj, App) else App({})
    app.flags, app.output = flags, output
    context.obj = app


for command in (
    tasks.tasks,
    submitting.submit,
    start.orphan,
    start.repo,
    info.status,
    operations.operations,
    info.workers,
    info.completion,
):
    cli.add_command(command)


def run(arguments: Sequence[str] | None = None, app: App | None = None) -> int:
    """Run a command line; the exit code. Never raises for what a user does."""
    for argument in sys.argv[1:] if arguments is None else arguments:
        if not _is_text(argument):
            failed(f"The argument {argument!a} is not UTF-8, so it cannot be sent to a server.")
            return edge.USAGE
    return edge.run(cli, arguments, program="pulp-admin", explain=_explain, obj=app)


def _explain(error: Exception) -> int:
    if isinstance(error, Failure):
        failed(error.message, to_stdout=error.to_stdout)
        return error.code
    path = config_path(os.environ)
    log = None if path is None else write_log(path.parent)
    where = "" if log is None else f" More information can be found in the client log file {log}."
    failed(f"An unexpected error has occurred: {type(error).__name__}: {error}.{where}")
    return SOFTWARE


def _is_text(argument: str) -> bool:
    """Python keeps a byte that is not UTF-8 as half of a surrogate pair, which nothing can encode."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def main() -> None:
    """The console script."""
    sys.exit(run())
