"""Channels of Postgres's notifications."""

from hashlib import blake2b
from typing import Final

POSITIONS: Final = "pulp_positions"
"""Every move of the projection."""
DISPATCH: Final = "pulp_dispatch"
"""For the dispatcher: the ids of holds whose claims were ended or released, separated by blanks; or `WORKERS`."""
WORKERS: Final = "workers"
"""A worker has registered, drains, or has stopped."""
ASSIGNED: Final = "assigned"
"""On a worker's channel: it has got something to run."""


def worker_channel(name: str) -> str:
    """The moves of the projection that concern one worker: those that show how a task of its own stands.

    A hash, since a channel's name has at most 63 bytes and a worker's name may have more.
    """
    return f"pulp_worker_{blake2b(name.encode(), digest_size=16).hexdigest()}"
