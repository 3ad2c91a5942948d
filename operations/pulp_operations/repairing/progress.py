"""The progress of a repair: what was verified, and what was fetched again."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pulp_worker import Context

from pulp_operations.progress import FINISHED, IN_PROGRESS, NOT_STARTED
from pulp_operations.repairing.stored import SurveyedFile, size_of
from pulp_operations.repairing.survey import Found

# A progress object may have at most 256 KiB, so only the first errors are kept.
_MOST_ERRORS: Final = 100
_MOST_CHARACTERS: Final = 300
_INTERVAL_S: Final = 0.2


class RepairProgress:
    """Reports each step, and a few times a second the progress, by count and bytes."""

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self._verification: dict[str, Any] = {"state": NOT_STARTED, **_counts(), "num_damaged": 0, "num_missing": 0}
        self._content: dict[str, Any] = {"state": NOT_STARTED, **_counts(), "num_success": 0, "num_error": 0}
        self._errors: list[dict[str, str]] = []
        self._reported_s = time.monotonic()
        self._sizes: dict[Path, int] = {}
        """The sizes of the files to repair, as they were when found; a missing file of unknown size has none."""

    @property
    def num_success(self) -> int:
        """Number of repaired files."""
        return int(self._content["num_success"])

    def expect(self, count: int, size_bytes: int) -> None:
        """Set the numbers of files and bytes to verify."""
        self._verification |= {"state": IN_PROGRESS, **_counts(count, size_bytes)}
        self._report()

    def verified(self, found: Found) -> None:
        """Count a verified file. Raises `TaskCancelled` if the task was cancelled."""
        self._context.check_cancelled()
        now = self._verification
        now["items_left"] = max(0, now["items_total"] - found.checked)
        now["size_left"] = max(0, now["size_total"] - found.checked_bytes)
        now["num_damaged"], now["num_missing"] = found.damaged, found.missing
        self._report_soon()

    def expect_repairs(self, items: Iterable[SurveyedFile]) -> None:
        """These files are to be repaired."""
        sizes = {item.path: size_of(item) for item in items}
        self._sizes |= sizes
        self._content["state"] = IN_PROGRESS
        for kind, more in (("items", len(sizes)), ("size", sum(sizes.values()))):
            self._content[f"{kind}_total"] += more
            self._content[f"{kind}_left"] += more
        self._report()

    def repaired(self, item: SurveyedFile, reason: str | None) -> None:
        """A file was repaired, or could not be for this reason."""
        self._content["items_left"] -= 1
        self._content["size_left"] -= self._sizes.get(item.path, 0)
        if reason is None:
            self._content["num_success"] += 1
        else:
            self._content["num_error"] += 1
            if len(self._errors) < _MOST_ERRORS:
                self._errors.append({"name": item.name[:_MOST_CHARACTERS], "error": reason[:_MOST_CHARACTERS]})
        self._report_soon()

    def end(self, state: str) -> None:
        """Give the parts in progress this final state; parts that were not needed count as finished if all is well."""
        for part in (self._verification, self._content):
            if part["state"] == IN_PROGRESS or (part["state"] == NOT_STARTED and state == FINISHED):
                part["state"] = state
        self._report()

    def _report_soon(self) -> None:
        """Report, but not for each of many small files: that would cost more than reading them."""
        if time.monotonic() >= self._reported_s + _INTERVAL_S:
            self._report()

    def _report(self) -> None:
        self._reported_s = time.monotonic()
        content = {**self._content, "error_details": list(self._errors)}
        self._context.report({"repair": {"verification": dict(self._verification), "content": content}})


def _counts(count: int = 0, size_bytes: int = 0) -> dict[str, int]:
    return {"items_total": count, "items_left": count, "size_total": size_bytes, "size_left": size_bytes}
