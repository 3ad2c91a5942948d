"""Starts to measure, and shows a process's metrics to Prometheus."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pulp_events.settings import SettingsError

from pulp_runtime.telemetry.metric import NO_METER, Meter
from pulp_runtime.telemetry.settings import MetricsSettings

_log = logging.getLogger("pulp.metrics")


@asynccontextmanager
async def metering(settings: MetricsSettings, process: str) -> AsyncIterator[Meter]:
    """The meter of a process, whose metrics are shown until the end; without a port it measures nothing.

    Raises `SettingsError` if the address is in use or is no address of this machine, or if the library is missing.
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
