"""Starting a task, as every command says it; and `orphan remove`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from pulp_console.groups import Group, examples
from pulp_console.output import show, show_next

from pulp_admin.app import App, with_app

F = TypeVar("F", bound=Callable[..., Any])

watch_option = click.option("--watch", is_flag=True, help="Follow the task until it ends.")


def accepted(app: App, body: dict[str, Any], *, watch: bool, key: str | None = None) -> None:
    """Submit, and say so as the guide does."""
    tell_accepted(app, app.client.submit(body, key), watch=watch)


def tell_accepted(app: App, task_id: str, *, watch: bool) -> None:
    """Say as the guide does that a task was submitted; with `watch` follow it, and exit as it ended."""
    text = ["Request accepted", "", f'check status of task {task_id} with "pulp-admin tasks details"']
    if not watch:
        show(app.output, {"task_id": task_id}, lambda: text)
        return
    from pulp_admin.watching import follow

    show_next(app.output, {"task_id": task_id}, "\n".join(text))  # the first of several: the task follows
    click.get_current_context().exit(follow(app.client, task_id, app.output))


@click.group(cls=Group, epilog=examples("pulp-admin orphan remove --all"))
def orphan() -> None:
    """Manage content that no repository uses."""


@orphan.command(epilog=examples("pulp-admin orphan remove --all"))
@click.option("--all", "remove_all", is_flag=True, required=True, help="Remove all orphaned content.")
@watch_option
@with_app
def remove(app: App, remove_all: bool, watch: bool) -> None:
    """Remove content that no repository uses."""
    accepted(app, {"operation": "remove-orphans"}, watch=watch)
