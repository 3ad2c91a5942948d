"""`pulp-admin`: the client of Pulp Tasks."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click
from pulp_console import edge
from pulp_console.exits import SOFTWARE
from pulp_console.groups import Choice, LazyGroup, examples
from pulp_console.output import failed

from pulp_admin.app import WIDE_OUTPUTS, App
from pulp_admin.client_log import write_log
from pulp_admin.config import config_path, own_folder
from pulp_admin.errors import Failure

_COMMANDS: Final = {
    "tasks": "pulp_admin.tasks:tasks",
    "submit": "pulp_admin.submitting:submit",
    "orphan": "pulp_admin.start:orphan",
    "repo": "pulp_admin.repo:repo",
    "rpm": "pulp_admin.rpm:rpm",
    "status": "pulp_admin.info:status",
    "operations": "pulp_admin.operations:operations",
    "workers": "pulp_admin.info:workers",
    "completion": "pulp_admin.info:completion",
}


@click.group(
    cls=LazyGroup,
    places=_COMMANDS,
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


def run(arguments: Sequence[str] | None = None, app: App | None = None) -> int:
    """Run a command line; the exit code. Never raises for what a user does."""
    return edge.run(cli, arguments, program="pulp-admin", explain=_explain, obj=app)


def _explain(error: Exception) -> int:
    if isinstance(error, Failure):
        failed(error.message, to_stdout=error.to_stdout)
        return error.code
    folder = own_folder(config_path(os.environ))
    log = None if folder is None else write_log(folder)
    where = "" if log is None else f" More information can be found in the client log file {log}."
    failed(f"An unexpected error has occurred: {type(error).__name__}: {error}.{where}")
    return SOFTWARE


def main() -> None:
    """The console script."""
    sys.exit(run())
