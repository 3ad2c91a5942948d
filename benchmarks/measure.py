"""Measures our side and its peers in alternating rounds."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.scene import Servers

OURS: Final = "ours"
LIMIT: Final = "limit"
_UNITS: Final = {
    "p50": "ms",
    "p99": "ms",
    "longest": "ms",
    "cpu a task": "ms",
    "cpu a delivery": "µs",
    "MiB": "MiB",
    "% of a core": "%",
    "times": "",
}
"""The unit by the end of a metric's name; otherwise it has its measure's unit."""
_STEPS: Final = 300_000
_LOOPS: Final = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of a round, and how many rounds there are."""

    is_quick: bool
    rounds: int | None = None
    """None: as many as the measure wants."""

    def of(self, full: int, quick: int) -> int:
        """A number for a real run, and one for a smoke test."""
        return quick if self.is_quick else full


Side = Callable[[Servers, Sizes], Awaitable[Mapping[str, float]]]
"""One round of one side: a value for each metric; a single metric has an empty name."""
Together = Callable[[Servers, Sizes], Awaitable[Mapping[str, Mapping[str, float]]]]
"""One round of all sides, which take turns within it: by side the same."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of a metric."""

    text: str
    is_kept: Callable[["Result"], bool | None]
    """None if there is no ratio to judge."""

    def verdict(self, result: "Result") -> str:
        """For the terminal."""
        return f"{self.text}: {_VERDICTS[self.is_kept(result)]}"


_VERDICTS: Final = {True: "met", False: "missed", None: "not to be told"}


def ratio_at_most(bound: float) -> Goal:
    """Ours is at most this many times the other side."""
    return Goal(f"ratio at most {bound:g}", lambda result: None if result.ratio is None else result.ratio <= bound)


def ratio_at_least(bound: float) -> Goal:
    """Ours is at least this many times the other side."""
    return Goal(f"ratio at least {bound:g}", lambda result: None if result.ratio is None else result.ratio >= bound)


def at_most(bound: float) -> Goal:
    """Ours is at most this much, as the median of the rounds."""
    return Goal(f"at most {bound:g}", lambda result: result.ours.median <= bound)


def never_above(bound: float) -> Goal:
    """Ours is at most this much in every round."""
    return Goal(f"never above {bound:g}", lambda result: max(result.ours.values) <= bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure, whose sides run in turns or `together`: `ours`, optionally `limit` (what the machine can do), and
    peers by name.
    """

    name: str
    what: str
    unit: str
    goal: str
    """In words, unless metrics have goals of their own."""
    goals: Mapping[str, Goal] = field(default_factory=dict)
    """By metric; all others then have no goal."""
    sides: Mapping[str, Side] = field(default_factory=dict)
    together: Together | None = None
    rounds: int = 3
    needs_servers: bool = True
    """Whether Kafka and Postgres must run."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The values of one side over the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {"min": min(self.values), "median": self.median, "max": max(self.values), "rounds": list(self.values)}

    def __str__(self) -> str:
        return f"{_short(min(self.values))} / {_short(self.median)} / {_short(max(self.values))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One metric of a measure."""

    name: str
    unit: str
    goal: str
    """In words; empty for a metric without one."""
    ours: Spread
    limit: Spread | None
    peers: Mapping[str, Spread]
    loop_ms: Spread
    """The duration of a small Python loop before each side, which shows the machine's speed at that time."""
    bound: Goal | None = None
    """The same goal, if it can be judged."""

    @property
    def ratio(self) -> float | None:
        """Ours by the limit, else by the first peer: the median of the ratios of the rounds.

        None without either, and if the other is 0 in every round: processor time is counted in ticks of 10 ms.
        """
        other = self.limit or next(iter(self.peers.values()), None)
        if other is None:
            return None
        ratios = [ours / value for ours, value in zip(self.ours.values, other.values, strict=True) if value]
        return median(ratios) if ratios else None

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "name": self.name,
            "ours": self.ours.as_json(),
            "limit": None if self.limit is None else self.limit.as_json(),
            "peer": {name: spread.as_json() for name, spread in self.peers.items()} or None,
            "ratio": self.ratio,
            "goal": self.goal or None,
            "is_met": None if self.bound is None else self.bound.is_kept(self),
            "unit": self.unit,
            "rounds": len(self.ours.values),
            "loop_ms": self.loop_ms.as_json(),
        }


async def run(measure: Measure, servers: Servers, sizes: Sizes, step: Callable[[str], None]) -> list[Result]:
    """Run all rounds of a measure, its sides in turns; `step` is called with what comes next."""
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    loops_ms: list[float] = []

    async def next_is(description: str) -> None:
        step(description)
        loops_ms.append(await asyncio.to_thread(_loop_ms))

    for number in range(rounds_of(measure, sizes)):
        async for side, values in _round(measure, servers, sizes, number, next_is):
            for metric, value in values.items():
                found[metric][side].append(value)
    return [_result(measure, metric, sides, loops_ms) for metric, sides in found.items()]


async def _round(
    measure: Measure, servers: Servers, sizes: Sizes, number: int, next_is: Callable[[str], Awaitable[None]]
) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
    if measure.together is not None:
        await next_is(measure.name)
        for side, values in (await measure.together(servers, sizes)).items():
            yield side, values
    order = list(measure.sides)
    for side in order if number % 2 == 0 else reversed(order):
        await next_is(f"{measure.name}: {side}")
        yield side, await measure.sides[side](servers, sizes)


def _loop_ms() -> float:
    """The median of a few; a quarter of a second on a slow machine."""
    took_ms = []
    for _ in range(_LOOPS):
        began_s, total = time.perf_counter(), 0
        for number in range(_STEPS):
            total += number
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return median(took_ms)


def steps_of(measure: Measure, sizes: Sizes) -> int:
    """How often `run` calls `step`."""
    return rounds_of(measure, sizes) * (len(measure.sides) or 1)


def rounds_of(measure: Measure, sizes: Sizes) -> int:
    """How many rounds."""
    return sizes.rounds or (1 if sizes.is_quick else measure.rounds)


def percentile(values: Sequence[float], percent: float) -> float:
    """The given percentile. Raises ValueError without values: nothing was measured."""
    if not values:
        raise ValueError("no values: nothing was measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _result(measure: Measure, metric: str, sides: Mapping[str, Sequence[float]], loops_ms: Sequence[float]) -> Result:
    spreads = {name: Spread(tuple(values)) for name, values in sides.items()}
    bound = measure.goals.get(metric)
    return Result(
        name=f"{measure.name} {metric}".strip(),
        unit=_unit(metric, measure.unit),
        goal=measure.goal if not measure.goals else "" if bound is None else bound.text,
        bound=bound,
        ours=spreads[OURS],
        limit=spreads.get(LIMIT),
        peers={name: spread for name, spread in spreads.items() if name not in (OURS, LIMIT)},
        loop_ms=Spread(tuple(loops_ms)),
    )


def _unit(metric: str, usual: str) -> str:
    for end, unit in _UNITS.items():
        if metric.endswith(end):
            return unit
    return usual


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
