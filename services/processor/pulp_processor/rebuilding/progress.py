"""The progress of a rebuild."""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

_EVERY_S: Final = 0.2


class Phase(StrEnum):
    """The phases of a rebuild, a comparison, an activation, and of healing a task."""

    FILLING = "filling"
    READING = "reading"
    INDEXING = "indexing"
    CATCHING_UP = "catching up"
    COMPARING = "comparing"
    SWITCHING = "switching"


class Progress(NamedTuple):
    """The progress of a phase. `done` and `total` count events; both are 0 in a phase that cannot be measured."""

    phase: Phase
    done: int
    total: int
    rate: float
    """Events a second since the phase began here."""
    left_s: float | None
    """Seconds left at that rate; None while no rate is known."""

    @property
    def percent(self) -> float:
        """0 to 100."""
        return 100.0 * self.done / self.total if self.total else 0.0


Report = Callable[[Progress], None]


def report_nothing(progress: Progress) -> None:
    """For callers that need no reports."""


class PhaseMeter:
    """Measures a phase that goes to `ends`, and reports at most five times a second, and once at the end."""

    def __init__(
        self,
        report: Report,
        phase: Phase,
        ends: dict[int, int],
        positions: dict[int, int],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._phase = phase
        self._ends = ends
        self._positions = dict(positions)
        self._clock_s = clock_s
        self._started_at_s = clock_s()
        self._done_before = self._done()
        self._reported_at_s = float("-inf")
        self._is_complete = False
        self._send()

    def moved(self, partition: int, next_offset: int) -> None:
        """Note the new position of a partition."""
        self._positions[partition] = next_offset
        is_complete = self._done() == sum(self._ends.values())
        if (is_complete and not self._is_complete) or self._clock_s() - self._reported_at_s >= _EVERY_S:
            self._send()

    def _done(self) -> int:
        return sum(min(self._positions.get(partition, 0), end) for partition, end in self._ends.items())

    def _send(self) -> None:
        now = self._clock_s()
        done, total, passed = self._done(), sum(self._ends.values()), now - self._started_at_s
        rate = (done - self._done_before) / passed if passed > 0 else 0.0
        left_s = 0.0 if done == total else ((total - done) / rate if rate > 0 else None)
        self._reported_at_s, self._is_complete = now, done == total
        self._report(Progress(self._phase, done, total, rate, left_s))
