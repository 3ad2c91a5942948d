"""What a fault is, and what it works with."""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from tests.faults.arena import PROCESSORS, WORKERS, Arena
from tests.faults.cluster import BROKERS
from tests.faults.run_state import State

SERVICES: Final = {
    "api": ("api",),
    "processor": tuple(f"processor-{number}" for number in range(1, PROCESSORS + 1)),
    "worker": tuple(f"worker-{number}" for number in range(1, WORKERS + 1)),
}
BROKER_NAMES: Final = tuple(f"kafka-{number}" for number in range(1, BROKERS + 1))
PROCESSES: Final = {**SERVICES, "broker": BROKER_NAMES}
"""Kind → names of its processes."""


_AWAY: Final = 69
"""Exit code of a service that could not start because Kafka or Postgres was away."""


class Fault(NamedTuple):
    """It goes on for a while, ends by itself, and leaves everything started and awake."""

    name: str
    group: str
    """Of one group no two go on at once."""
    run: Callable[["Stage"], Awaitable[None]]
    impossible: Callable[[Arena], str | None] = lambda arena: None
    """Why it cannot be had on this machine, if it cannot."""


def no_limits(arena: Arena) -> str | None:
    """Why the limits of another process cannot be changed here, if they cannot."""
    return None if hasattr(resource, "prlimit") else "the limits of another process can be changed on Linux alone"


@dataclass
class Stage:
    """What a fault works with."""

    arena: Arena
    state: State
    random: Random
    is_alone: bool

    async def last(self, least_s: float, most_s: float) -> None:
        """Let the fault go on for some seconds."""
        await asyncio.sleep(self.random.uniform(least_s, most_s))

    def one_of(self, kind: str) -> str:
        """The name of a process of this kind."""
        return self.random.choice(PROCESSES[kind])

    async def until_back(self, kind: str = "") -> None:
        """Whatever the fault has stopped is at work again."""
        await (self.arena.until_brokers() if kind == "broker" else self.arena.until_services())

    async def end_extra(self, *names: str) -> None:
        """SIGTERM to services that the fault has started: they leave in good order."""
        codes = await asyncio.gather(*map(self.arena.extras.end, names))
        # By the signal itself, or because a server was away, where other faults have kept it from getting to work.
        allowed = {0} if self.is_alone else {0, -signal.SIGTERM, _AWAY}
        if not set(codes) <= allowed:
            self.state.ledger.breach("processes", ", ".join(names), f"ended with {codes} on SIGTERM")
