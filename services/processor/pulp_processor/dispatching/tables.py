"""What the dispatcher reads from Postgres and writes there."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from psycopg import AsyncConnection, errors
from pulp_accounts.users import Role
from pulp_events.codec import TYPES
from pulp_events.errors import PulpError
from pulp_events.events import Progress, Purged, Started
from pulp_events.task import State
from pulp_projections.channels import worker_channel
from pulp_projections.plans import ONLY_BY_KEYS, KeptPlans
from pulp_projections.sql import load, uuid_array
from pulp_runtime.telemetry.tracing import Tracing

from pulp_processor.dispatching.dispatch import Assignment, Hold
from pulp_processor.dispatching.fleet import Profile
from pulp_processor.dispatching.traces import ACCEPTED, AssignmentTraces
from pulp_processor.dispatching.waiting import Offer, Order, WaitingTask

LEASE_S: Final = 4.0
"""Another dispatcher may be elected when a lease was not renewed for this long."""
PLANNING: Final = ONLY_BY_KEYS
"""For the connection."""
_FACTS: Final = load("pulp_processor.dispatching", "dispatch.sql")["facts"]
_SQL: Final = load("pulp_processor.dispatching", "dispatch.sql", {"facts": _FACTS})
_STATES: Final = {state.value: state for state in State}
_STILL: Final = [TYPES[Progress], TYPES[Started], TYPES[Purged]]
"""Types of events that let no task begin: a task that has started or ended waits here no more."""


class Deposed(PulpError):
    """Another dispatcher was elected meanwhile; nothing was written."""

    def __init__(self) -> None:
        super().__init__("another dispatcher has been elected")


class Doubt(PulpError):
    """Postgres differs from the dispatcher's state: the dispatcher must read everything again."""


class TaskFacts(NamedTuple):
    """A task as it is now."""

    task: WaitingTask
    state: State
    hold_id: UUID | None
    """The hold of its claim, if it has one that is not released."""
    has_succeeded: bool
    """It has succeeded under this claim."""
    ran_s: float = 0.0
    """For how many seconds it ran, if it has."""
    retry_in_s: float = 0.0
    """In how many seconds its next attempt may begin."""
    is_parked: bool = False
    """A record of it cannot be projected: whether it still waits is not known."""


class HeldTasks(NamedTuple):
    """A slot in use, and its tasks in the order in which they run."""

    hold: Hold
    remaining: Sequence[UUID]
    """Those that have not succeeded."""
    succeeded: Sequence[UUID]
    """Those that have succeeded under their claims, which have not ended yet."""


class RegisteredWorker(NamedTuple):
    """A worker that takes tasks."""

    name: str
    instance_id: UUID
    profile: Profile
    slots: int
    rests: bool = False
    """It may not hear of an assignment at once, because it rests or is about to."""


class Moved(NamedTuple):
    """The changes since some positions."""

    generation: int
    positions: Mapping[int, int]
    tasks: Sequence[TaskFacts]


class AuthorQuota(NamedTuple):
    """What decides how many tasks of a user may run at once."""

    actor: str
    """`user:NAME`"""
    role: Role
    own: str
    """The text of the user's own quota."""


class Offered(NamedTuple):
    """What some worker could run at any time since a moment."""

    since: datetime
    offers: frozenset[Offer]


class Ending(NamedTuple):
    """What has ended."""

    succeeded: Collection[UUID] = ()
    """Tasks that have succeeded under their claims."""
    hold_ids: Collection[UUID] = ()
    """Holds that may have no claim left then."""


class Written(NamedTuple):
    """The result of a write."""

    ended: frozenset[UUID]
    """The holds that have ended."""
    claimed: frozenset[UUID]
    """The tasks that were assigned: those that still waited and were not claimed."""


