"""`pulp-admin tasks list`."""

from datetime import UTC, datetime
from typing import Any

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin import render
from pulp_admin.app import App, with_app_wide
from pulp_admin.filters import Filters, check_operations, codes_of, filter_options
from pulp_admin.notes import noted
from pulp_admin.paths import api_path
from pulp_admin.screen import banner, terminal_width
from pulp_admin.wide import wide_table
from pulp_admin.words import UNFINISHED


@click.command("list", epilog=examples("pulp-admin tasks list --all --state error,cancelled --since 2h --output wide"))
@click.option("--all", "-a", "show_all", is_flag=True, help="All tasks, not only those that have not ended.")
@filter_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first so many.")
@with_app_wide
def list_(
    app: App,
    show_all: bool,
    limit: int | None,
    skip: int,
    **options: Any,
) -> None:
    """List tasks: those that have not ended, or all."""
    filters = Filters.of(options)
    states = filters.states or (() if show_all else UNFINISHED)
    page = {name: value for name, value in (("limit", limit), ("skip", skip)) if value}
    banner(app, "Tasks")
    reports = app.client.get(api_path("v2", "tasks"), {**filters.params(), "state": codes_of(states), **page})
    if not reports:
        check_operations(app.client, filters.operations)
    if app.output == "wide":
        now = datetime.now(UTC)
        lines = noted(app.client, reports)
        show("table", None, lambda: wide_table(lines, now, terminal_width()))
    else:
        show(app.output, reports, lambda: render.listing(reports))
    if not reports and not show_all and not filters.states:
        hint("Only tasks that have not ended are listed; --all lists all.")
