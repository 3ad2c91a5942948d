"""Where Kafka is, and what every client of librdkafka is made with."""

import logging
from dataclasses import dataclass
from typing import Any, Self

from pulp_events.security import PLAINTEXT, Security

_log = logging.getLogger("pulp.kafka")


@dataclass(frozen=True, slots=True)
class Kafka:
    """The brokers of an installation, and how to connect to them. Its text is the brokers alone."""

    bootstrap: str
    """HOST:PORT, separated by commas."""
    security: Security = PLAINTEXT

    @classmethod
    def of(cls, servers: "Servers") -> Self:
        """The same; brokers that are given as text alone take connections without TLS and login."""
        return cls(servers) if isinstance(servers, str) else cls(servers.bootstrap, servers.security)

    def __str__(self) -> str:
        return self.bootstrap


Servers = str | Kafka
"""Whoever takes this takes brokers as text as well, which are then connected to in plaintext."""


def client_settings(servers: Servers, **settings: Any) -> dict[str, Any]:
    """Settings of a client: the brokers, the login, its own log into Python's, and the rest with `_` for `.`.

    Raises `SettingsError` for a file of a secret or certificate that cannot be used any more.
    """
    kafka = Kafka.of(servers)
    return {
        "bootstrap.servers": kafka.bootstrap,
        "client.id": "pulp-tasks",
        "logger": _log,
        "reconnect.backoff.max.ms": 2000,
        **kafka.security.settings(),
        **{key if key.endswith("_cb") else key.replace("_", "."): value for key, value in settings.items()},
    }
