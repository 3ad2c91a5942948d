"""`pulp-admin`: the client of Pulp Tasks."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from pulp_admin import info, start, tasks
from pulp_admin.app import App
from pulp_admin.config import config_path
from pulp_admin.errors import SOFTWARE, USAGE, Failure
from pulp_admin.output import OUTPUTS, failed, write_log


@click.group(
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 80},
    epilog="Examples: pulp-admin tasks list · pulp-admin --output json tasks details --task-id ID",
)
@click.option("--url", metavar="URL", help="The server  [env: PULP_URL].")
@click.option("--username", "-u", metavar="NAME", help="Who asks  [env: PULP_USERNAME].")
@click.option("--password-file", metavar="FILE", help="A file with the password  [env with it: PULP_PASSWORD].")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust  [env: PULP_CA_FILE].")
@click.option("--output", type=click.Choice(OUTPUTS), default="table", help="As the user guide, or for scripts.")
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
    start.submit,
    start.orphan,
    start.repo,
    info.status,
    info.operations,
    info.workers,
    info.completion,
):
    cli.add_command(command)


def run(arguments: Sequence[str] | None = None, app: App | None = None) -> int:
    """Run a command line; the exit code. Never raises for what a user does."""
    try:
        code = cli.main(arguments, prog_name="pulp-admin", obj=app, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Failure as failure:
        failed(failure.message, to_stdout=failure.to_stdout)
        return failure.code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.MissingParameter as error:
        _usage(error)
        name = error.param.opts[0] if error.param is not None else error.param_hint
        click.echo(f"The following options are required but were not specified:\n  {name}", err=True)
        return USAGE
    except click.UsageError as error:
        _usage(error)
        failed(error.format_message())
        return USAGE
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone, as `| head` does: nothing is wrong
        return 0
    except Exception as error:
        log = write_log(config_path(os.environ).parent)
        where = "" if log is None else f" More information can be found in the client log file {log}."
        failed(f"An unexpected error has occurred: {type(error).__name__}: {error}.{where}")
        return SOFTWARE


def _usage(error: click.UsageError) -> None:
    if error.ctx is not None:
        click.echo(error.ctx.get_usage() + "\n", err=True)


def main() -> None:
    """The console script."""
    sys.exit(run())
