"""The page of why a task waits. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pulp_console.escaping import one_line
from pulp_console.output import table, wrap
from pulp_console.times import duration_text

from pulp_admin.paths import id_in


def why_lines(found: Mapping[str, Any]) -> list[str]:
    """The server's reasons, each with what to do, and the tasks ahead on each resource."""
    reasons = found["reasons"]
    if not reasons:
        return wrap("Why:   ", found["message"])
    lines: list[str] = []
    for number, reason in enumerate(reasons):
        lines += wrap("And:   " if number else "Why:   ", f"{reason['message']} {reason['advice']}")
    root = found["root_cause"]
    if root is not None:
        lines += wrap("Root:  ", f"Task {id_in(root['task'])} is at the front of that line: {root['message']}")
    for resource in found["resources"]:
        lines += ["", *_resource(resource)]
    return lines


HIDDEN: Final = "Tasks that you may not see hold it, or wait for it"
"""The text for other users' tasks where each user sees only own tasks."""


def holder_rows(holders: list[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Task, access, for how long, and worker of each that holds a resource."""
    for each in holders:
        yield [id_in(each["task"]), each["access"], age(each["seconds"]), each["worker_name"]]


def age(seconds: float | None) -> str:
    """A duration for people; `-` for none."""
    return "-" if seconds is None else duration_text(seconds)


def _resource(resource: Mapping[str, Any]) -> list[str]:
    before = resource["before"]
    waits = "1 task waits" if before == 1 else f"{before or 'no'} tasks wait"
    access = "exclusively" if resource["access"] == "exclusive" else "together with others"
    lines = wrap("", f"It needs {one_line(resource['resource'])} {access}; before it {waits}.")
    rows = [["held", *row[:1], f"by worker {row[3]} for {row[2]}"] for row in holder_rows(resource["held_by"])]
    rows += [[str(place), id_in(task), "waits"] for place, task in enumerate(resource["tasks"], 1)]
    if before > len(resource["tasks"]):
        rows.append(["...", f"{before - len(resource['tasks'])} more", ""])
    if rows:
        lines += table(rows, ("PLACE", "TASK", "STATE"))
    if resource["others"]:
        lines += wrap("", f"{HIDDEN} as well." if rows else f"{HIDDEN}.")
    return lines
