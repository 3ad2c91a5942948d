"""Where a process shows its metrics, and whether it traces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pulp_events import declared_settings
from pulp_events.declared_settings import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """The address of the metrics. Without a port nothing is measured."""

    host: Annotated[str, Setting("PULP_METRICS_HOST", "The address that serves the process's metrics.")] = "127.0.0.1"
    port: Annotated[
        int | None,
        Setting(
            "PULP_METRICS_PORT",
            "The port for Prometheus, a different one for each process; without it nothing is measured.",
            least=1,
            most=65_535,
        ),
    ] = None

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(**declared_settings.read(cls, env))


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings(MetricsSettings):
    """The same, and whether to trace."""

    traces: Annotated[
        bool,
        Setting(
            "PULP_TRACES",
            "Whether to send traces by OTLP; OpenTelemetry's variables say where to, and which share.",
            choices=("off", "on"),
        ),
    ] = False
