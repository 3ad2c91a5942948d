"""The progress of a sync, in the tree that the user guide shows."""

from typing import Any, Final

NOT_STARTED, IN_PROGRESS, FINISHED, FAILED, CANCELED = "NOT_STARTED", "IN_PROGRESS", "FINISHED", "FAILED", "CANCELED"
_KINDS: Final = ("delta_rpm", "file", "rpm", "tree_file")
# A progress object may have 256 KiB at most: the first errors tell enough.
_MOST_ERRORS: Final = 100
_MOST_CHARACTERS: Final = 300


def _counts() -> dict[str, int]:
    return dict.fromkeys(("items_left", "items_total", "num_error", "num_success", "size_left", "size_total"), 0)


class SyncProgress:
    """Counts packages, whole ones only: a part of a package is no success, and its bytes count when all are there.

    `details.rpm.items_left` counts packages whose download has not ended. The content's own `items_left` counts
    packages that were not handed to the downloader yet; it takes the whole list at once, so it is 0 from then on.
    """

    def __init__(self) -> None:
        self.metadata = self.comps = self.errata = self.content = NOT_STARTED
        self._total = _counts()
        self._rpm = _counts()
        self._errors: list[dict[str, str]] = []

    def expect(self, sizes_bytes: list[int]) -> None:
        """These packages are to be fetched."""
        for counts in (self._total, self._rpm):
            counts["items_total"], counts["items_left"] = len(sizes_bytes), len(sizes_bytes)
            counts["size_total"] = counts["size_left"] = sum(sizes_bytes)

    def handed_over(self) -> None:
        """The downloader has the whole list."""
        self._total["items_left"] = 0

    def fetched(self, size_bytes: int) -> None:
        """A package is there, whole and verified."""
        self._rpm["items_left"] -= 1
        for counts in (self._total, self._rpm):
            counts["num_success"] += 1
            counts["size_left"] -= size_bytes

    def failed(self, href: str, reason: str) -> None:
        """A package could not be fetched."""
        self._rpm["items_left"] -= 1
        for counts in (self._total, self._rpm):
            counts["num_error"] += 1
        if len(self._errors) < _MOST_ERRORS:
            self._errors.append({"name": href[:_MOST_CHARACTERS], "error": reason[:_MOST_CHARACTERS]})

    @property
    def num_error(self) -> int:
        """Packages that could not be fetched."""
        return self._total["num_error"]

    @property
    def num_success(self) -> int:
        """Packages that were fetched."""
        return self._total["num_success"]

    def stop(self, state: str) -> None:
        """Everything that is in progress has ended so."""
        for part in ("metadata", "content", "comps", "errata"):
            if getattr(self, part) == IN_PROGRESS:
                setattr(self, part, state)

    def tree(self) -> dict[str, Any]:
        """As it is reported."""
        details = {kind: dict(self._rpm) if kind == "rpm" else _counts() for kind in _KINDS}
        return {
            "yum_importer": {
                "metadata": {"state": self.metadata},
                "content": {
                    "state": self.content,
                    **self._total,
                    "error_details": list(self._errors),
                    "details": details,
                },
                "comps": {"state": self.comps},
                "errata": {"state": self.errata},
            }
        }
