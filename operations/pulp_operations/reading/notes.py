"""Notes on corrections and omissions: the first ones, and their number."""

from typing import Final

from pulp_operations.reading.text import Text
from pulp_operations.records import Note

_MOST: Final = 100


class Notes:
    """Collects notes; only the first ones are kept."""

    def __init__(self) -> None:
        self.first: list[Note] = []
        self.total = 0

    def add(self, what: str, reason: str, line: int | None = None) -> None:
        """Note a part."""
        self.total += 1
        if len(self.first) < _MOST:
            self.first.append(Note(what=what, reason=reason, line=line))

    def add_uncounted(self, text: Text) -> None:
        """Note how many mended lines of a document are beyond those that could be assigned to its parts."""
        if text.mended.uncounted:
            self.add(text.what, f"{text.mended.uncounted} more lines of it were mended in the same way")
