"""What a run knows of itself: the ledger, the reference, what was measured, and what the live line tells."""

import time
from collections import Counter, defaultdict
from random import Random
from typing import Final, NamedTuple

from tests.faults.checker import Checker
from tests.faults.folding import Raw
from tests.faults.ledger import Ledger
from tests.faults.reference import Reference

_RECENT: Final = 6


class Wake(NamedTuple):
    """A worker that was stopped, and woke: by the machine's monotonic clock, and by the wall clock."""

    worker: str
    stopped_ns: int
    woke_ns: int
    woke_ms: float


class State:
    """Shared by the runner and the faults."""

    def __init__(self, ledger: Ledger, reference: Reference, checker: Checker) -> None:
        self.ledger = ledger
        self.reference = reference
        self.checker = checker
        self.measured: dict[str, list[float]] = defaultdict(list)
        """Bound → what was seen, in its unit."""
        self.counts: Counter[str] = Counter()
        self.killed_workers: list[tuple[str, float]] = []
        """(worker, wall clock in ms) of each that was killed while nothing else was wrong."""
        self.wakes: list[Wake] = []
        self.quiet_ms: list[tuple[float, float]] = []
        """When no fault was going on, by the wall clock."""
        self.began_s = time.monotonic()

    def measure(self, bound: str, seen: float) -> None:
        """One more measurement."""
        self.measured[bound].append(seen)

    def count(self, what: str, number: int = 1) -> None:
        """It happened so often more."""
        self.counts[what] += number

    def expect_rewind(self) -> None:
        """A server of Postgres dies now: positions may go back with their rows."""
        self.checker.expect_rewind()

    def recent(self, random: Random) -> dict[int, list[Raw]]:
        """Some of the newest records of each partition that the reference has read."""
        found = {}
        for partition, history in self.reference.history.items():
            newest = [entry.raw for entry in list(history.values())[-40:] if len(entry.raw.value or b"") < 10_000]
            found[partition] = random.sample(newest, min(_RECENT, len(newest)))
        return found
