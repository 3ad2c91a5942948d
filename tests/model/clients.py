"""The clients of a schedule."""

import asyncio
import contextlib
from collections.abc import Callable
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw
from pulp_events.errors import LogError
from pulp_events.events import Access, Event, Resource, Retry
from pulp_events.log import Log

from tests.model.network import Network
from tests.model.operating import OPERATIONS, short
from tests.support.events import accepted, cancel_requested


class Clients:
    """They submit tasks on few resources, several of them at once."""

    def __init__(
        self, network: Network, log: Log, tell: Callable[[str], None], *, partitions: int, within_s: float
    ) -> None:
        """`within_s` is the time of the last submission; `tell` records their actions."""
        random = self._random = network.random
        self._log = log
        self._tell = tell
        self._within_s = within_s
        self._partitions = range(random.choice([1, partitions]))
        self._resources = ["a", "b", "c"][: random.choice([1, 1, 2, 3])]
        self._step_s = [0.01, 0.3, 2.0][: random.randint(1, 3)]
        """How long the steps of operations take."""
        self._bursts_s = [random.uniform(0, within_s)] * random.randint(0, 3)
        """When several submit at once: the more often it is listed, the more of them."""
        self._accepted: list[UUID] = []

    async def submit(self, number: int) -> None:
        """Submit a task, and perhaps cancel it."""
        random = self._random
        await asyncio.sleep(random.choice([random.uniform(0, self._within_s), *self._bursts_s]))
        task_id = UUID(int=(random.getrandbits(64) << 64) | number, version=4)
        partition = random.choice(self._partitions)
        arguments = {
            **{"steps": random.randint(0, 4), "seconds": random.choice(self._step_s)},
            "fails": random.choice([0, 0, 0, 0.5, 1]),
        }
        retry = Retry(random.randint(1, 3), random.choice([0.1, 2.0]), random.choice([0.5, 4.0]))
        uses = random.sample(self._resources, min(len(self._resources), random.choice([0, 1, 1, 1, 2])))
        modes = random.choice([Access.EXCLUSIVE, Access.EXCLUSIVE, Access.SHARED])
        depends_on = random.sample(self._accepted, min(len(self._accepted), random.choice([0, 0, 0, 0, 0, 1, 2])))
        await self._append(
            accepted(
                task_id,
                operation=random.choice(OPERATIONS),
                resources=tuple(Resource(type="r", id=use, access=modes) for use in uses),
                arguments=Raw(msgspec.json.encode(arguments)),
                priority=random.choice([0, 0, 0, 5]),
                timeout_seconds=random.choice([None, None, 5]),
                retry=random.choice([UNSET, retry]),
                deadline_seconds=random.choice([UNSET, UNSET, UNSET, 3, 12]),
                depends_on=tuple(depends_on),
            ),
            partition,
        )
        self._accepted.append(task_id)
        self._tell(f"{short(task_id)} is accepted: {arguments} on {uses} {modes} after {list(map(short, depends_on))}")
        if random.random() < 0.4:
            await asyncio.sleep(random.choice([0.0, 0.05, 0.5, 3.0, 10.0]))
            self._tell(f"{short(task_id)} is to stop")
            await self._append(cancel_requested(task_id), partition)

    async def _append(self, event: Event, partition: int) -> None:
        while True:
            with contextlib.suppress(LogError):
                await self._log.append(event, partition)
                return
