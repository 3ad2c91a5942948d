"""The task state machine once more, as a table: section 3 of the design, written down cell by cell.

It shares no code with the product. A cell is the reason for which an event is ignored, or what the event does; where
that depends on the event, a guard decides between the two.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

APPLIED: Final = "applied"
NONE, FINAL = "(none)", "final"
ENDED: Final = frozenset({"successful", "failed", "cancelled", "skipped"})

Row = dict[str, Any]
"""A task by the names of the read model's columns; times in milliseconds."""
Data = dict[str, Any]


class When(NamedTuple):
    """A cell with a guard: what happens where it holds, and the reason where it does not."""

    guard: Callable[[Row, Data], bool]
    then: Callable[[Row, Data], Row]
    otherwise: str | Callable[[Row, Data], str]


Cell = str | Callable[[Row, Data], Row] | When


def _start(_: Row, data: Data) -> Row:
    return {
        **{"state": "running", "attempt": data["attempt"], "attempt_id": data["attempt_id"]},
        **{"worker": data["worker"], "cancellable": data["cancellable"], "sequence": 0, "progress": {}},
        "started_at": ...,
    }


def _progress(_: Row, data: Data) -> Row:
    return {"progress": data["progress"], "sequence": data["sequence"]}


def _cancel(_: Row, __: Data) -> Row:
    return {"state": "cancelling", "cancel_requested_at": ...}


def _finish(_: Row, data: Data) -> Row:
    error = data.get("error")
    told = None if error is None else {name: value for name, value in error.items() if value is not None}
    return {"state": data["outcome"], "result": data.get("result"), "error": told, "finished_at": ...}


def _is_later(row: Row, data: Data) -> bool:
    return bool(data["attempt"] > row["attempt"])


def _is_news(row: Row, data: Data) -> bool:
    return bool(row["attempt_id"] == data["attempt_id"] and data["sequence"] > row["sequence"])


def _is_own(row: Row, data: Data) -> bool:
    return bool(row["attempt_id"] == data.get("attempt_id"))


def _why_not(row: Row, _: Data) -> str:
    return "not started" if row["attempt_id"] is None else "stale"


_NEWS: Final = When(_is_news, _progress, _why_not)
_OWN: Final = When(_is_own, _finish, _why_not)
TABLE: Final[dict[str, dict[str, Cell]]] = {
    # event            state: what happens
    "accepted": {
        **{"waiting": "duplicate", "running": "duplicate", "cancelling": "duplicate", FINAL: "duplicate"},
    },
    "started": {
        **{NONE: "unknown task", "waiting": _start, "running": When(_is_later, _start, "attempt is taken")},
        **{"cancelling": "cancel came first", FINAL: "final"},
    },
    "progress": {
        **{NONE: "unknown task", "waiting": "not started", "running": _NEWS, "cancelling": _NEWS, FINAL: "final"},
    },
    "cancel-requested": {
        **{NONE: "unknown task", "waiting": _cancel, "cancelling": "already requested", FINAL: "final"},
        "running": When(lambda row, _: bool(row["cancellable"]), _cancel, "not cancellable"),
    },
    "finished": {NONE: "unknown task", "waiting": _OWN, "running": _OWN, "cancelling": _OWN, FINAL: "final"},
}


def judge(row: Row | None, kind: str, data: Data) -> str | Row:
    """The columns that the event changes (`...` for the broker's time), or the reason why it changes none.

    Not for the `accepted` of a task that is not there: that makes the row.
    """
    state = NONE if row is None else FINAL if row["state"] in ENDED else row["state"]
    cell = TABLE[kind][state]
    if isinstance(cell, str):
        return cell
    assert row is not None  # no cell of the first column does anything
    if isinstance(cell, When):
        if cell.guard(row, data):
            return cell.then(row, data)
        return cell.otherwise if isinstance(cell.otherwise, str) else cell.otherwise(row, data)
    return cell(row, data)
