"""Explain why a task was not found: it does not exist, has ended, or did not exist yet."""

from typing import TYPE_CHECKING

from pulp_console.exits import DATA

from pulp_admin.errors import Failure, NotFound
from pulp_admin.paths import api_path
from pulp_admin.positions import LogPosition
from pulp_admin.words import state_of_report

if TYPE_CHECKING:
    from pulp_admin.client import Client


def why_not_cancelled(client: "Client", task_id: str, refusal: NotFound) -> Failure:
    """Pulp 2 also answers "not found" for a task that has ended; tell the two apart."""
    try:
        report = client.get(api_path("v2", "tasks", task_id))
    except NotFound:
        return refusal
    state = state_of_report(report)
    if state.exit_code is None:
        return refusal
    return Failure(
        f"Task {task_id} has ended already, there is nothing to cancel: {state.guide}, {report['finish_time']}.", DATA
    )


def why_not_found_at(client: "Client", task_id: str, as_of: str, refusal: NotFound) -> Failure:
    """The task at `as_of`, a time or PARTITION:OFFSET, was not found."""
    try:
        [first] = client.get(api_path("v3", "tasks", task_id, "history"), {"limit": 1})["results"]
    except (NotFound, ValueError):
        return refusal
    start = LogPosition.of(first)
    history = f"All its events: pulp-admin tasks history --task-id {task_id}"
    try:
        asked = LogPosition.parse(as_of)
    except ValueError:
        return Failure(
            f"Task {task_id} did not exist yet at {as_of}: it was submitted at {first['time']} (event {start}).", DATA
        )
    if asked.partition != start.partition:
        return Failure(
            f"{as_of} is an event of another task: those of task {task_id} are in partition {start.partition}, from"
            f" {start} on. {history}",
            DATA,
        )
    return Failure(
        f"Task {task_id} did not exist yet at {as_of}: its first event is {start}, {first['time']}. {history}", DATA
    )
