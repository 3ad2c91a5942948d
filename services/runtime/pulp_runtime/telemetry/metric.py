"""Metrics, and the interface through which a process records them."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Protocol


class Kind(StrEnum):
    """How a metric is read."""

    GAUGE = "gauge"
    """A value now, from a source."""
    COUNTER = "counter"
    """How often something has happened since the process started."""
    HISTOGRAM = "histogram"
    """How many values were up to each of some bounds, and their sum."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, its meaning, and the names of its labels."""

    name: str
    kind: Kind
    sentence: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """For a histogram, the upper bounds of its buckets."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names that Prometheus stores."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


class Reading(NamedTuple):
    """The value of a gauge now."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


Read = Callable[[], Awaitable[Iterable[Reading]]]
"""Reads gauges, in the event loop of the process. It may raise anything: then its gauges are missing."""


class Meter(Protocol):
    """Records measurements. Label values are in the order in which the metric names the labels."""

    @property
    def is_on(self) -> bool:
        """Whether anybody reads the metrics; if not, costly measurements can be skipped."""
        ...

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Increase a counter."""
        ...

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add a value to a histogram."""
        ...

    def add_source(self, name: str, read: Read, *, kept_s: float = 0) -> None:
        """Read these gauges whenever a monitor asks, but not again within `kept_s`."""
        ...


class NoMeter:
    """A `Meter` that measures nothing."""

    is_on: Final = False

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """See `Meter.count`."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """See `Meter.observe`."""

    def add_source(self, name: str, read: Read, *, kept_s: float = 0) -> None:
        """See `Meter.add_source`."""


NO_METER: Final = NoMeter()
