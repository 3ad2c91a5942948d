"""`pulp-admin rpm repo sync run|status` and `publish run|status`, in the words of Pulp 2."""

from typing import Final

import click
from pulp_console.groups import Group, examples
from pulp_console.output import show

from pulp_admin import render
from pulp_admin.app import App, with_app
from pulp_admin.elsewhere import WORK
from pulp_admin.repo_options import repo_id_option
from pulp_admin.repo_status import follow_to_its_end, status_command, unfinished
from pulp_admin.screen import banner, say
from pulp_admin.start import QUEUED

_background: Final = click.option("--bg", "in_background", is_flag=True, help="Return at once.")
_force_full: Final = click.option(
    "--force-full", is_flag=True, help="Accepted for scripts of Pulp 2; it changes nothing."
)


@click.group(cls=Group, elsewhere=WORK, epilog=examples("pulp-admin rpm repo sync run --repo-id zoo"))
def sync() -> None:
    """Sync repositories, and show the progress."""


@sync.command("run", epilog=examples("pulp-admin rpm repo sync run --repo-id zoo --bg"))
@repo_id_option
@_background
@_force_full
@with_app
def run_sync(app: App, repo_id: str, in_background: bool, force_full: bool) -> None:
    """Sync a yum repository, and follow the task to its end.

    If a sync already runs or waits, it follows that one and starts no other.
    """
    banner(app, f"Synchronizing Repository [{repo_id}]")
    _tell_options(app, "sync", force_full=force_full)
    _run(app, repo_id, "sync", in_background=in_background)


sync.add_command(status_command("rpm repo", "sync"))


@click.group(cls=Group, elsewhere=WORK, epilog=examples("pulp-admin rpm repo publish run --repo-id zoo"))
def publish() -> None:
    """Publish repositories, and show the progress."""


@publish.command("run", epilog=examples("pulp-admin rpm repo publish run --repo-id zoo --bg"))
@repo_id_option
@_background
@_force_full
@with_app
def run_publish(app: App, repo_id: str, in_background: bool, force_full: bool) -> None:
    """Publish the synced packages, and follow the task to its end.

    If a publish already runs or waits, it follows that one and starts no other.
    """
    banner(app, f"Publishing Repository [{repo_id}]")
    _tell_options(app, "publish", force_full=force_full)
    _run(app, repo_id, "publish", in_background=in_background)


publish.add_command(status_command("rpm repo", "publish"))


def _tell_options(app: App, operation: str, *, force_full: bool) -> None:
    """Print the options that Pulp 2.21 prints, where they were given."""
    if force_full and app.output == "table":
        say(app, f"The following {operation} configuration options will be used:")
        show("table", None, lambda: [*render.document({"force_full": True}, gap=2), ""])


def _run(app: App, repo_id: str, operation: str, *, in_background: bool) -> None:
    task_id = unfinished(app, repo_id, operation)
    if task_id is None:
        task_id = app.client.submit({"operation": operation, "arguments": {"repo_id": repo_id}})
    else:
        said = f"A {operation} task is already in progress for this repository."
        say(app, said if in_background else f"{said} Its progress will be tracked below.")
    if in_background:
        _leave(app, task_id, operation)
        return
    follow_to_its_end(app, task_id)


def _leave(app: App, task_id: str, operation: str) -> None:
    """Say what Pulp 2.21 says with `--bg`, and what 2.0 says."""
    say(app, QUEUED)
    told = f"The status of this {operation} can be displayed using the status command."
    show(app.output, {"task_id": task_id}, lambda: [told])
