"""Claims: which tasks this worker has taken."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection, AsyncCursor, errors
from pulp_events.task import State
from pulp_projections import locks
from pulp_projections.sql import load

from pulp_worker.choosing import Chain, Choice, Waiting
from pulp_worker.connection import Connection
from pulp_worker.narrowing import Narrowed, Narrowing
from pulp_worker.settings import Settings

_SQL: Final = load("pulp_worker", "claims.sql")
PLANNING: Final = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off"}
"""For the connection: all statements here find rows by a key, or the first few in the order of an index.

Statistics mislead. Those of a queue are nearly always from when it was empty, and then all that waits would be read and
sorted for each claim.
"""
_WHOLE: Final = (_SQL["waiting"], _SQL["may_miss"])
_NARROWED: Final = tuple(statement.replace("\norder by", f"\n{_SQL['not_left_out']}\norder by") for statement in _WHOLE)
"""The same where something has to be left out."""
_CHUNKS: Final = (128, 2048, 8192)
"""Rows that are looked at before more are, since the first few nearly always suffice. The last one is repeated."""
_MOST_HOPELESS: Final = 64
_LEAST_PRIORITY: Final = -(2**31)
_SPARE: Final = 8
"""Rows that are looked at first beside those that are wanted: some may not run."""
_STATES: Final = {state.value: state for state in State}


class Claim(NamedTuple):
    """A task that this worker has taken; nobody else may run it, nor anything that conflicts with it.

    `tokens` is empty for one that follows another on the same resources, until that one hands them on.
    """

    task_id: UUID
    partition: int
    operation: str
    arguments: bytes
    correlation_id: str | None
    attempt: int
    attempt_id: UUID
    instance_id: UUID
    tokens: Mapping[str, int]
    exclusive: frozenset[str] = frozenset()
    """Those of its resources that nobody else may use."""


class Standing(NamedTuple):
    """What the projection and the claims say of a claimed task."""

    state: State
    is_current: bool
    """This attempt is the task's effective one."""
    is_held: bool
    """Its claim is still there."""


class LetGo(NamedTuple):
    """A claim that its worker gives back: forgotten where its task has ended, else its number stays taken."""

    claim: Claim
    is_over: bool
    """Give it back only if the task is final in the read model."""
    heir: Claim | None = None
    """The claim that inherits the reservations."""


class Parted(NamedTuple):
    """What came of giving claims back."""

    tokens: Mapping[UUID, Mapping[str, int]]
    """Those of the heirs, by task id. An heir whose claim is not held any more has none."""
    kept: frozenset[UUID]
    """Tasks that should be over and are not: their claims and reservations are as they were."""


