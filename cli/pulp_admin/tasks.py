"""`pulp-admin tasks`: its commands are in separate files, which are imported when they are called."""

from typing import Final

import click
from pulp_console.groups import LazyGroup, examples
from pulp_console.ids import TaskId

from pulp_admin.app import App, with_app
from pulp_admin.ids import resolve, unfinished_task_id_option

_COMMANDS: Final = {
    "list": "pulp_admin.listing:list_",
    "details": "pulp_admin.details:details",
    "watch": "pulp_admin.tasks:watch",
    "history": "pulp_admin.history:history",
    "diff": "pulp_admin.diff:diff",
    "bundle": "pulp_admin.bundle:bundle",
    "cancel": "pulp_admin.cancelling:cancel",
    "rerun": "pulp_admin.rerun:rerun",
    "purge": "pulp_admin.purging:purge",
}


@click.group(cls=LazyGroup, places=_COMMANDS, epilog=examples("pulp-admin tasks list"))
def tasks() -> None:
    """List, inspect, watch, cancel, rerun and purge tasks."""


@click.command(epilog=examples("pulp-admin tasks watch --task-id e0e0a250-eded-468f-9d97-0419a00b130f"))
@unfinished_task_id_option
@with_app
def watch(app: App, task_id: TaskId) -> None:
    """Follow a task until it ends. Exits 0 if it was successful, 1 failed, 3 cancelled, 4 skipped.

    It continues across a restart of the server. Ctrl-C stops watching; the task goes on. With --output json it prints
    the task as a line of JSON after each change.
    """
    from pulp_admin.watching import follow

    click.get_current_context().exit(follow(app.client, resolve(app.client, task_id), app.output))
