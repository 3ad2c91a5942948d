"""`pulp-admin rpm repo sync run|status` and `publish run|status`, in the words of Pulp 2."""

from typing import Any, Final

import click
from pulp_console.groups import Group, examples
from pulp_console.output import hint, show

from pulp_admin.app import App, with_app
from pulp_admin.filters import codes_of
from pulp_admin.paths import api_path
from pulp_admin.repo_options import repo_id_option
from pulp_admin.screen import banner
from pulp_admin.words import UNFINISHED

_LEAVE: Final = "This command may be exited by pressing ctrl+c without affecting the actual operation on the server."
_IDLE: Final = "The repository is not performing any operations"
_background: Final = click.option("--bg", "in_background", is_flag=True, help="Return at once.")


@click.group(cls=Group, epilog=examples("pulp-admin rpm repo sync run --repo-id zoo"))
def sync() -> None:
    """Fetch repositories, and see how far that is."""


@sync.command("run", epilog=examples("pulp-admin rpm repo sync run --repo-id zoo --bg"))
@repo_id_option
@_background
@with_app
def run_sync(app: App, repo_id: str, in_background: bool) -> None:
    """Fetch a yum repository, and follow that to its end.

    A sync that runs or waits already is followed, and no other one is started.
    """
    banner(app, f"Synchronizing Repository [{repo_id}]")
    _run(app, repo_id, "sync", in_background=in_background)


@sync.command("status", epilog=examples("pulp-admin rpm repo sync status --repo-id zoo"))
@repo_id_option
@with_app
def sync_status(app: App, repo_id: str) -> None:
    """Follow the sync that runs or waits, if there is one."""
    _status(app, repo_id, "sync")


@click.group(cls=Group, epilog=examples("pulp-admin rpm repo publish run --repo-id zoo"))
def publish() -> None:
    """Publish repositories, and see how far that is."""


@publish.command("run", epilog=examples("pulp-admin rpm repo publish run --repo-id zoo --bg"))
@repo_id_option
@_background
@with_app
def run_publish(app: App, repo_id: str, in_background: bool) -> None:
    """Publish what was fetched, and follow that to its end.

    A publish that runs or waits already is followed, and no other one is started.
    """
    banner(app, f"Publishing Repository [{repo_id}]")
    _run(app, repo_id, "publish", in_background=in_background)


@publish.command("status", epilog=examples("pulp-admin rpm repo publish status --repo-id zoo"))
@repo_id_option
@with_app
def publish_status(app: App, repo_id: str) -> None:
    """Follow the publish that runs or waits, if there is one."""
    _status(app, repo_id, "publish")


def _run(app: App, repo_id: str, operation: str, *, in_background: bool) -> None:
    task_id = _unfinished(app, repo_id, operation)
    if task_id is None:
        task_id = app.client.submit({"operation": operation, "arguments": {"repo_id": repo_id}})
    else:
        hint(
            f"A {operation} task is already in progress for this repository."
            + ("" if in_background else " Its progress will be tracked below.")
        )
    if in_background:
        told = f"The status of this {operation} can be displayed using the status command."
        show(app.output, {"task_id": task_id}, lambda: [told])
        return
    _follow(app, task_id)


def _status(app: App, repo_id: str, operation: str) -> None:
    banner(app, f"Repository Status [{repo_id}]")
    task_id = _unfinished(app, repo_id, operation)
    if task_id is None:
        show(app.output, None, lambda: [_IDLE])
        return
    _follow(app, task_id)


def _unfinished(app: App, repo_id: str, operation: str) -> str | None:
    """The oldest task of this kind that has not ended."""
    wanted: dict[str, Any] = {"resource": f"repository:{repo_id}", "operation": operation, "limit": 1}
    for report in app.client.get(api_path("v2", "tasks"), {**wanted, "state": codes_of(UNFINISHED)}):
        return str(report["task_id"])
    return None


def _follow(app: App, task_id: str) -> None:
    from pulp_admin.watching import follow

    hint(_LEAVE)
    click.get_current_context().exit(follow(app.client, task_id, app.output))
