"""Progress in Pulp 3's reports. Pure."""

from collections.abc import Callable, Mapping
from typing import Final, TypedDict

from pulp_events.purging import PURGE_TASKS


class ProgressReportResponse(TypedDict):
    """One part of a task's progress."""

    message: str
    code: str
    state: str
    total: int
    done: int
    suffix: str | None


def progress_reports(progress: object, state: str, path: tuple[str, ...] = ()) -> list[ProgressReportResponse]:
    """Flatten a progress tree into Pulp 3's reports: one for each part with `items_total` and `items_left`."""
    if not isinstance(progress, dict):
        return []
    reports = [report for key, part in progress.items() for report in progress_reports(part, state, (*path, str(key)))]
    total, left = progress.get("items_total"), progress.get("items_left")
    if isinstance(total, int) and isinstance(left, int) and path:
        done = progress.get("num_success", total - left)
        reports.insert(
            0,
            {
                "message": " ".join(path).replace("_", " "),
                "code": ".".join(path),
                "state": state,
                "total": total,
                "done": done if isinstance(done, int) else total - left,
                "suffix": None,
            },
        )
    return reports


def _orphan_reports(counts: Mapping[str, int]) -> list[ProgressReportResponse]:
    content = counts.get("packages", 0) + counts.get("tree_files", 0)
    return [
        _done("Clean up orphan Content", "clean-up.content", content),
        _done("Clean up orphan Artifacts", "clean-up.artifacts", counts.get("removed", 0)),
    ]


def _purge_reports(counts: Mapping[str, int]) -> list[ProgressReportResponse]:
    purged = counts.get("purged", 0)
    return [
        _done("Purged task-related-objects total", "purge.tasks.total", purged),
        _done("Errors encountered during purge", "purge.tasks.error", 0),
        _done("Purged core.Task", "purge.tasks.key.core.Task", purged),
    ]


REPORTED: Final[Mapping[str, Callable[[Mapping[str, int]], list[ProgressReportResponse]]]] = {
    "remove-orphans": _orphan_reports,
    PURGE_TASKS: _purge_reports,
}
"""The operations whose result becomes the reports that Pulp 3's task has: its clients take a result for the whole
answer, and read the reports."""


def _done(message: str, code: str, count: int) -> ProgressReportResponse:
    return {"message": message, "code": code, "state": "completed", "total": count, "done": count, "suffix": None}
