"""`--output wide`: one line a task, with the details that a person asks for next. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from pulp_console.escaping import one_line
from pulp_console.output import cells_of, cropped, pad

from pulp_admin.progress import progress_words
from pulp_admin.spans import span_text, time_of
from pulp_admin.words import state_of_report

COLUMNS: Final = (
    *("ID", "STATE", "OPERATION", "RESOURCES", "WHO", "QUEUE", "SUBMITTED", "WAITED", "RAN", "WORKER", "NOTE"),
)
_FIRST: Final = (
    *("ID", "STATE", "OPERATION", "RAN", "WAITED", "RESOURCES", "NOTE", "WHO", "QUEUE", "WORKER", "SUBMITTED"),
)
"""The columns by importance: a narrow terminal leaves out the last ones first."""
_LONGEST: Final = 24
"""The widest cell on a terminal; only a note may use all the room there is."""
_SHORTEST: Final = {"RESOURCES": 12, "NOTE": 20}
"""Columns that may be cut to this width if room is short; a narrower one would say nothing."""
_NARROW: Final = 100
"""In a terminal narrower than this, ids are cut to as many digits as tell them apart."""
_CUTS: Final = (13, 18, 23, 28)
_GAP: Final = "  "


class Line(NamedTuple):
    """A task, and why it waits or was cancelled, if known."""

    report: Mapping[str, Any]
    note: str = ""


def wide_table(tasks: Iterable[Line], now: datetime | None, width: int | None) -> list[str]:
    """The lines of the table, header first; without a width, all columns in full.

    Durations of unfinished tasks count until `now`; without it they are left out.
    """
    rows = [_cells(line, now) for line in tasks]
    if not rows:
        return ["No tasks found"]
    if width is None:
        names: Sequence[str] = COLUMNS
        widths = {name: _width(rows, name) for name in names}
    else:
        if width < _NARROW:
            _shorten_ids(rows)
        widths = _fitting(rows, width)
        names = [name for name in COLUMNS if name in widths]
    lines = [_line({name: name for name in names}, names, widths), *(_line(row, names, widths) for row in rows)]
    return [line.rstrip() for line in lines]


def note_of(report: Mapping[str, Any]) -> str:
    """The error of a task, or its progress."""
    error = report.get("error")
    if isinstance(error, dict):
        return str(error.get("description") or error.get("code") or "")
    return ", ".join(progress_words(report.get("progress")))


def _cells(line: Line, now: datetime | None) -> dict[str, str]:
    report = line.report
    submitted, started, finished = (time_of(report.get(f"{name}_time")) for name in ("submit", "start", "finish"))
    tags = [str(tag) for tag in report.get("tags") or []]
    cells = {
        "ID": str(report["task_id"]),
        "STATE": state_of_report(report).guide,
        "OPERATION": str(report.get("task_type") or "-"),
        "RESOURCES": ", ".join(tag.removeprefix("pulp:") for tag in tags if not tag.startswith("pulp:action")) or "-",
        "WHO": str(report.get("principal_login") or "-"),
        "QUEUE": str(report.get("queue") or "-"),
        "SUBMITTED": str(report.get("submit_time") or "-"),
        "WAITED": span_text(submitted, started or finished or now),
        "RAN": span_text(started, finished or now),
        "WORKER": str(report.get("worker_name") or "-"),
        "NOTE": line.note or note_of(report) or "-",
    }
    return {name: one_line(cell) for name, cell in cells.items()}


def _shorten_ids(rows: Sequence[dict[str, str]]) -> None:
    ids = {row["ID"] for row in rows}
    length = next((cut for cut in _CUTS if len({each[:cut] for each in ids}) == len(ids)), None)
    for row in rows:
        row["ID"] = row["ID"][:length]


def _fitting(rows: Sequence[Mapping[str, str]], width: int) -> dict[str, int]:
    """The columns that fit, and how wide each is."""
    widths: dict[str, int] = {}
    room = width
    for name in _FIRST:
        longest = None if name in ("ID", "NOTE") else _LONGEST
        wanted = _width(rows, name) if longest is None else min(_width(rows, name), longest)
        gap = len(_GAP) if widths else 0
        if wanted + gap > room and room - gap >= _SHORTEST.get(name, room):
            wanted = room - gap
        if wanted + gap <= room or not widths:
            widths[name] = wanted
            room -= wanted + gap
    return widths


def _width(rows: Sequence[Mapping[str, str]], name: str) -> int:
    return max(cells_of(name), *(cells_of(row[name]) for row in rows))


def _line(row: Mapping[str, str], names: Sequence[str], widths: Mapping[str, int]) -> str:
    return _GAP.join(pad(cropped(row[name], widths[name]), widths[name]) for name in names)
