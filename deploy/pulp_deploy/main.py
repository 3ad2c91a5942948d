"""`pulp-tasks`, the operator's command."""

import importlib
import logging
import os
import sys
from collections.abc import Mapping
from typing import Final, Never

import click
from pulp_events.errors import PulpError
from pulp_events.heap import share_one_heap

from pulp_deploy.log_lines import set_up_logging

COMMANDS: Final[Mapping[str, str]] = {
    "up": "pulp_deploy.commands.up:up",
    "down": "pulp_deploy.commands.running:down",
    "status": "pulp_deploy.commands.running:status",
    "logs": "pulp_deploy.commands.running:logs",
    "demo": "pulp_deploy.commands.demo:demo",
    "topics": "pulp_deploy.commands.topics:topics",
    "users": "pulp_deploy.commands.users:users",
    "events": "pulp_deploy.commands.events:events",
    "dead-letters": "pulp_deploy.commands.dead_letters:dead_letters",
    "rebuild": "pulp_deploy.commands.rebuild:rebuild_group",
    "verify": "pulp_deploy.commands.verify:verify",
    "api": "pulp_deploy.commands.services:api",
    "processor": "pulp_deploy.commands.services:processor",
    "worker": "pulp_deploy.commands.services:worker",
}
"""Where each command is. It is imported when it is called, so that none waits for what it does not need."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pulp-tasks", prog_name="pulp-tasks")
def pulp_tasks() -> None:
    """Run Pulp Tasks: everything on this machine (up), or one process of an installation.

    PULP_KAFKA and PULP_POSTGRES name the Kafka and the Postgres to use.
    """


def main() -> Never:
    """Run the command line and exit with the codes of `exits.py`."""
    share_one_heap()
    set_up_logging(os.environ)
    try:
        code = pulp_tasks.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.UsageError as error:
        error.show()
        code = 64
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is wanted: no error at exit
        code = 0
    except PulpError as error:
        from pulp_deploy.exits import exit_code

        click.echo(f"pulp-tasks: {error}", err=True)
        code = exit_code(error)
    except Exception:
        logging.getLogger("pulp").exception("unexpected error")
        code = 70
    sys.exit(code if isinstance(code, int) else 0)
