"""Defaults that processes of several kinds need; those of one kind are in its settings."""

from typing import Final

API_PORT: Final = 24817
WORKER_LEASE_S: Final = 6.0
"""Without a heartbeat for so long a worker counts as lost, unless it registered with another lease."""
