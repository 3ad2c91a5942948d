"""`pulp-admin tasks`: details, cancel, watch; list and history are in files of their own."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from pulp_console.groups import Group
from pulp_console.ids import TaskId
from pulp_console.output import hint, show

from pulp_admin import render
from pulp_admin.app import App, with_app, with_app_wide
from pulp_admin.errors import NotFound
from pulp_admin.history import history
from pulp_admin.ids import resolve, task_id_option
from pulp_admin.listing import list_
from pulp_admin.not_found import why_not_cancelled, why_not_there_then
from pulp_admin.notes import noted
from pulp_admin.options import MOMENT
from pulp_admin.paths import api_path
from pulp_admin.screen import banner, terminal_width
from pulp_admin.waiting import why_it_waits
from pulp_admin.wide import Line, wide_table

if TYPE_CHECKING:
    pass


@click.group(cls=Group)
def tasks() -> None:
    """List, inspect, watch and cancel server-side tasks."""


tasks.add_command(list_)


@tasks.command(epilog="Example: pulp-admin tasks details --task-id e239ae4f-7fad-4004-bfb6-8e06f17d22ef")
@task_id_option
@click.option(
    "--as-of",
    type=MOMENT,
    metavar="TIME",
    help="As it was then: 5m, yesterday, 2026-11-24T12:00:00Z, or the OFFSET of an event of its history.",
)
@with_app_wide
def details(app: App, task_id: TaskId, as_of: str | None) -> None:
    """Show what a task does, how far it is, or how it ended."""
    banner(app, "Task Details")
    known = resolve(app.client, task_id)
    try:
        report = app.client.get(api_path("v2", "tasks", known), None if as_of is None else {"as_of": as_of})
    except NotFound as refusal:
        if as_of is None:
            raise
        raise why_not_there_then(app.client, known, as_of, refusal) from None
    is_now = as_of is None
    if app.output == "wide":
        lines = noted(app.client, [report]) if is_now else [Line(report)]
        show("table", None, lambda: wide_table(lines, datetime.now(UTC), terminal_width()))
        return
    show(app.output, report, lambda: render.details(report))
    if is_now and app.output == "table" and (reason := why_it_waits(app.client, known, report)):
        hint(f"It waits: {reason}")


@tasks.command(epilog="Example: pulp-admin tasks cancel --task-id e0e0a250-eded-468f-9d97-0419a00b130f")
@task_id_option
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the task's history.")
@with_app
def cancel(app: App, task_id: TaskId, reason: str | None) -> None:
    """Cancel a task that waits, or runs and supports it. Prints nothing where the cancel was accepted."""
    known = resolve(app.client, task_id)
    try:
        report = app.client.delete(api_path("v2", "tasks", known), None if reason is None else {"reason": reason})
    except NotFound as refusal:
        raise why_not_cancelled(app.client, known, refusal) from None
    if app.output in ("json", "yaml"):
        show(app.output, report, list)


@tasks.command(epilog="Example: pulp-admin tasks watch --task-id e0e0a250-eded-468f-9d97-0419a00b130f")
@task_id_option
@with_app
def watch(app: App, task_id: TaskId) -> None:
    """Follow a task until it ends. Exits 0 if it was successful, 1 failed, 3 cancelled, 4 skipped.

    It goes on when the server restarts. Ctrl-C ends only the watching, not the task. With --output json it prints the
    task as a line of JSON after each change.
    """
    from pulp_admin.watching import follow

    click.get_current_context().exit(follow(app.client, resolve(app.client, task_id), app.output))


tasks.add_command(history)