class DispatchTables(Protocol):
    """The tables as one dispatcher uses them. Every call raises `psycopg.Error` while Postgres is away."""

    async def elect(self) -> bool:
        """Become the dispatcher; False while another one's lease lasts."""
        ...

    async def is_settled(self) -> bool:
        """Whether workers have had time to put back what a server that took over may lack."""
        ...

    async def settle(self) -> None:
        """Tell people that this one assigns tasks from now on: since its election they have been told that it waits."""
        ...

    async def waiting_after(self, last: TaskFacts | None, most: int) -> list[TaskFacts]:
        """A page of the tasks that wait, after a task of the page before."""
        ...

    async def some(self, task_ids: Collection[UUID]) -> list[TaskFacts]:
        """Those of these tasks that exist, in any state."""
        ...

    async def moved(self, positions: Mapping[int, int]) -> Moved:
        """The tasks of the events since the positions."""
        ...

    async def holds(self) -> list[HeldTasks]:
        """The slots that are in use."""
        ...

    async def workers(self) -> list[RegisteredWorker]:
        """Those that are alive and do not drain."""
        ...

    async def rest(self, instance_ids: Collection[UUID]) -> None:
        """Let workers without assignments rest: they stop listening with their next heartbeats."""
        ...

    async def wake(self, instance_ids: Collection[UUID]) -> list[UUID]:
        """Have them listen again; those that have not stopped. The others notify when they do, a heartbeat later."""
        ...

    async def quotas(self) -> list[AuthorQuota]:
        """The quotas of all users."""
        ...

    async def offered(self, unserved_s: float) -> Offered:
        """What some worker could run at some time during the last `unserved_s` seconds."""
        ...

    async def forgotten(self) -> list[UUID]:
        """Holds that exist without a claim."""
        ...

    async def write(
        self, ending: Ending, assignments: Sequence[Assignment], workers: Mapping[str, RegisteredWorker]
    ) -> Written:
        """End claims and holds, then write the assignments and notify the workers, in one transaction.

        `workers` are those of the assignments, by instance. Raises `Deposed` or `Doubt`; then nothing was written.
        """
        ...


