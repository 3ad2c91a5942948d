"""A meter whose values Prometheus reads. Only a process that measures imports this module, and with it the library."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pulp_runtime.telemetry.catalog import EVERY_PROCESS, INFO, OF_PROCESS, SOURCE_UP
from pulp_runtime.telemetry.metric import Kind, Metric, Read, Reading

_READ_S: Final = 5.0
"""How long a source may take: less than a scrape may by default."""
_log = logging.getLogger("pulp.metrics")


class PrometheusMeter:
    """A `Meter` of one process. Create it in the event loop in which its sources read."""

    is_on: Final = True

    def __init__(self, process: str) -> None:
        """`process` is a key of `OF_PROCESS`: only its metrics may be measured."""
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in OF_PROCESS[process]:
            if metric.kind is Kind.COUNTER:
                self._counters[metric.name] = Counter(
                    metric.name, metric.sentence, metric.labels, registry=self.registry
                )
            elif metric.kind is Kind.HISTOGRAM:
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.sentence, metric.labels, buckets=metric.bounds, registry=self.registry
                )
        # By metric and labels: the library checks the labels and takes a lock at each look-up.
        self._counting: dict[tuple[str, tuple[str, ...]], Counter] = {}
        self._observing: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        self._gauges = _Gauges(
            [metric for metric in (*EVERY_PROCESS, *OF_PROCESS[process]) if metric.kind is Kind.GAUGE],
            Reading(INFO, 1, (process, version("pulp-tasks"))),
        )
        self.registry.register(self._gauges)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """See `Meter.count`."""
        counter = self._counting.get((metric.name, labels))
        if counter is None:
            counter = self._counters[metric.name]
            counter = self._counting[metric.name, labels] = counter.labels(*labels) if labels else counter
        counter.inc(by)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """See `Meter.observe`."""
        histogram = self._observing.get((metric.name, labels))
        if histogram is None:
            histogram = self._histograms[metric.name]
            histogram = self._observing[metric.name, labels] = histogram.labels(*labels) if labels else histogram
        histogram.observe(value)

    def add_source(self, name: str, read: Read, *, kept_s: float = 0) -> None:
        """See `Meter.add_source`."""
        self._gauges.sources.append(_Source(name, read, kept_s))


class _Source:
    """One source of gauges, with its last values."""

    def __init__(self, name: str, read: Read, kept_s: float) -> None:
        self.name = name
        self._read = read
        self._kept_s = kept_s
        self._readings: tuple[Reading, ...] = ()
        self._read_at_s = -kept_s
        self._is_failing = False

    async def readings(self) -> tuple[Reading, ...]:
        """Its gauges; of one that fails only that it fails."""
        now_s = time.monotonic()
        if self._readings and now_s - self._read_at_s < self._kept_s:
            return self._readings
        try:
            async with asyncio.timeout(_READ_S):
                found = tuple(await self._read())
        except Exception as error:  # any error: the other sources are still reported
            if not self._is_failing:
                _log.warning("gauges cannot be read", extra={"source": self.name, "error": error})
            self._is_failing, self._readings = True, ()
            return (Reading(SOURCE_UP, 0, (self.name,)),)
        self._is_failing, self._read_at_s = False, now_s
        self._readings = (*found, Reading(SOURCE_UP, 1, (self.name,)))
        return self._readings


class _Gauges(Collector):
    """Asks the sources, in the process's loop, whenever a monitor asks, in a thread of its server."""

    def __init__(self, metrics: list[Metric], info: Reading) -> None:
        self.sources: list[_Source] = []
        self._metrics = metrics
        self._info = info
        self._loop = asyncio.get_running_loop()
        self._one_at_a_time = threading.Lock()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the registry would ask the sources before any exist."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges, also those without a value now."""
        families = {
            each.name: GaugeMetricFamily(each.name, each.sentence, labels=each.labels) for each in self._metrics
        }
        with self._one_at_a_time:
            readings = self._ask()
        for reading in (self._info, *readings):
            families[reading.metric.name].add_metric(reading.labels, reading.value)
        yield from families.values()

    def _ask(self) -> list[Reading]:
        """The values of the sources; if the loop is blocked or ends, only that all of them fail."""
        asked: Future[list[Reading]] | None = None
        reading = self._read_all()
        try:
            asked = asyncio.run_coroutine_threadsafe(reading, self._loop)
            return asked.result(_READ_S + 1)
        except (RuntimeError, TimeoutError) as error:
            if asked is None:
                reading.close()
            else:
                asked.cancel()
            _log.warning("gauges cannot be read", extra={"source": "event loop", "error": error})
            return [Reading(SOURCE_UP, 0, (source.name,)) for source in self.sources]

    async def _read_all(self) -> list[Reading]:
        found = await asyncio.gather(*(source.readings() for source in self.sources))
        return [reading for readings in found for reading in readings]