class Claims:
    """This worker's claims in Postgres. Every call raises `psycopg.OperationalError` while Postgres is away."""

    def __init__(self, settings: Settings, purpose: str = "claims", *, chunks: Sequence[int] = _CHUNKS) -> None:
        self._settings = settings
        self._chunks = chunks
        self._narrowing = Narrowing(settings.quotas, settings.unserved_s)
        self._connection = Connection(
            settings.postgres,
            f"pulp-worker/{settings.name}/{purpose}",
            timeout_s=max(10.0, settings.lease_s),
            settings=PLANNING,
        )

    async def close(self) -> None:
        """Let go of the connection."""
        await self._connection.close()

    async def claim(self, operations: Sequence[str], most: int, instance_id: UUID) -> list[list[Claim]]:
        """Take up to `most` tasks that may run now, best first, each with those that may follow it; in one transaction.

        Only the first of each list has its resources reserved. Nothing is taken within one lease after another server
        has taken over from Postgres's primary.
        """
        try:
            # A pipeline: while a claim is made no other one is, so each round trip is one for all workers.
            async with self._connection.use() as connection:
                narrowed = await self._narrowing.current(connection)
                async with connection.pipeline(), connection.transaction():
                    chains = await self._choose(connection, operations, most, narrowed)
                    return await self._take(connection, chains, instance_id) if chains else []
        except errors.ExclusionViolation:
            return []  # somebody else has reserved it meanwhile: it lets us know when it lets go

    async def standings(self, claims: Sequence[Claim]) -> list[Standing | None]:
        """How the claimed tasks stand, in order; None for one that the read model does not know."""
        found: list[Standing | None] = [None] * len(claims)
        async with self._connection.use() as connection:
            cursor = await connection.execute(_SQL["standings"], _ids(claims))
            for place, state, is_current, is_held in await cursor.fetchall():
                found[place - 1] = Standing(_STATES[state], is_current, is_held)
        return found

    async def let_go(self, parting: Sequence[LetGo]) -> Parted:
        """Give claims back, all in one transaction. It may be repeated."""
        ending = [item for item in parting if item.is_over]
        leaving = [item for item in parting if not item.is_over]
        async with self._connection.use() as connection:
            if not leaving:
                return await _parted(await connection.execute(_SQL["end"], _parting(ending)))
            async with connection.pipeline(), connection.transaction():
                ended = await connection.execute(_SQL["end"], _parting(ending))
                handed_on = await connection.execute(_SQL["hand_on"], _parting(leaving))
                await connection.execute(_SQL["release"], _ids([item.claim for item in leaving]))
                return _together(await _parted(ended), await _parted(handed_on))

    async def put_back(self, held: Sequence[Claim], instance_id: UUID) -> set[UUID]:
        """Claim again what is held, as it was, on a server that may have lost it; the attempts that are held then."""
        uses = [(claim, *use) for claim in held for use in claim.tokens.items()]
        values = {
            "worker": self._settings.name,
            "instance_id": instance_id,
            **_ids(held),
            "attempts": [claim.attempt for claim in held],
            "partitions": [claim.partition for claim in held],
            "users": [claim.task_id for claim, _, _ in uses],
            "resources": [resource for _, resource, _ in uses],
            "exclusives": [resource in claim.exclusive for claim, resource, _ in uses],
            "tokens": [token for _, _, token in uses],
        }
        async with self._connection.use() as connection, connection.transaction():
            await connection.execute(_SQL["see_timeline"])
            await connection.execute(_SQL["put_back"], values)
            cursor = await connection.execute(_SQL["held"], values)
            return {row[0] for row in await cursor.fetchall()}

    async def settle(self, held: Sequence[Claim], instance_id: UUID, ends: Mapping[int, int]) -> bool:
        """Let go of claims that came back with a server that took over; false while its projection is before the ends.

        Not while a claim is being made.
        """
        values = {"worker": self._settings.name, "instance_id": instance_id, **_ids(held)}
        async with self._connection.use() as connection, connection.transaction():
            cursor = await connection.execute(_SQL["positions"])
            positions: dict[int, int] = dict(await cursor.fetchall())
            if any(positions.get(partition, 0) < end for partition, end in ends.items()):
                return False
            await connection.execute(_SQL["release_others"], values)
            return True

    async def _choose(
        self, connection: AsyncConnection, operations: Sequence[str], most: int, narrowed: Narrowed
    ) -> list[Chain]:
        await connection.execute(_SQL["claim_lock"], {"number": locks.CLAIMS})
        room = await self._room(connection, narrowed.limits) if narrowed.limits else {}
        waiting, may_miss = _NARROWED if narrowed.is_needed else _WHOLE
        wanted = {
            "full": [user for user, left in room.items() if left <= 0],
            "queues": list(self._settings.queues),
            "operations": list(operations),
            "unserved_s": self._settings.unserved_s,
        }
        place = {"accepted_at": datetime.min.replace(tzinfo=UTC), "partition": -1, "offset": -1}
        sizes = self._sizes(most)
        chunk = next(sizes)
        may_claim = await connection.execute(_SQL["may_claim"])
        reserved = await connection.execute(_SQL["reserved"])
        cursor = await connection.execute(waiting, {**wanted, **place, "hopeless": [], "most": chunk})
        if not await _is_allowed(connection, may_claim):
            return []
        choice = Choice(dict(await reserved.fetchall()), room)
        while True:
            tasks = [_waiting(*row) for row in await cursor.fetchall()]
            choice.see(tasks)
            best = choice.best(most)
            if len(tasks) < chunk:
                return best
            last = tasks[-1]
            place = {"accepted_at": last.accepted_at, "partition": last.partition, "offset": last.accepted_offset}
            over = best[-1].head.priority if len(best) == most else _LEAST_PRIORITY
            cursor = await connection.execute(may_miss, {**wanted, **place, "over": over})
            if await cursor.fetchone() == (False,):
                return best
            chunk = next(sizes)
            hopeless = choice.hopeless(_MOST_HOPELESS)
            cursor = await connection.execute(waiting, {**wanted, **place, "hopeless": hopeless, "most": chunk})

    async def _room(self, connection: AsyncConnection, limits: Mapping[str, int]) -> dict[str, int]:
        """How many more tasks of each user with a limit may run."""
        cursor = await connection.execute(_SQL["running"], {"users": list(limits)})
        running: dict[str, int] = dict(await cursor.fetchall())
        return {user: limit - running.get(user, 0) for user, limit in limits.items()}

    async def _take(self, connection: AsyncConnection, chains: Sequence[Chain], instance_id: UUID) -> list[list[Claim]]:
        tasks = [task for chain in chains for task in chain.tasks]
        attempt_ids = {task.task_id: uuid4() for task in tasks}
        uses = [
            (chain.head.task_id, resource, resource in chain.head.exclusive)
            for chain in chains
            for resource in (*chain.head.exclusive, *chain.head.shared)
        ]
        values = {
            "worker": self._settings.name,
            "instance_id": instance_id,
            "task_ids": _array(attempt_ids),
            "attempts": [task.attempt for task in tasks],
            "attempt_ids": _array(attempt_ids.values()),
            "partitions": [task.partition for task in tasks],
            "users": [task_id for task_id, _, _ in uses],
            "resources": [resource for _, resource, _ in uses],
            "exclusives": [is_exclusive for _, _, is_exclusive in uses],
        }
        cursor = await connection.execute(_SQL["take"], values)
        taken = {row[0]: row[1:] for row in await cursor.fetchall()}
        if len(taken) < len(tasks):
            raise errors.SerializationFailure("the rows of waiting tasks went away: another generation is active now")

        def claim(task: Waiting) -> Claim:
            operation, arguments, correlation_id, resources, tokens = taken[task.task_id]
            return Claim(
                task.task_id,
                task.partition,
                operation,
                arguments.encode(),
                correlation_id,
                task.attempt,
                attempt_ids[task.task_id],
                instance_id,
                dict(zip(resources, tokens, strict=True)),
                task.exclusive,
            )

        return [[claim(task) for task in chain.tasks] for chain in chains]

    def _sizes(self, most: int) -> Iterator[int]:
        yield min(most + _SPARE, self._chunks[0])
        yield from self._chunks
        yield from repeat(self._chunks[-1])


