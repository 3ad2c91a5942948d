"""Replaces the parts of a dispatcher that reach outside its process by those of a schedule."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Final, Self
from unittest.mock import patch
from uuid import UUID

from pulp_processor.dispatching import dispatch, dispatcher, elected, fleet
from pulp_processor.dispatching.dispatch import Assignment
from pulp_processor.dispatching.fleet import Fleet
from pulp_processor.dispatching.tables import (
    AuthorQuota,
    Ending,
    HeldTasks,
    Moved,
    Offered,
    RegisteredWorker,
    TaskFacts,
    Written,
)

from tests.model.doors import Doors
from tests.model.notifying import SimulatedNotices

_KEPT_AWAKE: Final = 1
"""Workers with a free slot that listen: the others of a schedule rest."""
_PAGE: Final = 3
"""Waiting tasks that are read at once: several times in most schedules."""


class SimulatedConnection:
    """A connection to Postgres that has only a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class SimulatedTables:
    """`DispatchTables` of one dispatcher."""

    def __init__(self, doors: Doors, holder: str) -> None:
        self.epoch = 0
        self._doors = doors
        self._holder = holder

    async def elect(self) -> bool:
        """See `DispatchTables.elect`."""
        epoch: int | None = await self._doors.call_dispatch("elect", self.epoch, self._holder)
        self.epoch = epoch or self.epoch
        return epoch is not None

    async def is_settled(self) -> bool:
        """See `DispatchTables.is_settled`: no other server takes over in a schedule."""
        return True

    async def settle(self) -> None:
        """See `DispatchTables.settle`: nobody in a schedule reads it."""

    async def waiting_after(self, last: TaskFacts | None, most: int) -> list[TaskFacts]:
        """See `DispatchTables.waiting_after`."""
        found: list[TaskFacts] = await self._doors.call_dispatch("waiting_after", self.epoch, last, most)
        return found

    async def some(self, task_ids: Collection[UUID]) -> list[TaskFacts]:
        """See `DispatchTables.some`."""
        found: list[TaskFacts] = await self._doors.call_dispatch("some", self.epoch, list(task_ids))
        return found

    async def moved(self, positions: Mapping[int, int]) -> Moved:
        """See `DispatchTables.moved`."""
        moved: Moved = await self._doors.call_dispatch("moved", self.epoch, dict(positions))
        return moved

    async def holds(self) -> list[HeldTasks]:
        """See `DispatchTables.holds`."""
        found: list[HeldTasks] = await self._doors.call_dispatch("held", self.epoch)
        return found

    async def workers(self) -> list[RegisteredWorker]:
        """See `DispatchTables.workers`."""
        found: list[RegisteredWorker] = await self._doors.call_dispatch("registered", self.epoch)
        return found

    async def rest(self, instance_ids: Collection[UUID]) -> None:
        """See `DispatchTables.rest`."""
        await self._doors.call_dispatch("let_rest", self.epoch, list(instance_ids))

    async def wake(self, instance_ids: Collection[UUID]) -> list[UUID]:
        """See `DispatchTables.wake`."""
        found: list[UUID] = await self._doors.call_dispatch("wake", self.epoch, list(instance_ids))
        return found

    async def quotas(self) -> list[AuthorQuota]:
        """See `DispatchTables.quotas`: there are no users."""
        return []

    async def offered(self, unserved_s: float) -> Offered:
        """See `DispatchTables.offered`."""
        offered: Offered = await self._doors.call_dispatch("offered", self.epoch, unserved_s)
        return offered

    async def forgotten(self) -> list[UUID]:
        """See `DispatchTables.forgotten`."""
        found: list[UUID] = await self._doors.call_dispatch("forgotten", self.epoch)
        return found

    async def write(
        self, ending: Ending, assignments: Sequence[Assignment], workers: Mapping[str, RegisteredWorker]
    ) -> Written:
        """See `DispatchTables.write`."""
        ending = Ending(list(ending.succeeded), list(ending.hold_ids))
        written: Written = await self._doors.call_dispatch(
            "write", self.epoch, ending, list(assignments), dict(workers)
        )
        return written


@contextlib.contextmanager
def dispatcher_parts(doors: Doors) -> Iterator[None]:
    """The parts of a dispatcher that stay within the schedule."""

    async def connect(_: str, name: str, **__: object) -> SimulatedConnection:
        await doors.call("ping", by=name)
        return SimulatedConnection(name)

    async def listen(
        _: str, name: str, channels: tuple[str, ...], on_notice: Callable[[str, str], None]
    ) -> SimulatedNotices:
        await doors.call("ping", by=name)
        return SimulatedNotices(doors.notifications, name, channels, on_notice)

    async def renew(connection: SimulatedConnection, epoch: int) -> None:
        await doors.call_dispatch("renew", epoch, by=connection.name)

    async def resign(connection: SimulatedConnection, epoch: int) -> None:
        await doors.call_dispatch("resign", epoch, by=connection.name)

    with (
        patch.multiple(
            dispatcher,
            connect=connect,
            Notices=SimpleNamespace(open=listen),
            PostgresTables=lambda _, holder, **_tracing: SimulatedTables(doors, holder),
            renew=renew,
            resign=resign,
            uuid4=doors.new_id,
        ),
        patch.object(dispatch, "uuid4", doors.new_id),
        patch.object(dispatch, "Fleet", lambda: Fleet(_KEPT_AWAKE)),
        patch.object(fleet, "_SPARE_LOOKS", 2),
        patch.object(elected, "_PAGE", _PAGE),
    ):
        yield