class PostgresTables:
    """`DispatchTables` over a connection in autocommit mode."""

    def __init__(self, connection: AsyncConnection, holder: str, *, tracing: Tracing | None = None) -> None:
        """`holder` identifies the process, and is unique."""
        self._connection = connection
        self._holder = holder
        self._traces = None if tracing is None else AssignmentTraces(connection, tracing)
        self._plans = KeptPlans()
        self.epoch = 0

    async def elect(self) -> bool:
        """See `DispatchTables.elect`."""
        rows = await self._rows("elect", holder=self._holder, lease_s=LEASE_S)
        if rows:
            [(self.epoch,)] = rows
        else:
            await self._rows("evict", lease_s=LEASE_S)
        return bool(rows)

    async def is_settled(self) -> bool:
        """See `DispatchTables.is_settled`."""
        rows = await self._rows("settled")
        if not rows:
            await self._connection.execute(_SQL["see_timeline"])
        return rows == [(True,)]

    async def settle(self) -> None:
        """See `DispatchTables.settle`."""
        await self._rows("settle", epoch=self.epoch)

    async def waiting_after(self, last: TaskFacts | None, most: int) -> list[TaskFacts]:
        """See `DispatchTables.waiting_after`."""
        accepted_at = "-infinity" if last is None else last.task.order.accepted_at
        task_id = UUID(int=0) if last is None else last.task.task_id
        rows = await self._rows("waiting", accepted_at=accepted_at, task_id=task_id, most=most)
        return [_facts(row) for row in rows]

    async def some(self, task_ids: Collection[UUID]) -> list[TaskFacts]:
        """See `DispatchTables.some`."""
        return [_facts(row) for row in await self._rows("some", task_ids=list(task_ids))]

    async def moved(self, positions: Mapping[int, int]) -> Moved:
        """See `DispatchTables.moved`."""
        rows = await self._rows(
            "moved",
            partitions=list(positions),
            offsets=list(positions.values()),
            still=_STILL,
            accepted=[] if self._traces is None else ACCEPTED,
        )
        generation, found = rows[0][:2]
        tasks = [_facts(row[3:], may_be_traced=not row[2]) for row in rows if row[3] is not None]
        return Moved(generation, {int(partition): offset for partition, offset in found.items()}, tasks)

    async def holds(self) -> list[HeldTasks]:
        """See `DispatchTables.holds`."""
        return [
            HeldTasks(
                Hold(hold_id, str(instance_id), user, frozenset(exclusive), frozenset(shared)), remaining, succeeded
            )
            for hold_id, instance_id, remaining, succeeded, user, exclusive, shared in await self._rows("holds")
        ]

    async def workers(self) -> list[RegisteredWorker]:
        """See `DispatchTables.workers`."""
        return [
            RegisteredWorker(name, instance_id, Profile(frozenset(queues), frozenset(operations or ())), slots, rests)
            for name, instance_id, queues, operations, slots, rests in await self._rows("workers")
        ]

    async def rest(self, instance_ids: Collection[UUID]) -> None:
        """See `DispatchTables.rest`."""
        await self._rows("rest", epoch=self.epoch, instance_ids=list(instance_ids))

    async def wake(self, instance_ids: Collection[UUID]) -> list[UUID]:
        """See `DispatchTables.wake`."""
        rows = await self._rows("wake", epoch=self.epoch, instance_ids=list(instance_ids))
        return [instance_id for instance_id, is_listening in rows if is_listening]

    async def quotas(self) -> list[AuthorQuota]:
        """See `DispatchTables.quotas`."""
        return [AuthorQuota(actor, Role(role), own) for actor, role, own in await self._rows("quotas")]

    async def offered(self, unserved_s: float) -> Offered:
        """See `DispatchTables.offered`."""
        rows = await self._rows("offered", unserved_s=unserved_s)
        offers = (Offer(queue, operation) for _, queue, operation in rows if queue is not None)
        return Offered(rows[0][0], frozenset(offers))

    async def forgotten(self) -> list[UUID]:
        """See `DispatchTables.forgotten`."""
        return [hold_id for (hold_id,) in await self._rows("forgotten")]

    async def write(
        self, ending: Ending, assignments: Sequence[Assignment], workers: Mapping[str, RegisteredWorker]
    ) -> Written:
        """See `DispatchTables.write`."""
        ends = {"epoch": self.epoch, "task_ids": uuid_array(ending.succeeded), "hold_ids": uuid_array(ending.hold_ids)}
        claimed: Sequence[UUID] = ()
        if not assignments:
            [(epoch, ended)] = await self._rows("end", **ends)
        else:
            await self._plans.renew(self._connection)
            try:
                spans = () if self._traces is None else await self._traces.begin(assignments)
                async with self._connection.pipeline(), self._connection.transaction():  # one round trip
                    ended_by = await self._connection.execute(_SQL["end"], ends) if any(ending) else None
                    assigned_by = await self._connection.execute(_SQL["assign"], self._values(assignments, workers))
                    if self._traces is not None:
                        await self._traces.write(spans)
            except errors.ExclusionViolation as error:
                raise Doubt("a resource is reserved that seemed free") from error
            [(epoch, claimed, _)] = await assigned_by.fetchall()
            if self._traces is not None:
                self._traces.end(spans, claimed)
            ended = [] if ended_by is None else (await ended_by.fetchall())[0][1]
        if epoch is None:
            raise Deposed
        return Written(frozenset(ended), frozenset(claimed))

    def _values(self, assignments: Sequence[Assignment], workers: Mapping[str, RegisteredWorker]) -> dict[str, object]:
        tasks = [(one.hold_id, place, task.task_id) for one in assignments for place, task in enumerate(one.tasks)]
        chosen = [workers[one.instance] for one in assignments]
        return {
            "epoch": self.epoch,
            "hold_ids": uuid_array([one.hold_id for one in assignments]),
            "workers": [worker.name for worker in chosen],
            "instance_ids": uuid_array([worker.instance_id for worker in chosen]),
            "task_ids": uuid_array([task_id for _, _, task_id in tasks]),
            "holds_of": uuid_array([hold_id for hold_id, _, _ in tasks]),
            "places": [place for _, place, _ in tasks],
            "channels": [worker_channel(name) for name in {worker.name for worker in chosen}],
        }

    async def _rows(self, name: str, **values: object) -> list[Any]:
        await self._plans.renew(self._connection)
        return await (await self._connection.execute(_SQL[name], values or None)).fetchall()


async def renew(connection: AsyncConnection, epoch: int) -> None:
    """Renew the lease of the dispatcher of this epoch. Raises `Deposed`."""
    if not await (await connection.execute(_SQL["renew"], {"epoch": epoch})).fetchall():
        raise Deposed


async def resign(connection: AsyncConnection, epoch: int) -> None:
    """Another dispatcher may be elected at once, if this one still is."""
    await connection.execute(_SQL["resign"], {"epoch": epoch})


def _facts(row: Sequence[Any], *, may_be_traced: bool = True) -> TaskFacts:
    task_id, state, hold_id, ran_s, retry_in_s, accepted_at, partition, offset, queue, operation, priority = row[:11]
    exclusive, shared, user, unmet, is_parked = row[11:]
    task = WaitingTask(
        task_id,
        Order(accepted_at, partition, offset),
        Offer(queue, operation),
        priority,
        frozenset(exclusive),
        frozenset(shared).difference(exclusive),
        user,
        set(unmet),
        may_be_traced,
    )
    return TaskFacts(task, _STATES[state], hold_id, ran_s is not None, ran_s or 0.0, retry_in_s or 0.0, is_parked)
