"""The lines and cells of `top`. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from pulp_console.escaping import one_line
from pulp_console.output import cropped, pad, table
from pulp_console.times import duration_text

from pulp_admin.paths import id_in
from pulp_admin.progress import progress_words
from pulp_admin.spans import span_text, time_of
from pulp_admin.why import age
from pulp_admin.words import STATES, state_of


class ShownColumn(NamedTuple):
    """A column of the table of tasks."""

    name: str
    width: int


_FIXED: Final = (("STATE", 10, 0), ("OPERATION", 14, 0), ("WHO", 8, 100), ("WAITED", 6, 0), ("RAN", 6, 0))
"""Name, width, and the narrowest terminal that shows it."""
_LAST: Final = (("WORKER", 16, 120), ("QUEUE", 12, 140))
_PADDING: Final = 2
"""What the table adds to each column."""
_SCROLLBAR: Final = 2
_SHORTEST: Final = 8
_WIDE: Final = 48
"""From this width on, half of the screen has room for the oldest wait."""


def columns_for(width: int) -> list[ShownColumn]:
    """The columns that a terminal of this width has room for: resources and notes share the remaining space."""
    first, last = (
        [ShownColumn(name, wide) for name, wide, least in group if width >= least] for group in (_FIXED, _LAST)
    )
    others = sum(column.width + _PADDING for column in (*first, *last))
    room = max(2 * _SHORTEST, width - _SCROLLBAR - others - 2 * _PADDING)
    resource = ShownColumn("RESOURCE", room // 2)
    return [*first[:2], resource, *first[2:], ShownColumn("NOTE", room - resource.width), *last]


def cells_of_task(task: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """A cell for each column that there may be."""
    created, started, finished = (time_of(task.get(name)) for name in ("pulp_created", "started_at", "finished_at"))
    owner = task.get("created_by")
    cells = {
        "STATE": state_of(task["state"]).guide,
        "OPERATION": str(task["name"]),
        "RESOURCE": resources_of(task),
        "WHO": "-" if owner is None else unquote(id_in(owner)),
        "WAITED": span_text(created, started or finished or now),
        "RAN": span_text(started, finished or now),
        "NOTE": note_of(task) or "-",
        "WORKER": str(task.get("worker_name") or "-"),
        "QUEUE": str(task.get("queue") or "-"),
    }
    return {name: one_line(cell) for name, cell in cells.items()}


def resources_of(task: Mapping[str, Any]) -> str:
    """Its resources on one line; `-` for none."""
    return ", ".join(map(str, task.get("reserved_resources_record") or ())) or "-"


def note_of(task: Mapping[str, Any]) -> str:
    """The error of a task, or its progress; empty for neither."""
    error = task.get("error")
    if isinstance(error, dict):
        return str(error.get("description") or error.get("reason") or error.get("error_code") or "")
    return ", ".join(progress_words(task.get("progress")))


def matches(cells: Mapping[str, str], task_id: str, wanted: str) -> bool:
    """Whether a text is in any cell of a task, or begins its id, in any case."""
    text = wanted.lower()
    return task_id.startswith(text) or any(text in cell.lower() for cell in cells.values())


def counts_line(counts: Mapping[str, int], width: int) -> str:
    """How many tasks are in each state: unfinished ones always, others if there are any."""
    parts = [
        f"{state.guide} {counts.get(state.pulp3, 0):,}"
        for state in STATES
        if state.exit_code is None or counts.get(state.pulp3)
    ]
    return cropped("   ".join(parts), width)


def queue_lines(queues: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A line for each queue below a header; the names of queues whose tasks nobody can run have a `!` before them."""
    if not queues:
        return ["No queue has tasks or workers."]
    heads = ["READY", "BLOCKED", "RUN", "OLDEST", "QUEUE"]
    rows = [
        [
            *(str(row[name]) for name in ("runnable", "blocked", "running")),
            age(row["oldest_wait_seconds"]),
            f"{'!' if row['unserved'] else ''}{row['name']}",
        ]
        for row in queues
    ]
    if width < _WIDE:
        heads, rows = _without_oldest(heads), [_without_oldest(row) for row in rows]
    return [cropped(line, width) for line in table(rows, heads, width=None)]


def _without_oldest(row: list[str]) -> list[str]:
    return [*row[:3], *row[4:]]


def worker_lines(workers: Sequence[Mapping[str, Any]], now: datetime, width: int) -> list[str]:
    """A line for each live worker below a header."""
    rows = []
    for row in workers:
        heard = time_of(row.get("last_heartbeat"))
        ago = "-" if heard is None else duration_text(max(0.0, (now - heard).total_seconds()))
        word = " (drains)" if row.get("draining") else ""
        rows.append([f"{row.get('busy_slots', '?')}/{row['slots']}", ago, row["name"] + word, ",".join(row["queues"])])
    if not rows:
        return ["No worker is online: tasks wait until one is started."]
    return [cropped(line, width) for line in table(rows, ("BUSY", "HEARD", "WORKER", "QUEUES"), width=None)]


def detail_lines(task: Mapping[str, Any], now: datetime, width: int) -> list[str]:
    """All that a row is made of, a line for each."""
    cells = cells_of_task(task, now)
    names = ("STATE", "OPERATION", "RESOURCE", "WHO", "QUEUE", "WORKER", "WAITED", "RAN", "NOTE")
    lines = [f"{pad('Task', 11)}{id_in(task['pulp_href'])}"]
    lines += [f"{pad(name.capitalize(), 11)}{cells[name]}" for name in names if cells[name] != "-"]
    return [line if len(line) <= width else f"{line[:width]}\n{' ' * 11}{line[width:]}" for line in lines]
