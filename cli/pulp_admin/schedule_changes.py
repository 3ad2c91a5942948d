"""`pulp-admin schedules create`, `update`, `enable`, `disable`, `delete`."""

from typing import Any
from uuid import uuid4

import click
from pulp_console.asking import confirm, yes_option
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.arguments import given_arguments
from pulp_admin.schedule_options import (
    ALL,
    body_of,
    find_schedule,
    name_argument,
    path_of_schedule,
    task_options,
    time_options,
)
from pulp_admin.schedule_pages import page_lines
from pulp_admin.submitting import as_declared


@click.command(
    epilog=examples(
        "pulp-admin schedules create nightly sync -a repo_id=zoo \\",
        "    --cron '30 2 * * *' --time-zone Europe/Berlin",
        "pulp-admin schedules create cleanup remove-orphans --every 12h",
    )
)
@click.argument("name")
@click.argument("operation", shell_complete=completing.operations)
@time_options
@task_options
@click.option("--disabled", is_flag=True, help="Submit nothing until `schedules enable`.")
@with_app
def create(
    app: App, name: str, operation: str, pairs: tuple[str, ...], arguments: str | None, disabled: bool, **options: Any
) -> None:
    """Create a schedule, which submits a task repeatedly.

    The tasks run OPERATION and are yours. If you may not submit one when it is due, none is submitted, and `schedules
    show` says so.

    When clocks go forward, a --cron time that does not exist runs at the next one that does. When they go back, it runs
    once.
    """
    body = {"name": name, "task_name": operation, **body_of(options)}
    if not any(key in body for key in ("cron", "interval_seconds", "at")):
        raise click.UsageError("When is it to run? Give --cron, --every or --at.")
    body["arguments"] = as_declared(app, operation, given_arguments(pairs, arguments))
    if disabled:
        body["enabled"] = False
    made = app.client.post(ALL, body, {"Idempotency-Key": str(uuid4())})
    show(app.output, made, lambda: [f"Schedule [{name}] successfully created", "", *page_lines(made)])


@click.command(
    epilog=examples(
        "pulp-admin schedules update nightly --cron '15 3 * * *'",
        "pulp-admin schedules update nightly -a skip:='[\"srpm\"]' --overlap allow",
    )
)
@name_argument
@click.option("--rename", metavar="NAME", help="Another name.")
@time_options
@task_options
@with_app
def update(
    app: App, name: str, rename: str | None, pairs: tuple[str, ...], arguments: str | None, **options: Any
) -> None:
    """Change a schedule.

    Options left out stay as they are. Each argument replaces the one of the same name; NAME:=null removes it.
    """
    body = body_of(options)
    found = find_schedule(app.client, name)
    if given := given_arguments(pairs, arguments):
        changed = {**found["arguments"], **as_declared(app, found["task_name"], given, is_complete=False)}
        body["arguments"] = {key: value for key, value in changed.items() if value is not None}
    if rename is not None:
        body["name"] = rename
    if not body:
        raise click.UsageError("Nothing is to be changed: give at least one option.")
    changed = app.client.change(path_of_schedule(found), body)
    show(app.output, changed, lambda: [f"Schedule [{name}] successfully updated", "", *page_lines(changed)])


@click.command(epilog=examples("pulp-admin schedules enable nightly"))
@name_argument
@with_app
def enable(app: App, name: str) -> None:
    """Let a schedule run again.

    It runs from now on. Times that have passed are not made up for.
    """
    _set_enabled(app, name, is_enabled=True)


@click.command(epilog=examples("pulp-admin schedules disable nightly"))
@name_argument
@with_app
def disable(app: App, name: str) -> None:
    """Keep a schedule from running until it is enabled.

    A task that is running goes on.
    """
    _set_enabled(app, name, is_enabled=False)


def _set_enabled(app: App, name: str, *, is_enabled: bool) -> None:
    found = app.client.change(path_of_schedule(find_schedule(app.client, name)), {"enabled": is_enabled})
    word = "enabled" if is_enabled else "disabled"
    show(app.output, found, lambda: [f"Schedule [{name}] successfully {word}"])


@click.command(epilog=examples("pulp-admin schedules delete nightly", "pulp-admin schedules delete nightly --yes"))
@name_argument
@yes_option
@with_app
def delete(app: App, name: str, is_sure: bool) -> None:
    """Delete a schedule. The tasks that it submitted stay."""
    found = find_schedule(app.client, name)
    confirm(f"Delete the schedule {name!r}?", is_sure=is_sure)
    app.client.delete(path_of_schedule(found))
    show(app.output, {"name": name, "deleted": True}, lambda: [f"Schedule [{name}] successfully deleted"])
    if found["last_task"] is not None:
        hint("Tasks that it has submitted stay; one that runs goes on.")
