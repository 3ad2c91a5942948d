"""Where Kafka is, and the settings of every librdkafka client."""

import logging
from dataclasses import dataclass
from typing import Any, Self

from pulp_events.security import PLAINTEXT, Security

_log = logging.getLogger("pulp.kafka")


@dataclass(frozen=True, slots=True)
class Kafka:
    """The brokers of an installation, and how to connect to them. `str` gives the brokers alone."""

    bootstrap: str
    """HOST:PORT, separated by commas."""
    security: Security = PLAINTEXT

    @classmethod
    def of(cls, servers: "Servers") -> Self:
        """From either form; brokers given as text are reached without TLS and login."""
        return cls(servers) if isinstance(servers, str) else cls(servers.bootstrap, servers.security)

    def __str__(self) -> str:
        return self.bootstrap


Servers = str | Kafka
"""Brokers, or their addresses as text, which means without TLS and login."""


def client_settings(servers: Servers, **settings: Any) -> dict[str, Any]:
    """A client's configuration: brokers, login, logging through Python, and `settings` with `_` in place of `.`.

    Raises `SettingsError` for a file of a secret or certificate that can no longer be used.
    """
    kafka = Kafka.of(servers)
    return {
        "bootstrap.servers": kafka.bootstrap,
        "client.id": "pulp-tasks",
        "logger": _log,
        "reconnect.backoff.max.ms": 2000,
        **kafka.security.settings(),
        **{
            key if key.endswith("_cb") or key == "on_commit" else key.replace("_", "."): value
            for key, value in settings.items()
        },
    }
