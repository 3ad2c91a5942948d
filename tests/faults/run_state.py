"""The state of a run: the ledger, the reference, the measurements, and the live line."""

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
    """When a worker was stopped and woke, by the monotonic and the wall clock."""

    worker: str
    stopped_ns: int
    woke_ns: int
    woke_ms: float


class Probe(NamedTuple):
    """A task that has to start soon after a fault."""

    bound: str
    task_id: str
    at_ms: float
    """From when the wait counts, by the wall clock."""


class State:
    """Shared by the runner and the faults."""

    def __init__(self, ledger: Ledger, reference: Reference, checker: Checker) -> None:
        self.ledger = ledger
        self.reference = reference
        self.checker = checker
        self.measured: dict[str, list[float]] = defaultdict(list)
        """Bound → measurements, in its unit."""
        self.counts: Counter[str] = Counter()
        self.killed_workers: list[tuple[str, float]] = []
        """(worker, wall clock in ms) of each kill without another fault at that time."""
        self.wakes: list[Wake] = []
        self.probes: list[Probe] = []
        self.quiet_ms: list[tuple[float, float]] = []
        """The periods without a fault, by the wall clock."""
        self.began_s = time.monotonic()

    def measure(self, bound: str, seen: float) -> None:
        """Add a measurement."""
        self.measured[bound].append(seen)

    def count(self, what: str, number: int = 1) -> None:
        """Increase a count."""
        self.counts[what] += number

    def expect_rewind(self) -> None:
        """Note that a Postgres server dies now, so that positions may go back with their rows."""
        self.checker.expect_rewind()

    def recent(self, random: Random) -> dict[int, list[Raw]]:
        """Some of the newest records that the reference has read, from each partition."""
        found = {}
        for partition, history in self.reference.history.items():
            newest = [entry.raw for entry in list(history.values())[-40:] if len(entry.raw.value or b"") < 10_000]
            found[partition] = random.sample(newest, min(_RECENT, len(newest)))
        return found
