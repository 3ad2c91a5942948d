"""An independent table of the task state machine: section 3 of the design, cell by cell, without the product's code.
A cell is the reason for ignoring an event, or its effect; a guard decides where that depends on the event.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

APPLIED: Final = "applied"
NONE, FINAL = "(none)", "final"
ENDED: Final = frozenset({"successful", "failed", "cancelled", "skipped"})

Row = dict[str, Any]
"""A task by the names of the read model's columns; times in milliseconds."""
Data = dict[str, Any]


class Within(NamedTuple):
    """A time in an event, limited to the span from the broker's time to this much later."""

    wanted_ms: int
    longest_ms: int

    def from_ms(self, broker_ms: int) -> int:
        """The time that counts."""
        return max(broker_ms, min(self.wanted_ms, broker_ms + self.longest_ms))


class When(NamedTuple):
    """A cell with a guard: the effect if it holds, else the reason."""

    guard: Callable[[Row, Data], bool]
    then: Callable[[Row, Data], Row]
    otherwise: str | Callable[[Row, Data], str]


Cell = str | Callable[[Row, Data], Row] | When


def _start(_: Row, data: Data) -> Row:
    return {
        **{"state": "running", "attempt": data["attempt"], "attempt_id": data["attempt_id"]},
        **{"worker": data["worker"], "cancellable": data["cancellable"], "sequence": 0, "progress": {}},
        **{"started_at": ..., "retry_at": None, "error": None},
    }


def _progress(_: Row, data: Data) -> Row:
    return {"progress": data["progress"], "sequence": data["sequence"]}


def _cancel(_: Row, __: Data) -> Row:
    return {"state": "cancelling", "cancel_requested_at": ..., "retry_at": None}


def _finish(_: Row, data: Data) -> Row:
    error = data.get("error")
    return {
        **{"state": data["outcome"], "result": data.get("result"), "error": None if error is None else _told(error)},
        **{"finished_at": ..., "retry_at": None},
    }


def _try_again(row: Row, data: Data) -> Row:
    """What the attempt has left behind is gone. A task that somebody has cancelled is not tried again."""
    longest_ms = int(1000 * row["retry"]["max_backoff_seconds"]) if row["retry"] else 0
    is_cancelled = row["state"] == "cancelling"
    return {
        **{"state": "cancelling" if is_cancelled else "waiting", "attempt_id": None, "cancellable": False},
        **{"failed_attempts": row["failed_attempts"] + 1, "error": _told(data["error"]), "started_at": None},
        **{"sequence": 0, "progress": {}},
        "retry_at": None if is_cancelled else Within(data["retry_at"], longest_ms),
    }


def _told(error: Data) -> Data:
    return {name: value for name, value in error.items() if value is not None}


def _purge(_: Row, data: Data) -> Row:
    return {"purged_at": ..., "purged_by": data["requested_by"]}


def _is_later(row: Row, data: Data) -> bool:
    return bool(data["attempt"] > row["attempt"])


def _is_news(row: Row, data: Data) -> bool:
    return bool(row["attempt_id"] == data["attempt_id"] and data["sequence"] > row["sequence"])


def _is_own(row: Row, data: Data) -> bool:
    return bool(row["attempt_id"] == data.get("attempt_id"))


def _why_not(row: Row, _: Data) -> str:
    return "not started" if row["attempt"] == 0 else "stale"


_NEWS: Final = When(_is_news, _progress, _why_not)
_OWN: Final = When(_is_own, _finish, _why_not)
_FAILED: Final = When(lambda row, data: row["attempt_id"] is not None and _is_own(row, data), _try_again, _why_not)
_LATER: Final = When(_is_later, _start, "attempt is taken")
_WAITING: Final = When(lambda _, __: False, _progress, _why_not)
"""No attempt is under way, so none can report."""
TABLE: Final[dict[str, dict[str, Cell]]] = {
    # event            state: what happens
    "accepted": {
        **{"waiting": "duplicate", "running": "duplicate", "cancelling": "duplicate", FINAL: "duplicate"},
    },
    "started": {
        **{NONE: "unknown task", "waiting": _LATER, "running": _LATER},
        **{"cancelling": "cancel came first", FINAL: "final"},
    },
    "progress": {
        **{NONE: "unknown task", "waiting": _WAITING, "running": _NEWS, "cancelling": _NEWS, FINAL: "final"},
    },
    "attempt-failed": {
        **{NONE: "unknown task", "waiting": _FAILED, "running": _FAILED, "cancelling": _FAILED, FINAL: "final"},
    },
    "cancel-requested": {
        **{NONE: "unknown task", "waiting": _cancel, "cancelling": "already requested", FINAL: "final"},
        "running": When(lambda row, _: bool(row["cancellable"]), _cancel, "not cancellable"),
    },
    "finished": {NONE: "unknown task", "waiting": _OWN, "running": _OWN, "cancelling": _OWN, FINAL: "final"},
    "purged": {
        **{NONE: "unknown task", "waiting": "not finished", "running": "not finished", "cancelling": "not finished"},
        FINAL: When(lambda row, _: row["purged_at"] is None, _purge, "already purged"),
    },
    "unparked": dict.fromkeys((NONE, "waiting", "running", "cancelling", FINAL), "about a dead letter"),
}


def judge(row: Row | None, kind: str, data: Data) -> str | Row:
    """The columns that the event changes (`...` for the broker's time, `Within` for one near it), or the reason why it
    changes none. The `accepted` of a new task is not handled here.
    """
    state = NONE if row is None else FINAL if row["state"] in ENDED else row["state"]
    cell = TABLE[kind][state]
    if isinstance(cell, str):
        return cell
    assert row is not None  # no cell of the first column has an effect
    if isinstance(cell, When):
        if cell.guard(row, data):
            return cell.then(row, data)
        return cell.otherwise if isinstance(cell.otherwise, str) else cell.otherwise(row, data)
    return cell(row, data)
