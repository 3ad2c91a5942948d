"""`pulp-admin tasks history`: every event of a task."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.groups import examples
from pulp_console.ids import TaskId
from pulp_console.output import show, table

from pulp_admin.app import App, with_app_wide
from pulp_admin.ids import resolve_any, task_id_option
from pulp_admin.paths import api_path
from pulp_admin.positions import LogPosition
from pulp_admin.progress import progress_words
from pulp_admin.screen import terminal_width
from pulp_admin.words import state_of

if TYPE_CHECKING:
    from pulp_admin.client import Client

_PAGE: Final = 1000
_VERSION: Final = re.compile(r"\.v[0-9]+$")
_NARROWEST: Final = 80


@click.command(epilog=examples("pulp-admin tasks history --task-id e0e0a250-eded-468f-9d97-0419a00b130f"))
@task_id_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many events.")
@with_app_wide
def history(app: App, task_id: TaskId, limit: int | None) -> None:
    """Show every event of a task.

    Each event has its place in the log, its time, who wrote it, and what it says. The last one says how the task ended.
    """
    entries = list(islice(entries_of(app.client, resolve_any(app.client, task_id), limit), limit))
    if app.output == "wide":
        show("table", None, lambda: _wide(entries))
    else:
        show(app.output, entries, lambda: _page(entries))


def entries_of(client: "Client", task_id: str, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """The events of a task in the order of the log, read page by page."""
    path = api_path("v3", "tasks", task_id, "history")
    params: dict[str, object] = {"limit": min(limit or _PAGE, _PAGE)}
    while True:
        page = client.get(path, params)
        yield from page["results"]
        if page["next"] is None or not page["results"]:
            return
        params = {"limit": _PAGE, "after": str(LogPosition.of(page["results"][-1]))}


def cancel_reason(entries: Iterator[Mapping[str, Any]]) -> str:
    """Return the reason of the first cancel request that had an effect; empty if none was given."""
    for entry in entries:
        if kind(entry) == "cancel-requested" and entry["effect"] == "applied":
            return str(_data(entry).get("reason") or "")
    return ""


def what(entry: Mapping[str, Any]) -> str:
    """Describe an event in the guide's words."""
    if entry["effect"] not in ("applied", "about a dead letter"):
        return f"no effect: {entry['effect']}"
    told = TOLD.get(kind(entry))
    return "" if told is None else told(entry)  # a newer server may have more kinds


def outcome(data: Mapping[str, Any]) -> str:
    """Describe how a task ended: the guide's word, and the error, if any."""
    state, error = state_of(data.get("outcome")), data.get("error")
    word = state.guide if state.pulp2 else str(data.get("outcome"))
    return f"{word}: {error.get('description') or error.get('code')}" if isinstance(error, dict) else word


def _accepted(entry: Mapping[str, Any]) -> str:
    operation, cause = str(_data(entry).get("operation", "")), entry["event"].get("causationid")
    return f"{operation}, rerun of {cause}" if cause else operation


def _attempt_failed(data: Mapping[str, Any]) -> str:
    error, retry_at = data.get("error"), str(data.get("retry_at") or "")
    said = error.get("description") or error.get("code") if isinstance(error, dict) else ""
    return f"{said}; next attempt from {retry_at.replace('T', ' ')[:19]}"


def _attempt(entry: Mapping[str, Any]) -> str:
    attempt = _data(entry).get("attempt", 1)
    return f"attempt {attempt}" if attempt != 1 else ""


def _purged(entry: Mapping[str, Any]) -> str:
    who, asked = str(entry["actor"]), str(_data(entry).get("requested_by") or "")
    return f"for {asked}" if asked and asked != who else ""


def _unparked(entry: Mapping[str, Any]) -> str:
    data = _data(entry)
    reason = data.get("reason")
    text = f"{data.get('action')} of the record at offset {data.get('offset')}"
    return f"{text}: {reason}" if reason else text


TOLD: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "accepted": _accepted,
    "started": _attempt,
    "progress": lambda entry: ", ".join(progress_words(_data(entry).get("progress"))),
    "attempt-failed": lambda entry: _attempt_failed(_data(entry)),
    "cancel-requested": lambda entry: str(_data(entry).get("reason") or ""),
    "finished": lambda entry: outcome(_data(entry)),
    "purged": _purged,
    "unparked": _unparked,
}
"""The text for each kind of event."""


def _page(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [str(LogPosition.of(entry)), _time(entry, "seconds"), kind(entry), str(entry["actor"]), what(entry)]
        for entry in entries
    ]
    return table(rows, ("OFFSET", "TIME (UTC)", "EVENT", "WHO", "WHAT"), width=_width())


def _wide(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [
            str(LogPosition.of(entry)),
            _time(entry, "milliseconds"),
            kind(entry),
            str(entry["actor"]),
            str(entry["effect"]),
            str(entry["event_id"]),
            what(entry),
        ]
        for entry in entries
    ]
    return table(rows, ("OFFSET", "TIME (UTC)", "EVENT", "WHO", "EFFECT", "EVENT ID", "WHAT"), width=None)


def _width() -> int | None:
    width = terminal_width()
    return None if width is None else max(_NARROWEST, width)


def _time(entry: Mapping[str, Any], unit: str) -> str:
    text = str(entry["time"]).replace("T", " ")
    return text[:19] if unit == "seconds" else text[:23]


def kind(entry: Mapping[str, Any]) -> str:
    """Return the kind of an event, such as `accepted`: its type without the version."""
    return without_version(str(entry["type"])).removeprefix("org.pulpproject.task.")


def without_version(event_type: str) -> str:
    """Return a type of event without its version."""
    return _VERSION.sub("", event_type)


def _data(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    event = entry.get("event")
    data = event.get("data") if isinstance(event, dict) else None
    return data if isinstance(data, dict) else {}
