"""The queues that tasks may be submitted to: those that workers serve or have served, and those in the settings."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Final

from pulp_events.errors import BadInput
from pulp_projections.workers import offers

from pulp_api.logins.auth import Connect
from pulp_api.submitting.arguments import did_you_mean

DEFAULT: Final = "default"
_KNOWN_S: Final = 1.0


class KnownQueues:
    """Caches the queues for a second; reads them again for a queue that is unknown or lacks the operation.

    A stopped worker counts as long as it is in the list of workers.
    """

    def __init__(
        self, connect: Connect, listed: Collection[str] = (), clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._listed = frozenset({DEFAULT, *listed})
        self._clock_s = clock_s
        self._offers: Mapping[str, frozenset[str]] = {}
        self._ends_s = 0.0

    async def check(self, queue: str, operation: str) -> None:
        """Raises `BadInput`, which names the queues, if no known worker of this queue offers the operation."""
        if self._ends_s <= self._clock_s() or not self._takes(queue, operation):
            await self._read()
        if self._takes(queue, operation):
            return
        serving = self._offers.get(queue)
        if serving is None:
            known = sorted({*self._listed, *self._offers})
            raise BadInput(
                f"unknown queue {queue!r}{did_you_mean(queue, known)}; known are: {', '.join(known)}. A queue is known"
                " once a worker serves it, or if the API's setting PULP_QUEUES lists it"
            )
        others = sorted(name for name, offered in self._offers.items() if operation in offered)
        where = f"it is offered in: {', '.join(others)}" if others else "no worker offers it now"
        raise BadInput(
            f"no worker that serves queue {queue!r} offers operation {operation!r}, so the task could not run; {where}."
            " Name another queue, or install the operation's package where the workers of this queue run"
        )

    def _takes(self, queue: str, operation: str) -> bool:
        serving = self._offers.get(queue)
        return queue in self._listed if serving is None else operation in serving

    async def _read(self) -> None:
        found: defaultdict[str, set[str]] = defaultdict(set)
        async with self._connect() as connection:
            for queue, operation in await offers(connection):
                found[queue].add(operation)
        self._offers = {queue: frozenset(operations) for queue, operations in found.items()}
        self._ends_s = self._clock_s() + _KNOWN_S
