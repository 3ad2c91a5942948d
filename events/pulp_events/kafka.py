"""Where Kafka is, and the settings of every librdkafka client."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from pulp_events.security import PLAINTEXT, Security

_AGAIN_S: Final = 10.0
_MOST_TOLD: Final = 1000
_CLIENTS_OWN: Final = "[thrd:"
"""This is in every line of librdkafka."""
_VARYING: Final = re.compile(r" \(after \d+ms in state \w+(, \d+ identical error\(s\) suppressed)?\)")


class Seldom(logging.Filter):
    """Lets a line of librdkafka pass once in ten seconds, because it logs each attempt to connect, twenty a second.

    All other lines always pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the line."""
        text = record.getMessage()
        if _CLIENTS_OWN not in text:
            return True
        text, now_s = _VARYING.sub("", text), self._clock()
        if now_s - self._told_s.get(text, -_AGAIN_S) < _AGAIN_S:
            return False
        if len(self._told_s) >= _MOST_TOLD:
            self._told_s.clear()
        self._told_s[text] = now_s
        return True


_log = logging.getLogger("pulp.kafka")
_log.addFilter(Seldom())  # a filter of the logger, so it applies to every handler


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
