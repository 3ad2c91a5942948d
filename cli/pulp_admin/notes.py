"""The notes of a wide table: why a task waits, or why it was cancelled."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pulp_admin.history import cancel_reason, entries_of
from pulp_admin.waiting import why_it_waits
from pulp_admin.wide import Line
from pulp_admin.words import state_of_report

if TYPE_CHECKING:
    from pulp_admin.client import Client

_MAX_REQUESTS: Final = 25


def noted(client: "Client", reports: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return a line for each task. Each reason needs a request, so only the first tasks of a long list have one."""
    lines, requests = [], 0
    for report in reports:
        state = state_of_report(report)
        note = ""
        if requests < _MAX_REQUESTS and state.pulp2 in ("waiting", "cancelling", "canceled"):
            requests += 1
            note = _note(client, report, state.pulp2)
        lines.append(Line(report, note))
    return lines


def _note(client: "Client", report: Mapping[str, Any], state: str) -> str:
    task_id = str(report["task_id"])
    return why_it_waits(client, task_id, report) if state == "waiting" else cancel_reason(entries_of(client, task_id))
