"""Defaults that processes of several kinds need; those of one kind are in its settings."""

from typing import Final

API_PORT: Final = 24817
STARTUP_TIMEOUT_S: Final = 60.0
"""How long a process waits for Kafka and Postgres when it starts."""
WORKER_CONCURRENCY: Final = 4
"""How many tasks a worker runs at once."""
WORKER_LEASE_S: Final = 6.0
"""A worker without a heartbeat for this long counts as lost, unless it registered with another lease."""
