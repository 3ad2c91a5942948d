"""A process that traces into a collector of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pulp_runtime.telemetry.otel import OtelTracing
from pulp_runtime.telemetry.serving import tracing
from pulp_runtime.telemetry.settings import TelemetrySettings
from pulp_runtime.telemetry.tracing import Tracing

from tests.support.collector import Collector, Received, collector

TRACE, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{ABOVE}-01"
"""The example of the standard, W3C Trace Context."""


@asynccontextmanager
async def traced_process(process: str, sampler: str = "") -> AsyncIterator[tuple[Collector, Tracing]]:
    """The collector, and what makes spans; all are sampled with the sampler `always_on`."""
    with collector() as made, pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        if sampler:
            patch.setenv("OTEL_TRACES_SAMPLER", sampler)
        async with tracing(TelemetrySettings(traces=True), process) as spans:
            assert spans is not None
            yield made, spans


async def sent(made: Collector, spans: Tracing) -> list[Received]:
    """All spans so far."""
    assert isinstance(spans, OtelTracing)
    await asyncio.to_thread(spans.provider.force_flush)
    return made.spans
