"""`pulp-admin repo tasks`: the commands of `tasks` for one repository, as Pulp 2 has them."""

import copy

import click
from pulp_console.groups import Group, examples

from pulp_admin.cancelling import cancel_of_repository
from pulp_admin.details import details
from pulp_admin.listing import list_of_repository


@click.group(cls=Group, epilog=examples("pulp-admin repo tasks list --repo-id zoo"))
def tasks() -> None:
    """List, inspect and cancel the tasks of a repository."""


_details = copy.copy(details)
_details.epilog = examples("pulp-admin repo tasks details --task-id e0e0a250-eded-468f-9d97-0419a00b130f")
for _command in (list_of_repository, _details, cancel_of_repository):
    tasks.add_command(_command)
