"""`pulp-admin tasks`: list, details, cancel, watch, history."""

import click
from pulp_console.groups import Group
from pulp_console.output import hint, show, table, text_of

from pulp_admin import render
from pulp_admin.app import App, with_app

_V2 = "/pulp/api/v2/tasks/"
_V3 = "/pulp/api/v3/tasks/"
_STATES = ("waiting", "running", "finished", "error", "canceled", "skipped")
_SYNONYMS = {"successful": "finished", "failed": "error", "cancelled": "canceled"}

task_id_option = click.option("--task-id", required=True, metavar="ID", help="The task's id, a UUID.")


@click.group(cls=Group)
def tasks() -> None:
    """List, inspect, watch and cancel server-side tasks."""


@tasks.command("list", epilog="Example: pulp-admin tasks list --all --state error --limit 20")
@click.option("--all", "-a", "show_all", is_flag=True, help="All tasks, not only those that have not ended.")
@click.option(
    "--state",
    "-s",
    "states",
    multiple=True,
    type=click.Choice([*_STATES, *_SYNONYMS]),
    help="Only tasks in this state; may be repeated.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only tasks with this tag; all must match.")
@click.option("--operation", metavar="NAME", help="Only tasks that do this, such as sync.")
@click.option("--resource", metavar="TYPE:ID", help="Only tasks on this, such as repository:zoo.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first so many.")
@with_app
def list_(
    app: App,
    show_all: bool,
    states: tuple[str, ...],
    tags: tuple[str, ...],
    operation: str | None,
    resource: str | None,
    limit: int | None,
    skip: int,
) -> None:
    """List tasks: those that have not ended, or all."""
    wanted_tags = [*tags]
    if operation is not None:
        wanted_tags.append(f"pulp:action:{operation}")
    if resource is not None:
        wanted_tags.append(f"pulp:{resource}")
    wanted_states = [_SYNONYMS.get(state, state) for state in states] or ([] if show_all else ["waiting", "running"])
    params = {"tag": wanted_tags, "state": wanted_states, "skip": skip, **({} if limit is None else {"limit": limit})}
    _head(app, "Tasks")
    reports = app.client.get(_V2, params)
    show(app.output, reports, lambda: render.listing(reports))
    if not reports and not show_all and not states:
        hint("Only tasks that have not ended are listed; --all lists all.")


@tasks.command(epilog="Example: pulp-admin tasks details --task-id e239ae4f-7fad-4004-bfb6-8e06f17d22ef")
@task_id_option
@click.option(
    "--as-of",
    metavar="TIME",
    help="As it was then: a time such as 2026-11-24T12:00:00Z, or the OFFSET of an event of its history.",
)
@with_app
def details(app: App, task_id: str, as_of: str | None) -> None:
    """Show what a task does, how far it is, or how it ended."""
    _head(app, "Task Details")
    report = app.client.get(f"{_V2}{task_id}/", None if as_of is None else {"as_of": as_of})
    show(app.output, report, lambda: render.details(report))


@tasks.command(epilog="Example: pulp-admin tasks cancel --task-id e0e0a250-eded-468f-9d97-0419a00b130f")
@task_id_option
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the task's history.")
@with_app
def cancel(app: App, task_id: str, reason: str | None) -> None:
    """Cancel a task that waits, or runs and supports it. Prints nothing where the cancel was accepted."""
    report = app.client.delete(f"{_V2}{task_id}/", None if reason is None else {"reason": reason})
    if app.output != "table":
        show(app.output, report, list)


@tasks.command(epilog="Example: pulp-admin tasks watch --task-id e0e0a250-eded-468f-9d97-0419a00b130f")
@task_id_option
@with_app
def watch(app: App, task_id: str) -> None:
    """Follow a task until it ends. Exits 0 if it was successful, 1 failed, 3 cancelled, 4 skipped."""
    from pulp_admin.watching import follow

    click.get_current_context().exit(follow(app.client, task_id))


@tasks.command(epilog="Example: pulp-admin tasks history --task-id e0e0a250-eded-468f-9d97-0419a00b130f")
@task_id_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many events.")
@with_app
def history(app: App, task_id: str, limit: int | None) -> None:
    """Show every event of a task.

    Each with its place in the log, its time, who wrote it, and what effect it had.
    """
    entries: list[dict[str, object]] = []
    params: dict[str, object] | None = {"limit": min(limit or 1000, 1000)}
    while params is not None:
        page = app.client.get(f"{_V3}{task_id}/history/", params)
        entries += page["results"]
        is_more = page["next"] is not None and (limit is None or len(entries) < limit)
        last = entries[-1] if entries else {}
        params = {"limit": 1000, "after": f"{last['partition']}:{last['offset']}"} if is_more else None
    entries = entries[:limit]
    show(app.output, entries, lambda: _history_table(entries))


def _head(app: App, title: str) -> None:
    """The banner comes before the server is asked: what goes wrong is told below it."""
    if app.output == "table":
        click.echo(text_of(render.banner(title)), nl=False)


def _history_table(entries: list[dict[str, object]]) -> list[str]:
    rows = [
        [
            f"{entry['partition']}:{entry['offset']}",
            str(entry["time"]).replace("T", " ")[:23],
            str(entry["type"]).removeprefix("org.pulpproject.task.").removesuffix(".v1"),
            str(entry["actor"]),
            str(entry["effect"]),
        ]
        for entry in entries
    ]
    return table(rows, ("OFFSET", "TIME (UTC)", "EVENT", "WHO", "EFFECT"))
