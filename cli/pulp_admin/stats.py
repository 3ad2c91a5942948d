"""`pulp-admin stats`: how many tasks ended, how, and how long they waited and ran, by day, operation or resource."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import click
from pulp_console.groups import Choice, examples
from pulp_console.output import WIDTH, cells_of, cropped, hint, pad, show, table
from pulp_console.times import FORMS, duration_text, local_now, parse_time

from pulp_admin import completing
from pulp_admin.app import App, with_app
from pulp_admin.options import RESOURCE
from pulp_admin.paths import api_path
from pulp_admin.words import state_of

_BY: Final = {"day": "day", "operation": "name", "resource": "resource"}
"""What the rows are grouped by → the server's word."""
_PLOTS: Final = ("tasks", "wait", "run")
_MOST_LABEL: Final = 28
_QUANTILES: Final = ("p50", "p90", "p99")
_MOST_ROWS: Final = 1000
_DAYS: Final = ("today", "yesterday")
"""Words that name a day here; as times they are midnights."""


class DayType(click.ParamType):
    """A day in UTC, as a date or any other time; the value is the date's text. `today` is the day in UTC, too.

    A time without a zone is local, as with other commands.
    """

    name = "day"

    def convert(self, value: str | date, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if isinstance(value, str):
            try:
                return date.fromisoformat(value.strip()).isoformat()
            except ValueError:
                pass
            try:
                now = datetime.now(UTC) if value.strip().lower() in _DAYS else local_now()
                value = parse_time(value, now).astimezone(UTC).date()
            except (ValueError, OverflowError):
                self.fail(f"{value!r} is not a time: {FORMS} is expected", param, ctx)
        return value.isoformat()


DAY: Final = DayType()


@click.command(
    epilog=examples(
        "pulp-admin stats",
        "pulp-admin stats --since 30d --by operation",
        "pulp-admin stats --operation sync --by resource --limit 10",
        "pulp-admin stats --since 14d --plot tasks",
        "pulp-admin stats --by operation --plot run",
        "pulp-admin --output json stats | jq '.[] | {day, tasks}'",
    )
)
@click.option("--since", type=DAY, metavar="DAY", help="The first day, in UTC: 2026-11-24, yesterday, 30d [7 days].")
@click.option("--until", type=DAY, metavar="DAY", help="The last day [today].")
@click.option(
    "--operation",
    "operations",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.operations,
    help="Only tasks of this operation, such as sync; may be repeated.",
)
@click.option(
    "--resource",
    "resources",
    multiple=True,
    type=RESOURCE,
    metavar="TYPE:ID",
    help="Only tasks that use this resource, such as repository:zoo; may be repeated.",
)
@click.option("--by", type=Choice(_BY), default="day", help="A row for each day [this], operation or resource.")
@click.option(
    "--plot", type=Choice(_PLOTS), help="Bars instead of numbers: how many tasks, or how long they waited or ran."
)
@click.option(
    "--limit", type=click.IntRange(1, _MOST_ROWS), default=100, metavar="N", help="At most this many rows [100]."
)
@with_app
def stats(
    app: App,
    since: str | None,
    until: str | None,
    operations: Sequence[str],
    resources: Sequence[str],
    by: str,
    plot: str | None,
    limit: int,
) -> None:
    """Show how many tasks ended, how, and how long they took.

    Tasks count on the day they ended, in UTC; purged tasks count as well. For the times, the table shows what 50, 90
    and 99 percent of the tasks did not exceed, accurate to 3.2 percent. By resource, a task counts in the row of each
    resource that it uses.
    """
    given = {"since": since, "until": until, "name": list(operations), "resource": list(resources)}
    params = {name: value for name, value in given.items() if value} | {"by": _BY[by], "limit": limit}
    page = app.client.get(api_path("v3", "statistics", "days"), params)
    rows: list[dict[str, Any]] = page["results"]
    show(app.output, rows, lambda: _table(rows, by) if plot is None else _plot(rows, by, plot))
    if app.output == "table" and page["count"] > len(rows) > 0:
        hint(f"... {page['count'] - len(rows)} more: --limit")


def _table(rows: Sequence[Mapping[str, Any]], by: str) -> Iterator[str]:
    if not rows:
        yield "No task ended in this time."
        return
    header = ("TASKS", "ERROR", "OTHER", "WAIT 50 90 99%", "RUN 50 90 99%", by.upper())
    yield from table([[*_numbers(row), _label(row, by)] for row in rows], header)


def _numbers(row: Mapping[str, Any]) -> list[str]:
    """OTHER counts cancelled and skipped tasks."""
    done, failed = _of(row, "Successful"), _of(row, "Error")
    times = (_times(row["waited_seconds"]), _times(row["ran_seconds"]))
    return [str(row["tasks"]), str(failed), str(row["tasks"] - done - failed), *times]


def _of(row: Mapping[str, Any], word: str) -> int:
    return sum(int(number) for state, number in row["states"].items() if state_of(state).guide == word)


def _label(row: Mapping[str, Any], by: str) -> str:
    return str(row[_BY[by]] or "-")


def _times(quantiles: Mapping[str, float] | None) -> str:
    return "-" if quantiles is None else " ".join(short_time(quantiles[name]) for name in _QUANTILES)


def short_time(seconds: float) -> str:
    """A duration in few characters: `12ms`, `1.5s`, `3m05s`."""
    return f"{round(seconds * 1000)}ms" if seconds < 0.9995 else duration_text(seconds)


def _plot(rows: Sequence[Mapping[str, Any]], by: str, what: str) -> Iterator[str]:
    if not rows:
        yield "No task ended in this time."
        return
    parts = [_parts(row, what) for row in rows]
    texts = [_bar_text(row, what) for row in rows]
    labels = [cropped(_label(row, by), _MOST_LABEL) for row in rows]
    label_width, text_width = max(map(cells_of, labels)), max(map(cells_of, texts))
    room = WIDTH - label_width - text_width - 4
    marks = "█▒" if what == "tasks" else "█▓░"
    most = max((part[-1] for part in parts), default=0.0)
    yield {
        "tasks": "█ ended well  ▒ did not",
        "wait": "How long tasks waited: █ 50 percent  ▓ 90 percent  ░ 99 percent",
        "run": "How long tasks ran: █ 50 percent  ▓ 90 percent  ░ 99 percent",
    }[what]
    for label, text, ends in zip(labels, texts, parts, strict=True):
        yield f"{pad(label, label_width)}  {text.rjust(text_width)}  {_bar(ends, most, room, marks)}".rstrip()


def _parts(row: Mapping[str, Any], what: str) -> list[float]:
    """Where the parts of a bar end, on its scale."""
    if what == "tasks":
        return [float(_of(row, "Successful")), float(row["tasks"])]
    found = row["waited_seconds" if what == "wait" else "ran_seconds"]
    return [0.0] * 3 if found is None else [float(found[name]) for name in _QUANTILES]


def _bar_text(row: Mapping[str, Any], what: str) -> str:
    if what == "tasks":
        return str(row["tasks"])
    return _times(row["waited_seconds" if what == "wait" else "ran_seconds"])


def _bar(ends: Sequence[float], most: float, room: int, marks: str) -> str:
    bar, before = "", 0.0
    for mark, end in zip(marks, ends, strict=True):
        cells = round(room * end / most) if most else 0
        # A part that is not empty has at least one mark, so that it is seen.
        bar += mark * max(cells - len(bar), 1 if end > before and len(bar) < room else 0)
        before = end
    return bar
