"""`pulp-admin tasks purge`: hide tasks that have ended. Nothing of them is deleted."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import click
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show
from pulp_console.times import TIME

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.ids import TASK_ID, resolve
from pulp_admin.listing import refuse_both
from pulp_admin.options import STATES, instant
from pulp_admin.paths import api_path
from pulp_admin.screen import banner
from pulp_admin.words import STATES as ALL
from pulp_admin.words import StateWord

_ENDED: Final = tuple(state for state in ALL if state.exit_code is not None)


@click.command(
    epilog=examples(
        "pulp-admin tasks purge --all",
        "pulp-admin tasks purge --state successful,skipped --before 30d",
        "pulp-admin tasks list --purged",
    )
)
@click.option("--all", "-a", "purge_all", is_flag=True, help="All tasks that have ended.")
@click.option(
    "--state",
    "-s",
    "states",
    multiple=True,
    type=STATES,
    shell_complete=completing.states,
    help="Only those that ended in this state, such as successful or failed,skipped; may be repeated.",
)
@click.option(
    "--before", type=TIME, metavar="TIME", help="Only those that had ended by then, such as 30d or yesterday."
)
@click.option("--task-id", type=TASK_ID, metavar="ID", help="Only this one: its id, href or PRN, or the first digits.")
@with_app
def purge(
    app: App,
    purge_all: bool,
    states: tuple[tuple[StateWord, ...], ...],
    before: datetime | None,
    task_id: TaskId | None,
) -> None:
    """Hide tasks that have ended from lists and details.

    Nothing is deleted: `list --purged` and `details --purged` still show them, and `history` shows who purged them and
    when. Unfinished tasks stay as they are.
    """
    named = tuple(dict.fromkeys(state for group in states for state in group))
    if task_id is not None:
        if purge_all or named or before is not None:
            raise click.UsageError("Give --task-id alone.")
        _purge_one(app, resolve(app.client, task_id))
        return
    if not purge_all and not named:
        raise click.UsageError("Give --all, --state or --task-id.")
    if unfinished := [state.guide for state in named if state not in _ENDED]:
        words = " and ".join(state.guide for state in _ENDED)
        raise click.UsageError(
            f"--state {unfinished[0]}: such a task has not ended, and is never purged. States to choose from: {words}"
        )
    banner(app, "Purge Completed Tasks")
    if purge_all and named:
        refuse_both(app, "--state alone purges only those that ended so")
        return
    headers = {"Idempotency-Key": str(uuid4())}
    accepted = app.client.post(api_path("v3", "tasks", "purge"), _filter(named or _ENDED, before), headers)
    show(app.output, accepted, lambda: ["Task purging is successfully initiated.", ""])
    if app.output == "table":
        task = str(accepted["task"]).rstrip("/").rsplit("/", 1)[-1]
        hint(f"To follow it: pulp-admin tasks watch --task-id {task}")


def _purge_one(app: App, task_id: str) -> None:
    banner(app, "Purge Completed Tasks")
    app.client.purge(task_id)
    show(app.output, {"purged": task_id}, lambda: [f"Task {task_id} is purged.", ""])


def _filter(states: tuple[StateWord, ...], before: datetime | None) -> dict[str, Any]:
    return {
        "states": [state.pulp3 for state in states],
        "finished_before": instant(datetime.now(UTC) if before is None else before),
    }
