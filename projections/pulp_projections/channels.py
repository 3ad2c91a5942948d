"""Channels of Postgres's notifications."""

from hashlib import blake2b
from typing import Final

POSITIONS: Final = "pulp_positions"
"""Every move of the projection."""
DISPATCH: Final = "pulp_dispatch"
"""For the dispatcher: the ids of holds whose claims were ended or released, separated by blanks; or `WORKERS`."""
WORKERS: Final = "workers"
"""A worker has registered, begun to drain, or stopped."""
ELECTION: Final = "pulp_election"
"""The elected dispatcher has resigned: another one may be elected immediately."""
ASSIGNED: Final = "assigned"
"""On a worker's channel: a task was assigned to it."""

KNOWN: Final = "known"
"""On a worker's channel, after a move of the projection that shows only what the worker itself has done."""


def worker_channel(name: str) -> str:
    """The moves of the projection that concern one worker, because they change a task of that worker.

    A hash, since a channel's name has at most 63 bytes and a worker's name may have more.
    """
    return f"pulp_worker_{blake2b(name.encode(), digest_size=16).hexdigest()}"


def told_to_worker(move: str, *, is_news: bool) -> str:
    """The notification for a worker: a move of the projection in the form for readers, and whether to look."""
    return move if is_news else f"{move} {KNOWN}"
