"""What a repository is at: `repo sync status`, `repo publish status`, and their names of Pulp 2."""

from typing import Any, Final

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin.app import App, with_app
from pulp_admin.filters import codes_of
from pulp_admin.paths import api_path
from pulp_admin.repo_options import repo_id_option
from pulp_admin.screen import banner
from pulp_admin.words import UNFINISHED

_LEAVE: Final = "This command may be exited by pressing ctrl+c without affecting the actual operation on the server."
_IDLE: Final = "The repository is not performing any operations"


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
    """Follow the task, and exit as `tasks watch` does."""
    from pulp_admin.watching import follow

    hint(_LEAVE)
    click.get_current_context().exit(follow(app.client, task_id, app.output))
