"""The progress of a publish, in the tree that clients of Pulp 2 show."""

from typing import Any, Final

from pulp_worker import Context

from pulp_operations.progress import FAILED, FINISHED, IN_PROGRESS, NOT_STARTED

_PARTS: Final = (
    "package_list",
    "metadata",
    "packages",
    "distribution",
    "verification",
    "publish_http",
    "publish_https",
)
_COUNTING: Final = ("packages", "distribution")
_STEPS: Final = 100
"""The most reports of a part that counts."""


class PublishProgress:
    """The state of each part. `distribution` counts the files of an installable tree."""

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self._parts: dict[str, dict[str, Any]] = {part: {"state": NOT_STARTED} for part in _PARTS}
        for part in _COUNTING:
            self._parts[part].update(items_total=0, items_left=0, num_success=0, num_error=0, error_details=[])

    def enter(self, *parts: str, items: int = 0) -> None:
        """Finish the parts in progress and begin these; `items` is their expected count."""
        self._end(FINISHED)
        for part in parts:
            self._parts[part]["state"] = IN_PROGRESS
            if part in _COUNTING:
                self._parts[part].update(items_total=items, items_left=items)
        self._report()

    def count(self, part: str) -> None:
        """Count one more item of this part."""
        counted = self._parts[part]
        counted["num_success"] += 1
        counted["items_left"] -= 1
        if counted["num_success"] % (counted["items_total"] // _STEPS + 1) == 0:
            self._report()

    def finish(self) -> None:
        """Finish all parts, including those that did not need to begin."""
        for part in self._parts.values():
            part["state"] = FINISHED
        self._report()

    def fail(self) -> None:
        """Mark the parts in progress as failed."""
        self._end(FAILED)
        self._report()

    def _end(self, state: str) -> None:
        for part in self._parts.values():
            if part["state"] == IN_PROGRESS:
                part["state"] = state

    def _report(self) -> None:
        self._context.report({"yum_distributor": self._parts})
