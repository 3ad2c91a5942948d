"""Measures: ours and what it is compared with, side by side, in alternating rounds."""

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
_STEPS: Final = 300_000
_LOOPS: Final = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a round does."""

    is_quick: bool

    def of(self, full: int, quick: int) -> int:
        """A number for a real run, and one that only shows that it runs."""
        return quick if self.is_quick else full


Side = Callable[[Servers, Sizes], Awaitable[Mapping[str, float]]]
"""One round of one side: a value for each metric; the empty name where there is one."""
Together = Callable[[Servers, Sizes], Awaitable[Mapping[str, Mapping[str, float]]]]
"""One round of all sides, which take turns within it: by side the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What is measured: side by side, or `together`. There is `ours`, perhaps `limit` (what the machine can do), and
    peers by name.
    """

    name: str
    what: str
    unit: str
    goal: str
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
        """The middle one."""
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
    ours: Spread
    limit: Spread | None
    peers: Mapping[str, Spread]
    loop_ms: Spread
    """How long a small loop of Python took before each side: what the machine was worth."""

    @property
    def ratio(self) -> float | None:
        """Ours by the limit, else by the first peer: the median of the ratios of the rounds."""
        other = self.limit or next(iter(self.peers.values()), None)
        if other is None:
            return None
        return median(ours / value for ours, value in zip(self.ours.values, other.values, strict=True))

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "name": self.name,
            "ours": self.ours.as_json(),
            "limit": None if self.limit is None else self.limit.as_json(),
            "peer": {name: spread.as_json() for name, spread in self.peers.items()} or None,
            "ratio": self.ratio,
            "unit": self.unit,
            "rounds": len(self.ours.values),
            "loop_ms": self.loop_ms.as_json(),
        }


async def run(measure: Measure, servers: Servers, sizes: Sizes, step: Callable[[str], None]) -> list[Result]:
    """All rounds of a measure, its sides in turns; `step` is told what comes next."""
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
    """How often `run` tells what comes next."""
    return rounds_of(measure, sizes) * (len(measure.sides) or 1)


def rounds_of(measure: Measure, sizes: Sizes) -> int:
    """How many rounds."""
    return 1 if sizes.is_quick else measure.rounds


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _result(measure: Measure, metric: str, sides: Mapping[str, Sequence[float]], loops_ms: Sequence[float]) -> Result:
    spreads = {name: Spread(tuple(values)) for name, values in sides.items()}
    return Result(
        name=f"{measure.name} {metric}".strip(),
        unit=_unit(metric, measure.unit),
        goal=measure.goal,
        ours=spreads[OURS],
        limit=spreads.get(LIMIT),
        peers={name: spread for name, spread in spreads.items() if name not in (OURS, LIMIT)},
        loop_ms=Spread(tuple(loops_ms)),
    )


def _unit(metric: str, usual: str) -> str:
    if metric.endswith(("p50", "p99", "cpu a task")):
        return "ms"
    return "MiB" if metric.endswith("MiB") else usual


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
