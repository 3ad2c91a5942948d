"""The output of an operation as log lines: long lines are cut, and too many are dropped."""

import codecs
import time
from collections.abc import Callable
from typing import Final

LINE_LIMIT: Final = 4_000
"""Characters of a line; the rest is cut off."""
BURST_BYTES: Final = 256 * 1024
"""How much may be printed in a burst; each line counts as `LINE_COST` more bytes."""
BYTES_A_SECOND: Final = 8 * 1024
LINE_COST: Final = 64


class OutputLines:
    """Turns printed output into lines, within the bounds above for each attempt. It reports once when it begins to drop
    lines, and their number when it resumes or at the end."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""
        self._cut = 0
        self._left = float(BURST_BYTES)
        self._filled_at_s = clock_s()
        self._dropped = 0

    def feed(self, printed: bytes) -> list[str]:
        """The lines that are complete now."""
        return self.feed_text(self._decoder.decode(printed))

    def feed_text(self, printed: str) -> list[str]:
        """The same for text."""
        first, *others = printed.split("\n")
        found: list[str] = []
        self._add(first)
        for text in others:
            found += self._complete()
            self._add(text)
        return found

    def end(self) -> list[str]:
        """The last line, if it had no end, and a note of what was dropped."""
        self._add(self._decoder.decode(b"", final=True))
        found = self._complete() if self._rest or self._cut else []
        return [*found, *self._told_of_dropped()]

    def _add(self, text: str) -> None:
        room = LINE_LIMIT - len(self._rest)
        self._rest += text[:room]
        self._cut += max(0, len(text) - room)

    def _complete(self) -> list[str]:
        text, cut = self._rest.rstrip("\r"), self._cut
        self._rest, self._cut = "", 0
        now_s = self._clock_s()
        self._left = min(float(BURST_BYTES), self._left + (now_s - self._filled_at_s) * BYTES_A_SECOND)
        self._filled_at_s = now_s
        cost = len(text) + LINE_COST
        # Once it drops lines, it waits until there is room for many: otherwise every second line would report drops.
        if self._left < (BURST_BYTES / 8 if self._dropped else cost):
            self._dropped += 1
            limit = f"over {BURST_BYTES // 1024} KiB at once or {BYTES_A_SECOND // 1024} KiB a second"
            return [f"(the operation prints {limit}: lines are dropped)"] if self._dropped == 1 else []
        self._left -= cost
        told = self._told_of_dropped()
        return [*told, f"{_visible(text)} ({cut} more characters)" if cut else _visible(text)]

    def _told_of_dropped(self) -> list[str]:
        dropped, self._dropped = self._dropped, 0
        return [f"({dropped} lines were dropped)"] if dropped else []


def _visible(text: str) -> str:
    """The text with control characters as escapes, since people read logs in terminals."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)
