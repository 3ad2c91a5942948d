"""Starts to measure and to trace; shows a process's metrics to Prometheus, and sends its spans by OTLP."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from pulp_events.settings import SettingsError

from pulp_runtime.telemetry.metric import NO_METER, Meter
from pulp_runtime.telemetry.settings import MetricsSettings, TelemetrySettings
from pulp_runtime.telemetry.tracing import Tracing

_log = logging.getLogger("pulp.metrics")


class Telemetry(NamedTuple):
    """The meter and the traces of a process."""

    meter: Meter = NO_METER
    tracing: Tracing | None = None


@asynccontextmanager
async def telling(settings: TelemetrySettings, process: str) -> AsyncIterator[Telemetry]:
    """The meter of a process and its traces, until the end; both are off unless the settings say otherwise.

    Raises `SettingsError` if the address is in use or is not an address of this machine, or if a library is missing.
    """
    async with metering(settings, process) as meter, tracing(settings, process) as spans:
        yield Telemetry(meter, spans)


@asynccontextmanager
async def tracing(settings: TelemetrySettings, process: str) -> AsyncIterator[Tracing | None]:
    """The traces of a process, which are sent until the end; None if they are off.

    Raises `SettingsError` if the library is missing, or cannot use its variables.
    """
    if not settings.traces:
        yield None
        return
    try:
        from pulp_runtime.telemetry.otel import OtelTracing
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"PULP_TRACES=on: the package {error.name} is missing: install pulp-tasks[telemetry], or unset it"
        ) from error
    try:
        spans = OtelTracing(process, f"{socket.gethostname()}-{os.getpid()}")
    except ValueError as error:
        raise SettingsError(f"PULP_TRACES=on: a variable of OpenTelemetry cannot be used: {error}") from error
    _log.info("traces are sent")
    try:
        yield spans
    finally:
        await asyncio.to_thread(spans.close)


@asynccontextmanager
async def metering(settings: MetricsSettings, process: str) -> AsyncIterator[Meter]:
    """The meter of a process, whose metrics are shown until the end; without a port it measures nothing.

    Raises `SettingsError` if the address is in use or is not an address of this machine, or if the library is missing.
    """
    if settings.port is None:
        yield NO_METER
        return
    try:
        from prometheus_client import start_http_server

        from pulp_runtime.telemetry.prometheus import PrometheusMeter
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"PULP_METRICS_PORT={settings.port}: the package {error.name} is missing: install pulp-tasks[telemetry],"
            " or unset it"
        ) from error
    meter = PrometheusMeter(process)
    try:
        server, thread = start_http_server(settings.port, settings.host, meter.registry)
    except OSError as error:
        raise SettingsError(
            f"PULP_METRICS_PORT={settings.port}: metrics cannot be shown at {settings.host}: {error.strerror or error}."
            " Each process of a machine needs a port of its own"
        ) from error
    _log.info("metrics are shown", extra={"host": settings.host, "port": settings.port})
    try:
        yield meter
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
