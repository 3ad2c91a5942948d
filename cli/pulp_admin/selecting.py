"""Select the tasks that a command acts on, and ask for confirmation."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from pulp_console.asking import confirm, confirm_number, yes_option
from pulp_console.output import hint, show, table

from pulp_admin.app import App
from pulp_admin.bulk import Report, Result, Word
from pulp_admin.filters import Filters, check_operations, codes_of, filter_options
from pulp_admin.paths import api_path
from pulp_admin.screen import terminal_width
from pulp_admin.wide import Line, wide_table
from pulp_admin.words import StateWord

F = TypeVar("F", bound=Callable[..., Any])
_MOST_KINDS = 5


def selection_options(command: F) -> F:
    """Add `--all`, the filters, `--limit`, `--dry-run` and `--yes`."""
    for option in (
        yes_option,
        click.option("--dry-run", is_flag=True, help="Only show which tasks would be affected."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many, oldest first."),
        filter_options,
        click.option("--all", "all_tasks", is_flag=True, help="All tasks that match the filters below."),
    ):
        command = option(command)
    return command


class TaskSelection:
    """The values of `selection_options`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = dict(options)
        self.is_all: bool = given.pop("all_tasks")
        self.is_sure: bool = given.pop("is_sure")
        self.is_dry_run: bool = given.pop("dry_run")
        self.limit: int | None = given.pop("limit")
        self.filters = Filters.of(given)

    def check(self, *, has_ids: bool) -> None:
        """Raise a usage error for options that exclude each other, or if no task is selected."""
        context = click.get_current_context()
        if has_ids and self.is_all:
            raise click.UsageError("--task-id names tasks, and --all chooses them: give one of the two", context)
        if not self.is_all and (str(self.filters) or self.limit is not None):
            raise click.UsageError("filters choose among all tasks: add --all", context)
        if not self.is_all and not has_ids:
            option = next(each for each in context.command.params if each.name in ("task_id", "task_ids"))
            raise click.MissingParameter(ctx=context, param=option)


def selected(
    app: App, selection: TaskSelection, states: Sequence[StateWord], further: Mapping[str, Any] | None = None
) -> list[Report]:
    """Return the matching tasks in order of submission; only those in `states` if no state was named."""
    params = {"state": codes_of(states), **selection.filters.params(), **(further or {})}
    if selection.limit is not None:
        params["limit"] = selection.limit
    found: list[Report] = app.client.get(api_path("v2", "tasks"), params)
    if not found:
        check_operations(app.client, selection.filters.operations)
    return found


def show_dry_run(app: App, tasks: Sequence[Report], what: str) -> None:
    """Print the tasks and their number; `what` describes them, such as `would be cancelled`."""
    if app.output in ("json", "yaml"):
        planned = [
            {"task_id": task["task_id"], "operation": task["task_type"], "state": task["state"], "outcome": None}
            for task in tasks
        ]
        show(app.output, {"dry_run": True, "count": len(tasks), "tasks": planned}, list)
        return
    show("table", None, lambda: wide_table(map(Line, tasks), datetime.now(UTC), terminal_width()))
    hint(f"{number_of(tasks)} {what}. Nothing was done: this is a dry run.")


def ask(selection: TaskSelection, tasks: Sequence[Report], verb: str, which: str) -> None:
    """Return if the user agrees. `which` names the kind of tasks if there is no filter.

    Ends the command if the answer is no, and with a usage error if nobody can be asked.
    """
    chosen = str(selection.filters)
    kinds = Counter(str(task["task_type"]) for task in tasks).most_common(_MOST_KINDS + 1)
    listed = ", ".join(f"{name} {count}" for name, count in kinds[:_MOST_KINDS])
    hint(f"{number_of(tasks)}: {listed}{', ...' if len(kinds) > _MOST_KINDS else ''}")
    if chosen:
        confirm(f"{verb} {number_of(tasks)} ({chosen})?", is_sure=selection.is_sure)
        return
    everything = f"No filter was given, so this is any task that {which}."
    if selection.is_sure:
        raise click.UsageError(f"{everything} --yes is not enough for that: if you mean it, name the states by --state")
    confirm_number(f"{everything} {verb} {number_of(tasks)}?", len(tasks))


def show_results(app: App, results: Sequence[Result], done: str, rows: Callable[[], Sequence[str]]) -> None:
    """Print the results. `rows` has a line for each successful request, `done` the word for them."""
    if app.output in ("json", "yaml"):
        found = [result.data() for result in results]
        show(app.output, {"dry_run": False, "count": len(results), "tasks": found}, list)
        return
    counts = Counter(result.outcome.word for result in results)
    parts = [f"{number_of(range(counts[Word.DONE]))} {done}"]
    if counts[Word.ENDED]:
        parts.append(f"{counts[Word.ENDED]} had ended already")
    bad = [result for result in results if result.outcome.word in (Word.REFUSED, Word.FAILED, Word.UNTRIED)]
    if bad:
        parts.append(f"{len(bad)} could not be:")
    show("table", None, lambda: [*rows(), ", ".join(parts) + ("" if bad else ".")])
    if bad:
        lines = [[result.task_id, str(result.task["task_type"]), result.outcome.reason] for result in bad]
        show("table", None, lambda: table(lines, ("TASK", "OPERATION", "WHY"), width=terminal_width()))


def number_of(tasks: Sequence[object]) -> str:
    """`1 task`, `37 tasks`."""
    return f"{len(tasks):,} task{'' if len(tasks) == 1 else 's'}"
