"""`pulp-admin tasks rerun`: run finished tasks again."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.exits import INTERRUPTED
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show, table

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.arguments import GivenText, given_arguments, typed
from pulp_admin.bulk import Outcome, Report, Result, Word, act_on, exit_code
from pulp_admin.client import BULK_PATIENCE_S
from pulp_admin.errors import NotFound
from pulp_admin.ids import TASK_ID, resolve
from pulp_admin.paths import api_path
from pulp_admin.screen import terminal_width
from pulp_admin.selecting import TaskSelection, ask, number_of, selected, selection_options, show_dry_run, show_results
from pulp_admin.words import STATES, StateWord, state_of

if TYPE_CHECKING:
    from pulp_admin.client import Client

_FAILED: Final = (state_of("failed"),)
"""What `--all` means if no state is named."""
_WORST_FIRST: Final = (1, 3, 4, 0)
"""Exit codes of `watch`: failed, cancelled, skipped, successful."""


@click.command(
    epilog=examples(
        "pulp-admin tasks rerun --task-id e0e0a250 --follow",
        "pulp-admin tasks rerun --all --state error --since yesterday --dry-run",
    )
)
@click.option(
    "--task-id",
    "task_ids",
    type=TASK_ID,
    multiple=True,
    metavar="ID",
    help="The task: its id, href or PRN, or the first digits of its id; may be repeated.",
)
@click.option(
    "--argument",
    "pairs",
    multiple=True,
    metavar="NAME=TEXT",
    help="A new value for an argument; NAME:=JSON if it is not text, NAME:=null to leave it out. May be repeated.",
)
@click.option("--arguments", metavar="JSON", help="New values for arguments, as one JSON object or @FILE.")
@click.option(
    "--to-queue", metavar="NAME", shell_complete=completing.queues, help="The queue of the new task, if different."
)
@click.option("--priority", type=click.IntRange(-1000, 1000), help="The priority of the new task, if different.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="Its time limit, if different.")
@click.option("--again", is_flag=True, help="With --all: also tasks that were run again already.")
@click.option("--follow", "--watch", "is_followed", is_flag=True, help="Follow the new task until it ends.")
@selection_options
@with_app
def rerun(
    app: App,
    task_ids: tuple[TaskId, ...],
    pairs: tuple[str, ...],
    arguments: str | None,
    to_queue: str | None,
    priority: int | None,
    timeout: int | None,
    again: bool,
    is_followed: bool,
    **options: Any,
) -> None:
    """Run a task that has ended again.

    This submits a new task with the same operation, arguments, resources, tags, queue and priority.

    With --all it reruns every task that matches the filters, in order of submission: failed tasks, unless --state names
    others, and none that was run again already. It lists those that could not be run again at the end, and then exits
    with 69.
    """
    selection = TaskSelection(options)
    selection.check(has_ids=bool(task_ids))
    changed = {"queue": to_queue, "priority": priority, "timeout_seconds": timeout}
    body: dict[str, Any] = {name: value for name, value in changed.items() if value is not None}
    if found := given_arguments(pairs, arguments):
        body["arguments"] = found
    if len(task_ids) == 1 and not selection.is_dry_run:
        _rerun_one(app, resolve(app.client, task_ids[0]), body, is_followed=is_followed)
        return
    tasks = _chosen(app, selection, again=again) if selection.is_all else _named(app, task_ids)
    if selection.is_dry_run:
        show_dry_run(app, tasks, "would be run again")
        return
    if selection.is_all and tasks:
        ask(selection, tasks, "Run again", "has failed")
    _rerun_many(app, tasks, body, is_followed=is_followed)


def _rerun_one(app: App, task_id: str, body: dict[str, Any], *, is_followed: bool) -> None:
    new_id = app.client.rerun(task_id, _as_declared(app.client, body, task_id), _new_key())
    text = ["Request accepted", "", f'check status of task {new_id} with "pulp-admin tasks details"']
    show(app.output, {"task_id": new_id, "rerun_of": task_id}, lambda: text)
    if is_followed:
        click.get_current_context().exit(_followed(app, [new_id]))


def _rerun_many(app: App, tasks: Sequence[Report], body: dict[str, Any], *, is_followed: bool) -> None:
    # One after the other, so that tasks on one resource keep their order. The keys keep a request from making a second
    # task if its answer is lost.
    app.client.patience_s = BULK_PATIENCE_S
    results = act_on(tasks, partial(_run_again, app.client, body, _new_key()), at_once=1)
    show_results(app, results, "run again", partial(_new_tasks, results))
    code = exit_code(results)
    if is_followed and code != INTERRUPTED:
        ended = _followed(app, [str(each.outcome.told["rerun"]) for each in results if each.outcome.told])
        code = code or ended
    click.get_current_context().exit(code)


def _run_again(client: "Client", body: dict[str, Any], run_id: str, task_id: str) -> Outcome:
    changed = _as_declared(client, body, task_id)
    return Outcome(Word.DONE, told={"rerun": client.rerun(task_id, changed, f"rerun {run_id} {task_id}")})


def _as_declared(client: "Client", body: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Convert arguments given as NAME=TEXT to the types that the operation declares: `8` to a number."""
    given = body.get("arguments", {})
    if not any(isinstance(value, GivenText) for value in given.values()):
        return body
    name = client.get(api_path("v2", "tasks", task_id))["task_type"]
    try:
        operation = client.get(api_path("v3", "operations", name))
    except NotFound:
        return body  # the server reports it
    return {**body, "arguments": typed(given, operation)}


def _new_key() -> str:
    from uuid import uuid4  # slow to import

    return str(uuid4())


def _new_tasks(results: Sequence[Result]) -> Sequence[str]:
    rows = [
        [each.task_id, str(each.outcome.told["rerun"]), str(each.task["task_type"])]
        for each in results
        if each.outcome.told
    ]
    return [*table(rows, ("TASK", "RUN AGAIN AS", "OPERATION"), width=terminal_width()), ""] if rows else []


def _named(app: App, task_ids: Sequence[TaskId]) -> list[Report]:
    ids = dict.fromkeys(resolve(app.client, task_id) for task_id in task_ids)
    return [app.client.get(api_path("v2", "tasks", task_id)) for task_id in ids]


def _chosen(app: App, selection: TaskSelection, *, again: bool) -> list[Report]:
    _check_states(selection.filters.states)
    if again:
        return selected(app, selection, _FAILED)
    tasks = selected(app, selection, _FAILED, {"has_reruns": "false"})
    left_out = selected(app, selection, _FAILED, {"has_reruns": "true"})
    if left_out:
        were = "was" if len(left_out) == 1 else "were"
        hint(f"{number_of(left_out)} that {were} run again already {were} left out; --again takes them too.")
    return tasks


def _check_states(states: Sequence[StateWord]) -> None:
    if unfinished := [state.guide for state in states if state.exit_code is None]:
        words = ", ".join(state.guide for state in STATES if state.exit_code is not None)
        raise click.UsageError(
            f"--state {unfinished[0]}: such a task has not ended: it cannot run again. States to choose from: {words}"
        )


def _followed(app: App, task_ids: Sequence[str]) -> int:
    """Follow the tasks one after the other; return the exit code of the worst outcome."""
    from pulp_admin.watching import follow

    codes = []
    for place, task_id in enumerate(task_ids, 1):
        if len(task_ids) > 1:
            hint(f"Task {task_id} ({place} of {len(task_ids)}):")
        code = follow(app.client, task_id, app.output)
        if code == INTERRUPTED:
            return code
        codes.append(code)
    return next((code for code in _WORST_FIRST if code in codes), 0)
