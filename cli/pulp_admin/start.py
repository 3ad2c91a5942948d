"""Submit a task and print what every command prints."""

from typing import Any, Final

import click
from pulp_console.output import show, show_next

from pulp_admin.app import App

QUEUED: Final = "The request has been queued on the server."
"""The message of Pulp 2's client for every command with `--bg`."""
watch_option = click.option("--watch", is_flag=True, help="Follow the task until it ends.")


def accepted(app: App, body: dict[str, Any], *, watch: bool, key: str | None = None) -> None:
    """Submit a task, and print the guide's message."""
    tell_accepted(app, app.client.submit(body, key), watch=watch)


def tell_accepted(app: App, task_id: str, *, watch: bool) -> None:
    """Print the guide's message for a submitted task; with `watch`, follow it and exit with its outcome."""
    text = ["Request accepted", "", f'check status of task {task_id} with "pulp-admin tasks details"']
    if not watch:
        show(app.output, {"task_id": task_id}, lambda: text)
        return
    from pulp_admin.watching import follow

    show_next(app.output, {"task_id": task_id}, "\n".join(text))  # the first of several: the task follows
    click.get_current_context().exit(follow(app.client, task_id, app.output))
