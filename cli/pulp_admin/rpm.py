"""`pulp-admin rpm`: the names that Pulp 2 has for the commands on repositories."""

from typing import Final

import click
from pulp_console.groups import Group, LazyGroup, examples

from pulp_admin import elsewhere

_COMMANDS: Final = {
    "list": "pulp_admin.rpm_repos:list_",
    "create": "pulp_admin.rpm_repos:create",
    "update": "pulp_admin.rpm_repos:update",
    "delete": "pulp_admin.rpm_repos:delete",
    "sync": "pulp_admin.rpm_work:sync",
    "publish": "pulp_admin.rpm_work:publish",
}


@click.group(cls=Group, elsewhere=elsewhere.RPM, epilog=examples("pulp-admin rpm repo list"))
def rpm() -> None:
    """Manage repositories with the commands of Pulp 2."""


@rpm.group(
    cls=LazyGroup,
    places=_COMMANDS,
    elsewhere=elsewhere.REPO,
    epilog=examples("pulp-admin rpm repo sync run --repo-id zoo"),
)
def repo() -> None:
    """Create, list, change, sync, publish and delete repositories."""
