"""`repo sync status` and `repo publish status`, also by their Pulp 2 names."""

from collections.abc import Mapping
from typing import Any, Final

import click
from pulp_console.groups import examples
from pulp_console.output import show

from pulp_admin.app import App, with_app
from pulp_admin.exits import CANCELLED, FAILED
from pulp_admin.filters import codes_of
from pulp_admin.paths import api_path
from pulp_admin.repo_options import repo_id_option
from pulp_admin.screen import banner, say
from pulp_admin.words import UNFINISHED

_LEAVE: Final = "This command may be exited by pressing ctrl+c without affecting the actual operation on the server."
_IDLE: Final = "The repository is not performing any operations"
_ENDS: Final[Mapping[int, str]] = {0: "Task Succeeded", FAILED: "Task Failed", CANCELLED: "Task Canceled"}


def status_command(name: str, operation: str) -> click.Command:
    """The command `NAME OPERATION status`, such as `repo sync status`."""

    @click.command("status", epilog=examples(f"pulp-admin {name} {operation} status --repo-id zoo"))
    @repo_id_option
    @with_app
    def status(app: App, repo_id: str) -> None:
        banner(app, f"Repository Status [{repo_id}]")
        task_id = unfinished(app, repo_id, operation)
        if task_id is None:
            show(app.output, None, lambda: [_IDLE])
            return
        follow_to_its_end(app, task_id)

    status.help = f"Follow the {operation} that runs or waits, if there is one."
    return status


def unfinished(app: App, repo_id: str, operation: str) -> str | None:
    """The oldest task of this kind that has not ended."""
    wanted: dict[str, Any] = {"resource": f"repository:{repo_id}", "operation": operation, "limit": 1}
    for report in app.client.get(api_path("v2", "tasks"), {**wanted, "state": codes_of(UNFINISHED)}):
        return str(report["task_id"])
    return None


def follow_to_its_end(app: App, task_id: str) -> None:
    """Follow the task, say in Pulp 2's words how it ended, and exit as `tasks watch` does."""
    from pulp_admin.watching import follow

    say(app, _LEAVE)
    code = follow(app.client, task_id, app.output)
    if app.output in ("table", "wide") and code in _ENDS:
        show(app.output, None, lambda: ["", _ENDS[code], ""])
    click.get_current_context().exit(code)
