"""A stage on which a probe shows how far the dispatcher is.

A probe is a task written after the events of interest, which only a worker that is always free can run. Once it is
assigned, the dispatcher has seen everything before it, and anything else that may begin is assigned as well. What
happens to claims is told by a notification, which may arrive after the dispatcher has read later events: then the
same notification tells of the probe.

The dispatcher's clock stands still unless the test puts it on, so that it looks at nothing just because it is time to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, LiteralString
from uuid import UUID, uuid4

import msgspec
from psycopg import AsyncConnection
from pulp_events.events import Event
from pulp_processor.dispatching.fleet import Profile
from pulp_projections.channels import WORKERS

from tests.support.dispatch_stage import LIMIT_S, Stage
from tests.support.dispatching import RunningDispatcher
from tests.support.events import accepted

PROBE: Final = "probe"
REGISTER: LiteralString = """
    insert into workers as w (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds)
    values (%s, %s, 'h', 1, %s, %s, %s, '{}', 600)
        on conflict (name) do update
       set instance_id = excluded.instance_id, queues = excluded.queues, operations = excluded.operations,
           concurrency = excluded.concurrency, heartbeat_at = now(), stopped_at = null, draining = false
"""


class ProbedStage(Stage):
    """A stage with a dispatcher that is waited for."""

    def __init__(
        self, database: str, connection: AsyncConnection, clock_ms: Callable[[], int], unserved_s: float
    ) -> None:
        super().__init__(database, connection, clock_ms)
        self._unserved_s = unserved_s
        self._count = 0
        self._is_watched = False
        """Whether everything is waited for."""
        self._last_probe: UUID | None = None
        """The last one that was assigned."""
        self.dispatcher = self._another()

    async def start(self) -> None:
        """The probe's worker registers, and the dispatcher starts."""
        await self.register(PROBE, uuid4(), Profile(frozenset({PROBE}), frozenset({PROBE})), 1_000_000)
        self.start_another()

    async def stop_dispatcher(self) -> None:
        """Nothing is waited for until another one starts."""
        await self.dispatcher.stop()
        self._is_watched = False

    def start_another(self) -> None:
        """Another dispatcher starts, since the last one has stopped."""
        self.dispatcher = self._another()
        self.dispatcher.start()
        self._is_watched = True

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[None]:
        """The dispatcher sees everything that happens in the block in one look."""
        await self.dispatcher.dispatcher.shut()
        self._is_watched = False
        yield
        self._is_watched = True
        assert self._last_probe is not None
        await self._release([told := uuid4()])  # of no hold, so it is told of nothing else
        await self.dispatcher.dispatcher.open(told)
        await self.seen(self._last_probe)

    async def close(self) -> None:
        """Stop the dispatcher."""
        await self.dispatcher.stop()
        await super().close()

    async def happen(self, partition: int, events: Collection[Event] = ()) -> None:
        """Project the events together with the rest of the log; returns when the dispatcher has seen them."""
        for event in events:
            self.log.put(event, partition)
        await self.seen(await self.probe(partition))

    async def probe(self, partition: int, *, queue: str = PROBE, user: str = "admin") -> UUID:
        """Append a probe to the log, and project all of it at once."""
        probe = accepted(uuid4(), operation=PROBE, queue=queue)
        self.log.put(msgspec.structs.replace(probe, actor=f"user:{user}"), partition)
        await self.project(partition)
        return probe.task_id

    async def seen(self, probe: UUID) -> None:
        """Returns when the probe is assigned; immediately while nothing is waited for."""
        if not self._is_watched:
            return
        async with asyncio.timeout(LIMIT_S):
            while not await self.rows("select 1 from claims where task_id = %s and released_at is null", probe):
                self.dispatcher.check()
                await asyncio.sleep(0.002)
        self._last_probe = probe

    async def claims_change(
        self, statement: LiteralString, task_ids: Collection[UUID], hold_ids: Collection[UUID]
    ) -> None:
        """Workers write claims and name the holds, all at once, so that all of it is seen at once."""
        async with self.connection.transaction():
            await self.rows(statement, list(task_ids))
            await self._release(hold_ids)
        assert self._last_probe is not None
        await self.seen(self._last_probe)

    async def workers_change(self, statement: LiteralString, *values: object) -> None:
        """Something happens to a worker; and at once the only one comes that runs the probe."""
        self._count += 1
        queue = f"{PROBE}-{self._count}"
        probe = await self.probe(0, queue=queue)
        async with self.connection.transaction():
            await self.rows(statement, *values)
            await self.register(queue, uuid4(), Profile(frozenset({queue}), frozenset({PROBE})), 1)
            await self.tell(WORKERS)
        await self.seen(probe)

    async def register(self, name: str, instance_id: UUID, profile: Profile, slots: int) -> None:
        """A worker registers, perhaps again."""
        await self.rows(REGISTER, name, instance_id, sorted(profile.queues), sorted(profile.operations), slots)

    async def _release(self, hold_ids: Collection[UUID]) -> None:
        """A worker releases the last probe, and tells of its hold together with others."""
        [(of_probe,)] = await self.rows(
            "update claims set released_at = now() where task_id = %s returning hold_id", self._last_probe
        )
        await self.tell(" ".join(map(str, [*hold_ids, of_probe])))

    def _another(self) -> RunningDispatcher:
        return RunningDispatcher(self.database, self.log, unserved_s=self._unserved_s, clock_s=lambda: 0.0)
