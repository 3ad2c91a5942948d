"""The interface of a fault."""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from tests.faults.arena import Arena
from tests.faults.run_state import State

SERVICES: Final = ("api", "processor", "worker")
PROCESSES: Final = (*SERVICES, "broker")
"""Kinds of processes."""


_AWAY: Final = 69
"""Exit code of a service that could not start because Kafka or Postgres was unreachable."""


class Fault(NamedTuple):
    """A fault: runs for a while, ends by itself, and leaves everything started and awake."""

    name: str
    group: str
    """No two faults of one group run at once."""
    run: Callable[["Stage"], Awaitable[None]]
    impossible: Callable[[Arena], str | None] = lambda arena: None
    """Why the fault is impossible on this machine; None if it is possible."""


def no_limits(arena: Arena) -> str | None:
    """Why the limits of another process cannot be changed here; None if they can."""
    return None if hasattr(resource, "prlimit") else "the limits of another process can be changed on Linux alone"


@dataclass
class Stage:
    """The tools of a fault."""

    arena: Arena
    state: State
    random: Random
    is_alone: bool

    async def last(self, least_s: float, most_s: float) -> None:
        """Let the fault last for some seconds."""
        await asyncio.sleep(self.random.uniform(least_s, most_s))

    def one_of(self, kind: str) -> str:
        """The name of a process of this kind."""
        return self.random.choice(self.arena.names_of(kind))

    async def until_back(self, kind: str = "") -> None:
        """Wait until everything that the fault has stopped is at work again."""
        await (self.arena.until_brokers() if kind == "broker" else self.arena.until_services())

    async def end_extra(self, *names: str) -> None:
        """SIGTERM to services that the fault has started, which must end cleanly."""
        codes = await asyncio.gather(*map(self.arena.extras.end, names))
        # Killed by the signal, or a server was unreachable, if other faults kept the service from starting.
        allowed = {0} if self.is_alone else {0, -signal.SIGTERM, _AWAY}
        if not set(codes) <= allowed:
            self.state.ledger.breach("processes", ", ".join(names), f"ended with {codes} on SIGTERM")
