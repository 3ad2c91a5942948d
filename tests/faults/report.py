"""The output of a run: a live line meanwhile, and tables at the end."""

import math
import statistics
import sys
import time
from collections import Counter, defaultdict
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.faults.faults_attacks import ANSWER, MEMORY
from tests.faults.faults_dispatcher import ENDED, KILLED
from tests.faults.runner import CANCEL, LAG, Outcome, Runner

BOUNDS = {
    LAG: ("s", 15.0),
    "killed worker's task reads worker-lost": ("s", 10.0),
    "partitions of a killed processor go on": ("s", 10.0),
    KILLED: ("s", 10.0),
    ENDED: ("s", 2.0),
    CANCEL: ("ms", 1000.0),
    "operations of a stopped worker after it woke": ("ms", 100.0),
    ANSWER: ("ms", 1000.0),
    MEMORY: ("MiB", 250.0),
}
"""Bound → unit and limit."""
_OF_99_IN_100: Final = {CANCEL, ANSWER}
"""For these the limit holds for 99 of 100, for all others always."""


class Live:
    """One line, overwritten on a terminal; elsewhere a line now and then."""

    def __init__(self, every_s: float = 20.0) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._every_s = every_s
        self._said_s = 0.0

    def say(self, text: str) -> None:
        """Print a permanent line."""
        print(f"\r\033[K{text}" if self._is_terminal else text, flush=True)

    def show(self, runner: Runner, episode_s: float) -> None:
        """Show the current state."""
        state = runner.state
        seen = Counter(each.state for each in list(state.ledger.seen.values()))
        ended = sum(seen[word] for word in ("successful", "failed", "cancelled", "skipped"))
        text = (
            f"{time.monotonic() - state.began_s:6.0f} s  {len(state.ledger.tasks)} tasks, {ended} ended,"
            f" {sum(state.ledger.answers.values())} answers, {len(state.ledger.breaches)} breaches |"
            f" {runner.doing} ({episode_s:.0f} s)"
        )
        if self._is_terminal:
            print(f"\r\033[K{text[:150]}", end="", flush=True)
        elif time.monotonic() - self._said_s >= self._every_s:
            self._said_s = time.monotonic()
            print(text, flush=True)


def missed(outcome: Outcome) -> list[str]:
    """The bounds that do not hold."""
    return [name for name, (_, limit) in BOUNDS.items() if (judged := _judged(name, outcome)) and judged > limit]


def _judged(name: str, outcome: Outcome) -> float | None:
    seen = sorted(outcome.state.measured[name])
    if not seen:
        return None
    return _ninety_nine(seen) if name in _OF_99_IN_100 else seen[-1]


def _ninety_nine(seen: list[float]) -> float:
    """The 99th percentile of sorted values."""
    return seen[math.ceil(0.99 * len(seen)) - 1]


def print_report(outcome: Outcome) -> None:
    """The tables."""
    console = Console(width=150)
    console.print(_faults(outcome))
    console.print(_bounds(outcome))
    console.print(_counts(outcome))
    for breach in outcome.state.ledger.breaches[:40]:
        print(breach)
    breaches = len(outcome.state.ledger.breaches)
    print(
        f"seed {outcome.seed}, {outcome.seconds:.0f} s: {outcome.tasks} tasks, {sum(outcome.log.values())} records,"
        f" {len(outcome.happened)} episodes, {outcome.checks} comparisons: {breaches} breaches of promises,"
        f" {len(missed(outcome))} bounds missed"
    )


def _faults(outcome: Outcome) -> Table:
    table = Table("fault", "times", "of these alone", "seconds in all", "lag 0 after, median", "most", title="Faults")
    lags, times, alone, lasted = defaultdict(list), Counter[str](), Counter[str](), Counter[str]()
    for episode in outcome.happened:
        for name in episode.faults:
            times[name] += 1
            alone[name] += len(episode.faults) == 1
            lasted[name] += round(episode.ended_s - episode.began_s)
            if episode.lag_s is not None:
                lags[name].append(episode.lag_s)
    for name in sorted(times):
        seen = lags[name]
        middle, most = (f"{statistics.median(seen):.1f} s", f"{max(seen):.1f} s") if seen else ("never", "never")
        table.add_row(name, str(times[name]), str(alone[name]), str(lasted[name]), middle, most)
    return table


def _bounds(outcome: Outcome) -> Table:
    table = Table("bound", "seen", "median", "99 of 100", "most", "limit", "holds", title="Bounds")
    failing = missed(outcome)
    for name, (unit, limit) in BOUNDS.items():
        seen = sorted(outcome.state.measured[name])
        if not seen:
            table.add_row(name, "0", "-", "-", "-", f"{limit:g} {unit}", "not seen")
            continue
        numbers = (statistics.median(seen), _ninety_nine(seen), seen[-1])
        words = [f"{number:.1f} {unit}" for number in numbers]
        table.add_row(name, str(len(seen)), *words, f"{limit:g} {unit}", "no" if name in failing else "yes")
    return table


def _counts(outcome: Outcome) -> Table:
    table = Table("what", "number", title="Counts")
    tasks = Counter(row["state"] for row in outcome.state.reference.all_tasks().values())
    effects = Counter(entry.effect for _, entry in outcome.state.reference.entries())
    dead = sum(map(len, outcome.state.reference.dead.values()))
    told = Counter(each.what for each in outcome.state.ledger.told)
    for title, counter in (
        ("tasks that ended {}", tasks),
        ("events: {}", effects),
        ("records that are no events{}", Counter({"": dead})),
        ("clients told: {}", told),
        ("answers: {}", outcome.state.ledger.answers),
        ("{}", outcome.state.counts),
    ):
        for name, number in sorted(counter.items()):
            table.add_row(title.format(name), str(number))
    return table
