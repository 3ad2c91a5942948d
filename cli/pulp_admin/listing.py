"""`pulp-admin tasks list`, and `repo tasks list`."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show

from pulp_admin import render
from pulp_admin.app import App, with_app_wide
from pulp_admin.as_of import as_of_option, get_then, time_of_moment
from pulp_admin.filters import Filters, check_operations, codes_of, filter_options
from pulp_admin.notes import noted
from pulp_admin.options import STATES
from pulp_admin.paths import api_path
from pulp_admin.repo_options import repo_id_option
from pulp_admin.screen import banner, say, terminal_width
from pulp_admin.wide import Line, wide_table
from pulp_admin.words import STATES as EVERY_STATE
from pulp_admin.words import UNFINISHED, StateWord

F = TypeVar("F", bound=Callable[..., Any])
_BOTH: Final = "These arguments cannot be used together"
"""The words of Pulp 2's client for --all with --state."""


def _page_options(command: F) -> F:
    for option in (
        click.option("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Skip this many first."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many."),
    ):
        command = option(command)
    return command


@click.command("list", epilog=examples("pulp-admin tasks list --state error,cancelled --since 2h --output wide"))
@click.option("--all", "-a", "show_all", is_flag=True, help="All tasks, not only unfinished ones.")
@click.option("--purged", is_flag=True, help="Only purged tasks, which other lists leave out.")
@filter_options
@_page_options
@as_of_option
@with_app_wide
def list_(
    app: App, show_all: bool, purged: bool, limit: int | None, skip: int, as_of: str | None, **options: Any
) -> None:
    """List tasks: unfinished ones, all, or purged ones.

    With --as-of it shows the list of that moment; filters apply to the tasks as they were then.
    """
    filters = Filters.of(options)
    banner(app, "Tasks")
    if show_all and filters.states:
        refuse_both(app, "--state alone lists ended tasks too")
        return
    params = filters.params() | ({"purged": "true"} if purged else {})
    reports = _fetched(app, params, _states(filters, show_all=show_all or purged), limit, skip, as_of)
    if not reports:
        check_operations(app.client, filters.operations)
    _show(app, reports, as_of)
    if not reports and not show_all and not purged and not filters.states:
        had = "have" if as_of is None else "had"
        hint(f"Only tasks that {had} not ended are listed; --all lists all.")


@click.command("list", epilog=examples("pulp-admin repo tasks list --repo-id zoo --state running,waiting"))
@repo_id_option
@click.option("--state", "-s", "states", type=STATES, default=(), help="Only tasks in this state, such as Error.")
@_page_options
@with_app_wide
def list_of_repository(app: App, repo_id: str, states: tuple[StateWord, ...], limit: int | None, skip: int) -> None:
    """List the tasks of a repository, finished ones too."""
    banner(app, "Tasks")
    _show(app, _fetched(app, {"tag": f"pulp:repository:{repo_id}"}, states, limit, skip))


def _states(filters: Filters, *, show_all: bool) -> tuple[StateWord, ...]:
    """The states to ask for. A request without any filter would leave out tasks that ended long ago, as in Pulp 2."""
    if filters.states or not show_all:
        return filters.states or UNFINISHED
    return () if filters.params() else EVERY_STATE


def refuse_both(app: App, advice: str) -> None:
    """Refuse --all with --state as Pulp 2's client does: its words on standard output, and exit code 0.

    A program gets a usage error with the advice.
    """
    if app.output in ("json", "yaml"):
        raise click.UsageError(f"--all and --state: {_BOTH[0].lower()}{_BOTH[1:]}; {advice}.")
    say(app, _BOTH)


def _fetched(
    app: App,
    params: Mapping[str, Any],
    states: tuple[StateWord, ...],
    limit: int | None,
    skip: int,
    as_of: str | None = None,
) -> list[dict[str, Any]]:
    page = {name: value for name, value in (("limit", limit), ("skip", skip)) if value}
    wanted = {**params, "state": codes_of(states), **page}
    found: list[dict[str, Any]] = get_then(app.client, api_path("v2", "tasks"), wanted, as_of)
    return found


def _show(app: App, reports: list[dict[str, Any]], as_of: str | None = None) -> None:
    if app.output == "wide":
        until = time_of_moment(as_of)
        lines = noted(app.client, reports) if as_of is None else [Line(report) for report in reports]
        show("table", None, lambda: wide_table(lines, until, terminal_width()))
    else:
        show(app.output, reports, lambda: render.listing(reports))
