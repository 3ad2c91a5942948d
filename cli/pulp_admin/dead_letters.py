"""`pulp-admin dead-letters`: its commands are in separate files, which are imported when they are called."""

from typing import Final

import click
from pulp_console.groups import LazyGroup, examples

_COMMANDS: Final = {
    "list": "pulp_admin.dead_letter_pages:list_",
    "show": "pulp_admin.dead_letter_pages:show_one",
    "retry": "pulp_admin.dead_letter_acts:retry",
    "discard": "pulp_admin.dead_letter_acts:discard",
}


@click.group(
    "dead-letters",
    cls=LazyGroup,
    places=_COMMANDS,
    epilog=examples(
        "pulp-admin dead-letters list",
        'pulp-admin dead-letters discard 3:1042 --reason "by a broken script"',
    ),
)
def dead_letters() -> None:
    """List, show, retry or discard records that cannot be projected.

    A record of the log that cannot be projected parks its task: later records of the task wait behind it, in order,
    until an operator retries or discards it. All other tasks go on.
    """
