"""`pulp-admin schedules`: its commands are in separate files, which are imported when they are called."""

from typing import Final

import click
from pulp_console.groups import LazyGroup, examples

_COMMANDS: Final = {
    "list": "pulp_admin.schedule_pages:list_",
    "show": "pulp_admin.schedule_pages:show_one",
    "preview": "pulp_admin.schedule_pages:preview",
    "create": "pulp_admin.schedule_changes:create",
    "update": "pulp_admin.schedule_changes:update",
    "enable": "pulp_admin.schedule_changes:enable",
    "disable": "pulp_admin.schedule_changes:disable",
    "delete": "pulp_admin.schedule_changes:delete",
}


@click.group(
    cls=LazyGroup,
    places=_COMMANDS,
    epilog=examples(
        "pulp-admin schedules create nightly sync -a repo_id=zoo \\",
        "    --cron '30 2 * * *' --time-zone Europe/Berlin",
        "pulp-admin schedules list",
    ),
)
def schedules() -> None:
    """Submit tasks on a schedule: by cron, at an interval, or once."""
