"""The progress of a sync, in the tree that the user guide shows."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from pulp_operations.records import Note

NOT_STARTED, IN_PROGRESS, FINISHED, FAILED, CANCELED = "NOT_STARTED", "IN_PROGRESS", "FINISHED", "FAILED", "CANCELED"
_PACKAGE, _TREE_FILE = "rpm", "tree_file"
_KINDS: Final = ("delta_rpm", "file", _PACKAGE, _TREE_FILE)
_PARTS: Final = ("metadata", "content", "comps", "errata")
# A progress object may have at most 256 KiB, so only the first errors are kept.
_MOST_ERRORS: Final = 100
_MOST_CHARACTERS: Final = 300
_INTERVAL_S: Final = 0.2


def _counts() -> dict[str, int]:
    return dict.fromkeys(("items_left", "items_total", "num_error", "num_success", "size_left", "size_total"), 0)


class SyncProgress:
    """Counts complete packages and tree files only: a partial one is not a success, and its bytes count once all of
    them have arrived.

    `details.rpm.items_left` counts packages whose download has not ended. The content's own `items_left` counts
    packages not yet handed to the downloader, which takes the whole list at once, so it is 0 from then on.
    """

    def __init__(self) -> None:
        self.packages_fetched = 0
        """Packages fetched by the whole sync, including those before it started over."""
        self.start_over()

    def start_over(self) -> None:
        """Start over because the repository has changed; fetched files stay."""
        self.metadata = self.comps = self.errata = self.content = NOT_STARTED
        self._total = _counts()
        self._details = {kind: _counts() for kind in _KINDS}
        self._errors: list[dict[str, str]] = []

    def expect_packages(self, number: int, size_bytes: int) -> None:
        """Set the number of packages to fetch."""
        self._expect(_PACKAGE, number, size_bytes)

    def expect_tree_files(self, number: int) -> None:
        """Set the number of tree files to fetch; their sizes are unknown before."""
        self._expect(_TREE_FILE, number, 0)

    def handed_over(self) -> None:
        """The list of packages to fetch is complete."""
        self._total["items_left"] = 0

    def fetched_package(self, size_bytes: int) -> None:
        """A package was fetched and verified."""
        self.packages_fetched += 1
        self._succeed(_PACKAGE, size_bytes)

    def fetched_tree_file(self, size_bytes: int) -> None:
        """A file of the tree was fetched."""
        for counts in (self._total, self._details[_TREE_FILE]):
            counts["size_total"] += size_bytes
            counts["size_left"] += size_bytes
        self._succeed(_TREE_FILE, size_bytes)

    def failed_package(self, href: str, reason: str) -> None:
        """A package could not be fetched."""
        self._fail(_PACKAGE, href, reason)

    def failed_tree_file(self, path: str, reason: str) -> None:
        """A file of the tree could not be fetched."""
        self._fail(_TREE_FILE, path, reason)

    def note(self, note: Note) -> None:
        """Note that a part that no client needs was corrected or left out."""
        self._tell(note.what if note.line is None else f"{note.what}, line {note.line}", note.reason)

    @property
    def failed_packages(self) -> int:
        """Packages that could not be fetched."""
        return self._details[_PACKAGE]["num_error"]

    def stop(self, state: str) -> None:
        """Set this state on everything in progress."""
        for part in _PARTS:
            if getattr(self, part) == IN_PROGRESS:
                setattr(self, part, state)

    def tree(self) -> dict[str, Any]:
        """The progress object to report."""
        content = {
            "state": self.content,
            **self._total,
            "error_details": list(self._errors),
            "details": {kind: dict(counts) for kind, counts in self._details.items()},
        }
        states = {part: {"state": getattr(self, part)} for part in _PARTS}
        return {"yum_importer": {**states, "content": content}}

    def _expect(self, kind: str, number: int, size_bytes: int) -> None:
        for counts in (self._total, self._details[kind]):
            counts["items_total"] += number
            counts["items_left"] += number
            counts["size_total"] += size_bytes
            counts["size_left"] += size_bytes

    def _succeed(self, kind: str, size_bytes: int) -> None:
        self._details[kind]["items_left"] -= 1
        for counts in (self._total, self._details[kind]):
            counts["num_success"] += 1
            counts["size_left"] -= size_bytes

    def _fail(self, kind: str, name: str, reason: str) -> None:
        self._details[kind]["items_left"] -= 1
        for counts in (self._total, self._details[kind]):
            counts["num_error"] += 1
        self._tell(name, reason)

    def _tell(self, name: str, reason: str) -> None:
        if len(self._errors) < _MOST_ERRORS:
            self._errors.append({"name": name[:_MOST_CHARACTERS], "error": reason[:_MOST_CHARACTERS]})


class Reporting:
    """Sends progress a few times a second: encoding it for each of many small packages costs more than fetching them.

    Use it on an event loop.
    """

    def __init__(self, progress: SyncProgress, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._progress, self._send = progress, send
        self._sent_s = -_INTERVAL_S
        self._later: asyncio.TimerHandle | None = None

    def now(self) -> None:
        """Send the progress."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._sent_s = time.monotonic()
        self._send(self._progress.tree())

    def soon(self) -> None:
        """Send it now, or once the interval since the last report has passed."""
        wait_s = self._sent_s + _INTERVAL_S - time.monotonic()
        if wait_s <= 0:
            self.now()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(wait_s, self.now)
