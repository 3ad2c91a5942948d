"""Why a task waits."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pulp_admin.paths import api_path
from pulp_admin.words import state_of_report

if TYPE_CHECKING:
    from pulp_admin.client import Client


def why_it_waits(client: "Client", task_id: str, report: Mapping[str, Any]) -> str:
    """Why a waiting task is not started yet, in the server's words; empty if it does not wait, or nothing is known."""
    if state_of_report(report).pulp2 != "waiting":
        return ""
    found = client.get(api_path("v3", "tasks", task_id), {"fields": "waiting_for"}).get("waiting_for")
    return _told(found) if isinstance(found, dict) else ""


def _told(reason: Mapping[str, Any]) -> str:
    root = reason.get("root_cause")
    message = str(reason.get("message") or "")
    if not isinstance(root, dict):
        return message
    task = str(root.get("task")).rstrip("/").rsplit("/", 1)[-1]
    return f"{message} At the front of that line is task {task}: {root.get('message')}"
