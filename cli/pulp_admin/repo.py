"""`pulp-admin repo`: its commands are in separate files, which are imported when they are called."""

from typing import Final

import click
from pulp_console.groups import LazyGroup, examples

from pulp_admin import elsewhere

_COMMANDS: Final = {
    "list": "pulp_admin.repo_pages:list_",
    "show": "pulp_admin.repo_pages:show_one",
    "create": "pulp_admin.repo_changes:create",
    "update": "pulp_admin.repo_changes:update",
    "remove": "pulp_admin.repo_changes:remove",
    "sync": "pulp_admin.repo_work:sync",
    "publish": "pulp_admin.repo_work:publish",
    "repair": "pulp_admin.repo_work:repair",
    "tasks": "pulp_admin.repo_tasks:tasks",
}


@click.group(
    cls=LazyGroup,
    places=_COMMANDS,
    elsewhere=elsewhere.ANY_REPO,
    epilog=examples("pulp-admin repo list", "pulp-admin repo publish run --repo-id zoo"),
)
def repo() -> None:
    """Create, list, change, sync, publish and remove repositories."""