def _waiting(*row: Any) -> Waiting:
    accepted_at, partition, offset, task_id, attempt, priority, can_run, exclusive, shared, created_by = row
    only_shared = frozenset(shared).difference(exclusive)
    return Waiting(
        accepted_at,
        partition,
        offset,
        task_id,
        attempt,
        priority,
        can_run,
        frozenset(exclusive),
        only_shared,
        created_by,
    )


async def _is_allowed(connection: AsyncConnection, may_claim: AsyncCursor) -> bool:
    row = await may_claim.fetchone()
    if row is None:
        await connection.execute(_SQL["see_timeline"])
    return row is not None and bool(row[0])


def _ids(claims: Sequence[Claim]) -> dict[str, str]:
    return {
        "task_ids": _array([claim.task_id for claim in claims]),
        "attempt_ids": _array([claim.attempt_id for claim in claims]),
    }


def _array(ids: Iterable[UUID | None]) -> str:
    """For a parameter that is cast to `uuid[]`: psycopg takes longer for a list than Postgres for the statement."""
    return f"{{{','.join(['null' if id_ is None else f'{id_.int:032x}' for id_ in ids])}}}"


def _parting(parting: Sequence[LetGo]) -> dict[str, str]:
    heirs = [item.heir for item in parting]
    return {
        **_ids([item.claim for item in parting]),
        "heirs": _array([heir and heir.task_id for heir in heirs]),
        "heirs_attempt_ids": _array([heir and heir.attempt_id for heir in heirs]),
    }


async def _parted(asked: AsyncCursor) -> Parted:
    row = await asked.fetchone()
    assert row is not None
    kept, heirs, resources, numbers = row[:4]
    tokens: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    for heir, resource, number in zip(heirs, resources, numbers, strict=True):
        tokens[heir][resource] = number
    return Parted(dict(tokens), frozenset(kept))


def _together(one: Parted, other: Parted) -> Parted:
    return Parted({**one.tokens, **other.tokens}, one.kept | other.kept)
