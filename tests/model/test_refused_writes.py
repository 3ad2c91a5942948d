"""Writes that a dispatcher cannot make: any after another one was elected, and those based on stale facts. In memory,
and on Postgres.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from pulp_events.events import Access, Event, Outcome, Resource
from pulp_events.memory import MemoryLog
from pulp_processor.dispatching.dispatch import Assignment
from pulp_processor.dispatching.tables import Deposed, Doubt, Ending, RegisteredWorker, Written

from tests.model.memory_dispatch import attempt_of, waiting_of
from tests.model.memory_tables import TIMELINE
from tests.model.replay import Replay
from tests.model.simulation import LEASE_S, PARTITIONS, PROFILE
from tests.support.events import accepted, finished, started
from tests.support.records import NOON_MS

INSTANCE, FIRST, SECOND, HOLD, OTHER = (UUID(int=number, version=4) for number in range(1, 6))
WORKERS = {str(INSTANCE): RegisteredWorker("w1", INSTANCE, PROFILE, 2)}
ATTEMPT = attempt_of(FIRST, 1)


def written(*claimed: UUID) -> Written:
    """Nothing has ended, and these tasks were claimed."""
    return Written(frozenset(), frozenset(claimed))


class Takeover:
    """Two tasks; a dispatcher was elected, another one followed it and has assigned the first task."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._log = MemoryLog(PARTITIONS, lambda: NOON_MS)

    async def happen(self) -> None:
        await self.step("register", "w1", INSTANCE, None, LEASE_S, 2, gives=TIMELINE)
        for task_id in (FIRST, SECOND):
            use = Resource(type="r", id=str(task_id), access=Access.EXCLUSIVE)
            await self.project(accepted(task_id, operation="gentle", resources=(use,)))
        await self.step("elect", 0, "first", gives=1)
        await self.step("elect", 0, "second", gives=None)
        await self.step("elect", 0, "second", gives=2, at_s=4.5)
        await self.step("write", 2, Ending(), self.assigning(HOLD, FIRST), WORKERS, gives=written(FIRST))

    async def project(self, event: Event) -> None:
        position = self._log.put(event, 0)
        batch = self._log.records[0][position.offset :]
        await self.step("project", 0, batch, gives=None)

    async def step(self, name: str, *arguments: Any, gives: Any, at_s: float = 0.0) -> None:
        """A call, made in memory and on Postgres; then their rows are compared."""
        await self._replay.step(at_s, name, arguments, gives)

    def assigning(self, hold_id: UUID, task_id: UUID) -> list[Assignment]:
        tasks = self._replay.tasks
        return [Assignment(hold_id, str(INSTANCE), (waiting_of(tasks[task_id], tasks),))]


@pytest.fixture
async def takeover(database: str) -> AsyncIterator[Takeover]:
    async with Replay(database) as replay:
        made = Takeover(replay)
        await made.happen()
        yield made


async def test_a_deposed_one_assigns_nothing(takeover: Takeover) -> None:
    await takeover.step("write", 1, Ending(), takeover.assigning(OTHER, SECOND), WORKERS, gives=Deposed())


async def test_a_deposed_one_ends_nothing(takeover: Takeover) -> None:
    await takeover.project(started(FIRST, attempt_id=ATTEMPT))
    await takeover.project(finished(FIRST, attempt_id=ATTEMPT))
    ending = Ending([FIRST], [HOLD])
    await takeover.step("write", 1, ending, [], {}, gives=Deposed())
    await takeover.step("write", 1, ending, takeover.assigning(OTHER, SECOND), WORKERS, gives=Deposed())
    await takeover.step("write", 2, ending, [], {}, gives=Written(frozenset([HOLD]), frozenset()))


async def test_a_deposed_one_does_not_renew_the_lease_of_its_successor(takeover: Takeover) -> None:
    await takeover.step("renew", 1, gives=Deposed(), at_s=8.0)
    await takeover.step("elect", 0, "third", gives=3, at_s=9.0)


async def test_a_deposed_one_does_not_resign_for_its_successor(takeover: Takeover) -> None:
    await takeover.step("resign", 1, gives=None, at_s=5.0)
    await takeover.step("elect", 0, "third", gives=None, at_s=5.0)


async def test_a_task_that_has_ended_is_not_claimed(takeover: Takeover) -> None:
    await takeover.project(finished(SECOND, attempt_id=None, outcome=Outcome.CANCELLED))
    await takeover.step("write", 2, Ending(), takeover.assigning(OTHER, SECOND), WORKERS, gives=written())


async def test_a_task_that_is_claimed_is_not_claimed_again(takeover: Takeover) -> None:
    await takeover.step("write", 2, Ending([], [HOLD]), takeover.assigning(OTHER, FIRST), WORKERS, gives=Doubt())
