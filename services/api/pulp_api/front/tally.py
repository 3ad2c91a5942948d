"""Log lines that a client can cause at will: counted, and written once per interval."""

import logging
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 10.0
_log = logging.getLogger("pulp.api")


class Tally:
    """Counts events by kind, and logs each kind at most once in `INTERVAL_S`."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._counts: dict[str, int] = {}
        self._last: dict[str, dict[str, object]] = {}
        self._next_s = clock_s()

    def note(self, kind: str, **last: object) -> None:
        """Count one more; only the newest `last` is logged."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._last[kind] = last

    def write(self) -> None:
        """Log the counts, unless the interval has not passed yet."""
        now = self._clock_s()
        if not self._counts or now < self._next_s:
            return
        self._next_s = now + INTERVAL_S
        for kind, count in self._counts.items():
            _log.warning("refused", extra={"reason": kind, "count": count, **self._last[kind]})
        self._counts.clear()
        self._last.clear()
