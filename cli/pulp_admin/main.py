"""`pulp-admin`: the client of Pulp Tasks."""

import os
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Never

import click
from pulp_console import edge
from pulp_console.exits import CONFIG, SOFTWARE
from pulp_console.groups import Choice, LazyGroup, examples
from pulp_console.output import failed, hint

from pulp_admin import elsewhere, settings
from pulp_admin.app import WIDE_OUTPUTS, App
from pulp_admin.cli_map import print_map
from pulp_admin.client_log import write_log
from pulp_admin.config import own_folder
from pulp_admin.config_files import config_path
from pulp_admin.errors import Failure

_COMMANDS: Final = {
    "tasks": "pulp_admin.tasks:tasks",
    "submit": "pulp_admin.submitting:submit",
    "orphan": "pulp_admin.orphans:orphan",
    "repo": "pulp_admin.repo:repo",
    "rpm": "pulp_admin.rpm:rpm",
    "schedules": "pulp_admin.schedules:schedules",
    "subscriptions": "pulp_admin.subscriptions:subscriptions",
    "queue": "pulp_admin.queue:queue",
    "audit": "pulp_admin.audit:audit",
    "dead-letters": "pulp_admin.dead_letters:dead_letters",
    "stats": "pulp_admin.stats:stats",
    "top": "pulp_admin.top:top",
    "subjects": "pulp_admin.subjects:subjects",
    "tokens": "pulp_admin.tokens:tokens",
    "status": "pulp_admin.info:status",
    "operations": "pulp_admin.operations:operations",
    "workers": "pulp_admin.info:workers",
    "login": "pulp_admin.login:login",
    "logout": "pulp_admin.login:logout",
    "completion": "pulp_admin.info:completion",
}


@click.group(
    cls=LazyGroup,
    places=_COMMANDS,
    elsewhere=elsewhere.SECTIONS,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 80},
    epilog=examples("pulp-admin tasks list", "pulp-admin --output json tasks details --task-id ID"),
)
@click.option("--url", metavar="URL", help=settings.URL.help)
@click.option("--username", "-u", metavar="NAME", help=settings.USERNAME.help)
@click.option(
    "--password",
    "-p",
    metavar="TEXT",
    help="The password. Other users can see it in the process list: --password-file is safer.",
)
@click.option("--password-file", metavar="FILE", help=settings.PASSWORD_FILE.help)
@click.option("--ca-file", metavar="FILE", help=settings.CA_FILE.help)
@click.option("--config", metavar="FILE", help=settings.MORE_CONFIG.help)
@click.option("--output", type=Choice(WIDE_OUTPUTS), default="table", help="Output format, for people or for scripts.")
@click.option("-v", "verbosity", count=True, help="Log each request on standard error; -vv also logs its JSON.")
@click.option(
    "--map",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_map,
    help="Print all sections and commands, then exit.",
)
@click.version_option(package_name="pulp-admin", message="pulp-admin %(version)s")
@click.pass_context
def cli(context: click.Context, /, output: str, verbosity: int, **flags: Any) -> None:
    """Start, list, inspect, watch and cancel the tasks of a Pulp server.

    The server and the user come from the options, else from the environment, else from ~/.pulp/admin.toml, else from
    Pulp 2's admin.conf (~/.pulp/admin.conf, /etc/pulp/admin). The session that `login` stored takes precedence over the
    files.
    """
    if flags["password"] and flags["password_file"]:
        raise click.UsageError("Give --password or --password-file, not both.")
    if os.environ.get(settings.ERRORS.variable, "") not in ("", "stderr", "stdout"):
        raise Failure(f"{settings.ERRORS.variable} in the environment: stderr or stdout is expected", CONFIG)
    app = context.obj if isinstance(context.obj, App) else App({})
    app.flags, app.output, app.verbosity = flags, output, verbosity
    context.obj = app


def run(arguments: Sequence[str] | None = None, app: App | None = None) -> int:
    """Run a command line and return the exit code. Never raises for a user's mistake."""
    used = app or App({})
    return edge.run(cli, arguments, program="pulp-admin", explain=partial(_explain, used), obj=used)


def _explain(app: App, error: Exception) -> int:
    if isinstance(error, Failure):
        failed(error.message, to_stdout=error.to_stdout or os.environ.get(settings.ERRORS.variable) == "stdout")
        return error.code
    folder = own_folder(config_path(os.environ))
    log = None if folder is None else write_log(folder)
    where = "" if log is None else f" More information can be found in the client log file {log}."
    if app.verbosity:
        hint("".join(traceback.format_exception(error)))
    failed(f"An unexpected error has occurred: {type(error).__name__}: {error}.{app.doubt()}{where}")
    return SOFTWARE


def main() -> Never:
    """The console script."""
    edge.end(run())
