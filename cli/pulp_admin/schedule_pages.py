"""`pulp-admin schedules list`, `show` and `preview`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table
from pulp_console.times import duration_text

from pulp_admin import render
from pulp_admin.app import App, with_app
from pulp_admin.paths import id_in
from pulp_admin.schedule_options import (
    ALL,
    PREVIEW,
    body_of,
    find_schedule,
    path_of_schedule,
    schedule_names,
    time_options,
)
from pulp_admin.words import state_of

_HEAD: Final = ("SCHEDULE", "OPERATION", "WHEN", "NEXT", "LAST", "FAILURES")


@click.command("list", epilog=examples("pulp-admin schedules list", "pulp-admin schedules list --output json"))
@with_app
def list_(app: App) -> None:
    """List the schedules.

    Each with its next time, and the outcome of the last one.
    """
    found = list(app.client.pages(ALL, {"ordering": "name"}))
    rows = [
        [row["name"], row["task_name"], _when(row), _next(row), _last(row), str(row["failures_in_a_row"] or "-")]
        for row in found
    ]
    show(app.output, found, lambda: table(rows, _HEAD, width=None))
    if not found:
        hint("There is no schedule yet. To make one: pulp-admin schedules create NAME OPERATION --cron FIELDS")


@click.command("show", epilog=examples("pulp-admin schedules show nightly"))
@click.argument("name", shell_complete=schedule_names)
@with_app
def show_one(app: App, name: str) -> None:
    """Show a schedule.

    What it submits, when, and how its last runs ended.
    """
    found = find_schedule(app.client, name)
    runs = app.client.get(path_of_schedule(found, "runs"), {"limit": 10})["results"]
    show(app.output, {**found, "runs": runs}, lambda: [*page_lines(found), *_run_lines(runs)])


@click.command(
    epilog=examples(
        "pulp-admin schedules preview nightly --count 10",
        "pulp-admin schedules preview --cron '0 */6 * * *' --time-zone Europe/Berlin",
    )
)
@click.argument("name", required=False, shell_complete=schedule_names)
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True, help="How many times.")
@time_options
@with_app
def preview(app: App, name: str | None, count: int, **options: Any) -> None:
    """Show the next times of a schedule.

    Without NAME, the next times of a schedule that the options describe. Nothing is created.
    """
    body = body_of(options)
    if (name is None) == (not body):
        raise click.UsageError("Give the NAME of a schedule, or --cron, --every or --at; not both.")
    if name is not None:
        found = app.client.get(path_of_schedule(find_schedule(app.client, name), "preview"), {"count": count})
    else:
        found = app.client.create(PREVIEW, {"name": "preview", "task_name": "preview", **body}, {"count": count})
    times = [_second(tick) for tick in found["ticks"]]
    show(app.output, found, lambda: times or ["There is none any more."])
    if not found["enabled"]:
        hint("The schedule is disabled: it submits nothing.")


def page_lines(row: Mapping[str, Any]) -> list[str]:
    """The page of a schedule."""
    page = {
        "name": row["name"],
        "operation": row["task_name"],
        "arguments": row["arguments"] or "-",
        "when": _when(row),
        "enabled": "yes" if row["enabled"] else "no",
        "next": _next(row),
        "missed_times": row["missed"],
        "overlap": row["overlap"],
        "queue": row["queue"],
        "priority": row["priority"],
        **_given(row),
        "author": id_in(row["created_by"]),
        "last_task": "-" if row["last_task"] is None else id_in(row["last_task"]),
        "failures_in_a_row": row["failures_in_a_row"],
    }
    return render.document(page, gap=2)


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    """What most schedules leave out."""
    resources = [f"{each['type']}:{each['id']}:{each['access']}" for each in row["resources"] or ()]
    given = {
        "resources": resources,
        "tags": row["tags"],
        "time_limit": None if row["timeout_seconds"] is None else duration_text(row["timeout_seconds"]),
        "start": None if row["start"] is None else _second(row["start"]),
    }
    return {key: value for key, value in given.items() if value}


def _run_lines(runs: list[dict[str, Any]]) -> list[str]:
    rows = [
        [_second(run["tick"]), _outcome(run), "-" if run["task"] is None else id_in(run["task"]), _error(run)]
        for run in runs
    ]
    return ["", *table(rows, ("TIME", "OUTCOME", "TASK", "REMARK"))] if rows else []


def _outcome(run: Mapping[str, Any]) -> str:
    return str(run["outcome"]) if run["state"] is None else state_of(run["state"]).guide


def _error(run: Mapping[str, Any]) -> str:
    missed = f"{run['missed']} earlier ones were missed. " if run["missed"] else ""
    error = run["error"] or {}
    return f"{missed}{error.get('description') or ''}".strip() or "-"


def _when(row: Mapping[str, Any]) -> str:
    if row["cron"] is not None:
        return f"{row['cron']} {row['time_zone']}"
    if row["interval_seconds"] is not None:
        return f"every {duration_text(row['interval_seconds'])}"
    return f"once {_second(row['at'])}"


def _next(row: Mapping[str, Any]) -> str:
    if not row["enabled"]:
        return "disabled"
    return "-" if row["next_dispatch"] is None else _second(row["next_dispatch"])


def _last(row: Mapping[str, Any]) -> str:
    return "-" if row["last_tick"] is None else f"{_second(row['last_tick'])} {row['last_outcome'] or ''}".strip()


def _second(time: str) -> str:
    return datetime.fromisoformat(time.replace("Z", "+00:00")).strftime("%Y-%m-%dT%H:%M:%SZ")
