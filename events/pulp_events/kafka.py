"""What every Kafka client of this system is made with."""

import logging
from typing import Any

_log = logging.getLogger("pulp.kafka")


def client_settings(bootstrap: str, **settings: Any) -> dict[str, Any]:
    """Settings of a client: where the brokers are, its own log into Python's, and the rest with `_` for `.`."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "pulp-tasks",
        "logger": _log,
        "reconnect.backoff.max.ms": 2000,
        **{key if key.endswith("_cb") else key.replace("_", "."): value for key, value in settings.items()},
    }
