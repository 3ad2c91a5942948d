"""filelists and other: their data about the packages of primary, joined by checksum, in any order."""

import re
from array import array
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from pulp_operations.reading.documents import Document, local_name
from pulp_operations.reading.notes import Notes
from pulp_operations.reading.numbers import is_whole, leading
from pulp_operations.reading.text import Text
from pulp_operations.reading.writing import ROOTS, is_usual, written

_DATED: Final = re.compile(rb"""<changelog\s[^<>]*?\bdate=["']-?[0-9]{1,12}["']""")


class Extras:
    """One such document: where in it each package is. The document itself stays on the disk."""

    def __init__(self, text: Text, kind: str, numbers: Mapping[str, int], shown: list[str], notes: Notes) -> None:
        """`numbers` are the packages of primary, by checksum; `shown` are their names for people."""
        self._kind, self._text, self._numbers, self._shown, self._notes = kind, text, numbers, shown, notes
        self._document = Document(text.path, text.what, ROOTS[kind])
        self._starts = array("q", [-1]) * len(numbers)
        self._ends = array("q", [-1]) * len(numbers)
        self._lines = array("q", [0]) * len(numbers)
        self._odd: set[int] = set()
        """The packages whose elements cannot be taken over unchanged."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._document.__exit__(kind, error, at)

    def find(self, expected: int) -> None:
        """Find the packages. Raises as a `Document` does: a damaged or truncated document is an error.

        It notes a missing one of the first `expected`, and any that primary does not have.
        """
        named, unknown = 0, 0
        for element in self._document:
            if local_name(element.name) != "package":
                continue
            named += 1
            pkgid = element.attributes.get("pkgid", "")
            number = self._numbers.get(pkgid.strip().lower())
            mended_line = self._text.mended.up_to(element.last_line)
            if number is None:
                unknown += 1
                continue
            if mended_line is not None:
                self._note(number, self._text.reason, mended_line)
            if self._starts[number] >= 0:
                continue
            self._starts[number], self._ends[number], self._lines[number] = element.start, element.end, element.line
            if ":" in element.name or pkgid not in self._numbers:
                self._odd.add(number)
        self._notes.add_uncounted(self._text)
        missing = sum(1 for start in self._starts[:expected] if start < 0)
        if missing:
            self._notes.add(self._text.what, f"it says nothing of {missing} of the {expected} packages")
        if unknown:
            self._notes.add(self._text.what, f"{unknown} of the {named} packages in it are not in primary: left out")

    def read(self, number: int) -> bytes | None:
        """The element of a package, as ours are written; None where the document does not have it."""
        start = self._starts[number]
        if start < 0:
            return None
        content = self._document.read_at(start, self._ends[number])
        is_one = content.count(b"<package") == 1 and content.count(b"<changelog") == len(_DATED.findall(content))
        if is_one and number not in self._odd and is_usual(self._kind, self._document.declared):
            return content
        tree = self._document.tree(content, self._lines[number])
        tree.set("pkgid", tree.get("pkgid", "").strip().lower())
        for change in tree:
            if local_name(change.tag) == "changelog" and not is_whole(change.get("date")):
                change.set("date", leading(change.get("date")))
                reason = f"a change has no number for its date: {change.get('date')} is taken"
                self._note(number, reason, self._lines[number])
        return written(tree, self._document.default)

    def _note(self, number: int, reason: str, line: int) -> None:
        self._notes.add(f"{self._shown[number]} in {self._text.what}", reason, line)
