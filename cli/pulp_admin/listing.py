"""`pulp-admin tasks list`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click
from pulp_console.groups import suggestion
from pulp_console.output import hint, show
from pulp_console.times import TIME

from pulp_admin import completing, render
from pulp_admin.app import App, with_app_wide
from pulp_admin.errors import DATA, Failure
from pulp_admin.notes import noted
from pulp_admin.options import RESOURCE, STATES, instant
from pulp_admin.paths import api_path
from pulp_admin.screen import banner, terminal_width
from pulp_admin.wide import wide_table
from pulp_admin.words import UNFINISHED, StateWord


@click.command("list", epilog="Example: pulp-admin tasks list --all --state error,cancelled --since 2h --output wide")
@click.option("--all", "-a", "show_all", is_flag=True, help="All tasks, not only those that have not ended.")
@click.option(
    "--state",
    "-s",
    "states",
    multiple=True,
    type=STATES,
    shell_complete=completing.states,
    help="Only tasks in this state, such as Error or running,waiting; may be repeated.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only tasks with this tag; all must match.")
@click.option(
    "--operation",
    "operations",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.operations,
    help="Only tasks that do this, such as sync.",
)
@click.option(
    "--resource",
    "resources",
    multiple=True,
    type=RESOURCE,
    metavar="TYPE:ID",
    help="Only tasks on this, such as repository:zoo.",
)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.queues,
    help="Only tasks of this queue.",
)
@click.option(
    "--worker",
    "workers",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.workers,
    help="Only tasks that this worker has taken.",
)
@click.option("--who", "users", multiple=True, metavar="USER", help="Only tasks that this user has submitted.")
@click.option("--since", type=TIME, metavar="TIME", help="Only tasks submitted since then, such as 2h or yesterday.")
@click.option("--until", type=TIME, metavar="TIME", help="Only tasks submitted before then.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first so many.")
@with_app_wide
def list_(
    app: App,
    show_all: bool,
    states: tuple[tuple[StateWord, ...], ...],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    skip: int,
    operations: tuple[str, ...],
    **filters: tuple[str, ...],
) -> None:
    """List tasks: those that have not ended, or all."""
    params: dict[str, Any] = {
        "state": _wanted_states(states, show_all=show_all),
        "operation": operations,
        "tag": filters["tags"],
        "resource": filters["resources"],
        "queue": filters["queues"],
        "worker": filters["workers"],
        "user": filters["users"],
        "since": None if since is None else instant(since),
        "until": None if until is None else instant(until),
        "limit": limit,
        "skip": skip,
    }
    banner(app, "Tasks")
    reports = app.client.get(api_path("v2", "tasks"), {key: value for key, value in params.items() if value})
    if not reports:
        _check_operations(app, operations)
    if app.output == "wide":
        now = datetime.now(UTC)
        lines = noted(app.client, reports)
        show("table", None, lambda: wide_table(lines, now, terminal_width()))
    else:
        show(app.output, reports, lambda: render.listing(reports))
    if not reports and not show_all and not states:
        hint("Only tasks that have not ended are listed; --all lists all.")


def _wanted_states(given: Iterable[tuple[StateWord, ...]], *, show_all: bool) -> list[str]:
    states = [state for group in given for state in group]
    return [state.pulp2 for state in states or ([] if show_all else UNFINISHED)]


def _check_operations(app: App, names: Iterable[str]) -> None:
    """Nothing was found: the reason may be a name that no operation has. Raises `Failure`."""
    if not names:
        return
    known = [row["name"] for row in app.client.pages(api_path("v3", "operations"))]
    for name in names:
        if name not in known:
            raise Failure(f"No operation is named {name!r}.{suggestion(name, known)} All: pulp-admin operations", DATA)
