"""Repeats the calls of a schedule's dispatchers, in memory and on Postgres: the second half of `replay.py`."""

from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from psycopg import AsyncConnection
from pulp_events.errors import PulpError
from pulp_processor.dispatching.dispatch import Assignment
from pulp_processor.dispatching.tables import (
    Ending,
    HeldTasks,
    PostgresTables,
    RegisteredWorker,
    TaskFacts,
    renew,
    resign,
)

from tests.model.memory_dispatch import MemoryDispatch
from tests.model.memory_tables import MemoryTables
from tests.model.simulation import PARTITIONS, PROFILE

_T = TypeVar("_T")


class Tokens:
    """Fencing tokens of both sides. They differ, but each resource's must rise in the same order."""

    def __init__(self) -> None:
        self._pairs: defaultdict[str, dict[int, int]] = defaultdict(dict)

    def pair(self, ours: Mapping[str, int], theirs: Mapping[str, int]) -> None:
        """Note the tokens of one claim, by resource."""
        assert ours.keys() == theirs.keys()
        for resource, token in ours.items():
            self._pairs[resource][token] = theirs[resource]

    def check(self) -> None:
        """Raises `AssertionError` if the orders differ."""
        for pairs in self._pairs.values():
            theirs = [token for _, token in sorted(pairs.items())]
            assert theirs == sorted(theirs)


class DispatcherSteps:
    """One method for each of `MemoryDispatch`: with its arguments, and the schedule's result."""

    def __init__(self, connection: AsyncConnection, tables: MemoryTables, tokens: Tokens) -> None:
        self._connection = connection
        self._tables = tables
        self._memory = MemoryDispatch(tables, PROFILE)
        self._tokens = tokens

    async def elect(self, now_s: float, epoch: int, holder: str, result: int | None) -> None:
        tables = PostgresTables(self._connection, holder)
        theirs = tables.epoch if await tables.elect() else None
        assert theirs == self._memory.elect(now_s, epoch, holder) == result

    async def renew(self, now_s: float, epoch: int, result: object) -> None:
        theirs = await _outcome(renew(self._connection, epoch))
        assert theirs == await _outcome(_later(self._memory.renew, now_s, epoch)) == _or_type(result)

    async def resign(self, now_s: float, epoch: int, _: None) -> None:
        await resign(self._connection, epoch)
        self._memory.resign(now_s, epoch)

    async def waiting_after(self, now_s: float, epoch: int, last: TaskFacts | None, most: int, _: object) -> None:
        theirs = await self._as_elected(epoch).waiting_after(last, most)
        assert list(map(_fields, theirs)) == list(map(_fields, self._memory.waiting_after(now_s, epoch, last, most)))

    async def some(self, now_s: float, epoch: int, task_ids: Collection[UUID], _: object) -> None:
        theirs = await self._as_elected(epoch).some(task_ids)
        assert set(map(_fields, theirs)) == set(map(_fields, self._memory.some(now_s, epoch, task_ids)))

    async def moved(self, now_s: float, epoch: int, positions: Mapping[int, int], _: object) -> None:
        theirs = await self._as_elected(epoch).moved(positions)
        ours = self._memory.moved(now_s, epoch, positions)
        assert (theirs.generation, of_schedules(theirs.positions)) == (ours.generation, ours.positions)
        assert set(map(_fields, theirs.tasks)) == set(map(_fields, ours.tasks))

    async def held(self, now_s: float, epoch: int, _: object) -> None:
        theirs, ours = await self._as_elected(epoch).holds(), self._memory.held(now_s, epoch)
        assert set(map(_held_fields, theirs)) == set(map(_held_fields, ours))

    async def registered(self, now_s: float, epoch: int, _: object) -> None:
        assert set(await self._as_elected(epoch).workers()) == set(self._memory.registered(now_s, epoch))

    async def let_rest(self, now_s: float, epoch: int, instance_ids: Collection[UUID], _: None) -> None:
        await self._as_elected(epoch).rest(instance_ids)
        self._memory.let_rest(now_s, epoch, instance_ids)

    async def wake(self, now_s: float, epoch: int, instance_ids: Collection[UUID], result: list[UUID]) -> None:
        theirs = await self._as_elected(epoch).wake(instance_ids)
        assert set(theirs) == set(self._memory.wake(now_s, epoch, instance_ids)) == set(result)

    async def offered(self, now_s: float, epoch: int, unserved_s: float, _: object) -> None:
        theirs = await self._as_elected(epoch).offered(unserved_s)
        assert theirs == self._memory.offered(now_s, epoch, unserved_s)

    async def forgotten(self, now_s: float, epoch: int, _: object) -> None:
        assert set(await self._as_elected(epoch).forgotten()) == set(self._memory.forgotten(now_s, epoch))

    async def write(
        self,
        now_s: float,
        epoch: int,
        ending: Ending,
        assignments: Sequence[Assignment],
        workers: Mapping[str, RegisteredWorker],
        result: object,
    ) -> None:
        theirs = await _outcome(self._as_elected(epoch).write(ending, assignments, workers))
        ours = await _outcome(_later(self._memory.write, now_s, epoch, ending, assignments, workers))
        assert theirs == ours == _or_type(result)
        for one in assignments:
            for claim in self._tables.claims_of(one.hold_id):
                cursor = await self._connection.execute(
                    "update claims set attempt_id = %s where task_id = %s and attempt = %s returning tokens",
                    [claim.attempt_id, claim.task_id, claim.attempt],
                )
                [(tokens,)] = await cursor.fetchall()
                self._tokens.pair(claim.tokens, dict(zip(claim.tokens, tokens, strict=True)))

    def _as_elected(self, epoch: int) -> PostgresTables:
        tables = PostgresTables(self._connection, "")
        tables.epoch = epoch
        return tables


async def _outcome(asked: Awaitable[_T]) -> _T | type[PulpError]:
    """The result, or the type of the product's error."""
    try:
        return await asked
    except PulpError as error:
        return type(error)


async def _later(call: Any, *arguments: Any) -> Any:
    return call(*arguments)


def _or_type(result: Any) -> Any:
    return type(result) if isinstance(result, PulpError) else result


def of_schedules(positions: Mapping[int, int]) -> dict[int, int]:
    """The number of partitions that schedules have; the topic has more."""
    return {partition: positions[partition] for partition in range(PARTITIONS)}


def _held_fields(held: HeldTasks) -> tuple[Any, ...]:
    return held.hold, tuple(held.remaining), tuple(held.succeeded)


def _fields(facts: TaskFacts) -> tuple[Any, ...]:
    task = facts.task
    return (
        *(task.task_id, task.order, task.offer, task.priority, task.exclusive, task.shared, task.created_by),
        *(frozenset(task.unmet), *facts[1:-2], facts.is_parked, round(1000 * facts.retry_in_s)),
    )
