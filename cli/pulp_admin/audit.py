"""`pulp-admin audit`: who did what to any task; its commands are in separate files."""

from typing import Final

import click
from pulp_console.groups import LazyGroup, examples

_COMMANDS: Final = {
    "list": "pulp_admin.audit_listing:list_",
    "export": "pulp_admin.audit_export:export",
}


@click.group(cls=LazyGroup, places=_COMMANDS, epilog=examples("pulp-admin audit list --who jo --since yesterday"))
def audit() -> None:
    """Show and export who did what, for auditors and administrators.

    The audit is the history of all tasks: each event with its place in the log, its times, who wrote it, how that was
    proved, and its effect. `pulp-tasks audit` shows who signed in and who was refused.
    """
