"""`pulp-admin tasks cancel`: one task as the user guide says, or all that match."""

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.bulk import Outcome, Word, act_on, exit_code
from pulp_admin.client import BULK_PATIENCE_S
from pulp_admin.errors import NotFound
from pulp_admin.ids import TASK_ID, resolve, unfinished_task_id_option
from pulp_admin.not_found import why_not_cancelled
from pulp_admin.paths import api_path
from pulp_admin.selecting import TaskSelection, ask, number_of, selected, selection_options, show_dry_run, show_results
from pulp_admin.words import STATES, UNFINISHED, StateWord, state_of

if TYPE_CHECKING:
    from pulp_admin.client import Client

_AT_ONCE: Final = 16
"""The server answers when a task has ended, or after two seconds, so many requests wait at the same time."""
_ASKED_FOR: Final = tuple(state for state in UNFINISHED if state.pulp3 != "canceling")
"""The states that `--all` selects; tasks in other states have ended, or their cancel was already requested."""
_reason_option: Final = click.option("--reason", metavar="TEXT", help="The reason; the task's history keeps it.")


@click.command(
    epilog=examples(
        "pulp-admin tasks cancel --task-id e0e0a250-eded-468f-9d97-0419a00b130f",
        "pulp-admin tasks cancel --all --operation sync --dry-run",
    )
)
@click.option(
    "--task-id",
    type=TASK_ID,
    metavar="ID",
    shell_complete=completing.unfinished_task_ids,
    help="The task: its id, href or PRN, or the first digits.",
)
@_reason_option
@selection_options
@with_app
def cancel(app: App, task_id: TaskId | None, reason: str | None, **options: Any) -> None:
    """Cancel a task that waits, or runs and supports it. Prints nothing if the cancel was accepted.

    With --all it cancels every task that matches the filters. It lists those that cannot be cancelled at the end, and
    then exits with 69.
    """
    selection = TaskSelection(options)
    selection.check(has_ids=task_id is not None)
    if task_id is None:
        _cancel_all(app, selection, reason)
    elif selection.is_dry_run:
        show_dry_run(app, [app.client.get(api_path("v2", "tasks", resolve(app.client, task_id)))], "would be cancelled")
    else:
        _cancel_one(app, resolve(app.client, task_id), reason)


@click.command("cancel", epilog=examples("pulp-admin repo tasks cancel --task-id e0e0a250-eded-468f-9d97-0419a00b130f"))
@unfinished_task_id_option
@_reason_option
@with_app
def cancel_of_repository(app: App, task_id: TaskId, reason: str | None) -> None:
    """Cancel a task that waits, or runs and supports it. Prints nothing if the cancel was accepted."""
    _cancel_one(app, resolve(app.client, task_id), reason)


def _cancel_one(app: App, task_id: str, reason: str | None) -> None:
    try:
        report = app.client.delete(api_path("v2", "tasks", task_id), None if reason is None else {"reason": reason})
    except NotFound as refusal:
        raise why_not_cancelled(app.client, task_id, refusal) from None
    if app.output in ("json", "yaml"):
        show(app.output, report, list)


def _cancel_all(app: App, selection: TaskSelection, reason: str | None) -> None:
    _check_states(selection.filters.states)
    tasks = selected(app, selection, _ASKED_FOR)
    if selection.is_dry_run:
        show_dry_run(app, tasks, "would be cancelled")
        return
    if tasks:
        ask(selection, tasks, "Cancel", "waits or runs")
    app.client.patience_s = BULK_PATIENCE_S
    results = act_on(tasks, partial(_cancelled, app.client, reason), at_once=_AT_ONCE)
    show_results(app, results, "cancelled", list)
    if stopping := [result for result in results if result.outcome.told.get("state") == "cancelling"]:
        hint(f"{number_of(stopping)} of them will have stopped in a moment: pulp-admin tasks list --state cancelling")
    click.get_current_context().exit(exit_code(results))


def _cancelled(client: "Client", reason: str | None, task_id: str) -> Outcome:
    """Request the cancellation of a task. Raises `Failure` if the server does not answer, or refuses this user."""
    task = client.cancel(task_id, reason)
    state = state_of(task["state"])
    told = {"state": state.pulp2}
    if task.get("detail"):
        return Outcome(Word.REFUSED, str(task["detail"]), told)
    if state.exit_code is not None and state.pulp3 != "canceled":
        return Outcome(Word.ENDED, f"it had ended: {state.guide}", told)
    return Outcome(Word.DONE, told=told)


def _check_states(states: tuple[StateWord, ...]) -> None:
    if ended := [state.guide for state in states if state.exit_code is not None]:
        words = " and ".join(state.guide for state in STATES if state.exit_code is None)
        raise click.UsageError(
            f"--state {ended[0]}: such a task has ended, there is nothing to cancel. States to choose from: {words}"
        )
