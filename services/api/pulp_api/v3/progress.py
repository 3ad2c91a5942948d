"""Progress in Pulp 3's reports. Pure."""

from typing import Final, TypedDict

ORPHANS: Final = "remove-orphans"
"""The operation whose result becomes reports."""


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


def orphan_reports(result: object) -> list[ProgressReportResponse]:
    """The reports of Pulp 3's orphan cleanup, from the result of `remove-orphans`."""
    counts = result if isinstance(result, dict) else {}
    content = counts.get("packages", 0) + counts.get("tree_files", 0)
    return [
        {
            "message": f"Clean up orphan {kind.capitalize()}",
            "code": f"clean-up.{kind}",
            "state": "completed",
            "total": count,
            "done": count,
            "suffix": None,
        }
        for kind, count in (("content", content), ("artifacts", counts.get("removed", 0)))
    ]
