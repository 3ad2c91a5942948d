"""`pulp-admin tasks details`."""

from collections.abc import Mapping
from typing import Any

import click
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import hint, show

from pulp_admin import render
from pulp_admin.app import App, with_app_wide
from pulp_admin.as_of import AS_OF, nothing_then, time_of_moment
from pulp_admin.errors import NotFound, StaleStream
from pulp_admin.ids import resolve, resolve_any, task_id_option
from pulp_admin.not_found import why_not_found_at
from pulp_admin.notes import noted
from pulp_admin.paths import api_path
from pulp_admin.screen import banner, terminal_width
from pulp_admin.waiting import why_it_waits
from pulp_admin.why import why_lines
from pulp_admin.wide import Line, wide_table


@click.command(
    epilog=examples(
        "pulp-admin tasks details --task-id e239ae4f-7fad-4004-bfb6-8e06f17d22ef",
        "pulp-admin tasks details --task-id e239ae4f --why",
    )
)
@task_id_option
@click.option(
    "--as-of",
    type=AS_OF,
    metavar="TIME",
    help="As it was then: 5m, yesterday, 2026-11-24T12:00:00Z, the OFFSET of an event of its history, a cursor.",
)
@click.option("--purged", is_flag=True, help="Also if the task was purged.")
@click.option("--why", is_flag=True, help="Also why it waits, what to do, and which tasks are ahead of it.")
@with_app_wide
def details(app: App, task_id: TaskId, as_of: str | None, purged: bool, why: bool) -> None:
    """Show what a task does, its progress, or how it ended."""
    if why and as_of is not None:
        raise click.UsageError("--why tells why a task waits now: give it without --as-of.")
    banner(app, "Task Details")
    known = (resolve_any if purged else resolve)(app.client, task_id)
    params = {**({} if as_of is None else {"as_of": as_of}), **({"purged": "true"} if purged else {})}
    try:
        report = app.client.get(api_path("v2", "tasks", known), params or None)
    except NotFound as refusal:
        if as_of is None:
            raise
        raise why_not_found_at(app.client, known, as_of, refusal) from None
    except StaleStream as refusal:
        raise (refusal if as_of is None else nothing_then(as_of, refusal)) from None
    is_now = as_of is None
    reasons = app.client.get(api_path("v3", "tasks", known, "why")) if why else None
    if app.output == "wide":
        lines = noted(app.client, [report]) if is_now else [Line(report)]
        show("table", None, lambda: wide_table(lines, time_of_moment(as_of), terminal_width()))
    else:
        show(app.output, report | ({"why": reasons} if why else {}), lambda: render.details(report))
    if reasons is not None and app.output in ("table", "wide"):
        show("table", None, lambda: why_lines(reasons))
    elif is_now and app.output == "table" and (reason := why_it_waits(app.client, known, report)):
        hint(f"It waits: {reason}")
    if is_now and app.output in ("table", "wide") and (told := _attempts(report)):
        hint(told)
    if app.output in ("table", "wide") and report.get("purged_at"):
        hint(f"It was purged at {report['purged_at']} for {report['purged_by']}.")
    if app.output in ("table", "wide") and (links := _reruns(report)):
        hint(links)


def _attempts(report: Mapping[str, Any]) -> str:
    """How often it was tried; empty for a single attempt, and between two attempts, when the reason for waiting says
    it."""
    attempt = report.get("attempt") or 0
    if attempt < 2 or report.get("retry_at"):
        return ""
    return f"It was tried {attempt} times." if report.get("finish_time") else f"This is attempt {attempt}."


def _reruns(report: Mapping[str, Any]) -> str:
    """Which task it reruns, and which tasks rerun it; empty for most."""
    again, reruns = report.get("rerun_of"), report.get("reruns") or []
    parts = [f"It runs task {again} again."] if again else []
    if reruns:
        parts.append(f"It was run again as task {', '.join(map(str, reruns))}.")
    return " ".join(parts)
