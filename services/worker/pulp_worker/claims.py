"""Claims: which tasks this worker has taken."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection, errors
from pulp_events.task import State
from pulp_projections.sql import load

from pulp_worker.choosing import Chain, Choice, Waiting
from pulp_worker.connection import Connection
from pulp_worker.settings import Settings

_SQL: Final = load("pulp_worker", "claims.sql")
_CHUNKS: Final = (128, 2048, 8192)
"""Rows that are looked at before more are, since the first few nearly always suffice. The last one is repeated."""
_MOST_HOPELESS: Final = 64
_LEAST_PRIORITY: Final = -(2**31)


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
    """A claim that its worker gives back: forgotten if its task has ended, else its number stays taken."""

    claim: Claim
    is_over: bool
    heir: Claim | None = None
    """The claim that inherits the reservations."""


class Claims:
    """This worker's claims in Postgres. Every call raises `psycopg.OperationalError` while Postgres is away."""

    def __init__(self, settings: Settings, purpose: str = "claims", *, chunks: Sequence[int] = _CHUNKS) -> None:
        self._settings = settings
        self._chunks = chunks
        self._connection = Connection(
            settings.postgres, f"pulp-worker/{settings.name}/{purpose}", timeout_s=max(10.0, settings.lease_s)
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
            async with self._connection.use() as connection, connection.transaction():
                await connection.execute(_SQL["claim_lock"])
                if not await _may_claim(connection):
                    return []
                chains = await self._choose(connection, operations, most)
                return await self._take(connection, chains, instance_id) if chains else []
        except errors.ExclusionViolation:
            return []  # somebody else has reserved it meanwhile: it lets us know when it lets go

    async def standings(self, claims: Sequence[Claim]) -> dict[UUID, Standing]:
        """How the claimed tasks stand, by task id."""
        values = {
            "task_ids": [claim.task_id for claim in claims],
            "attempt_ids": [claim.attempt_id for claim in claims],
        }
        async with self._connection.use() as connection:
            cursor = await connection.execute(_SQL["standings"], values)
            return {
                task_id: Standing(State(state), is_current, is_held)
                for task_id, state, is_current, is_held in await cursor.fetchall()
            }

    async def let_go(self, parting: Sequence[LetGo]) -> dict[UUID, dict[str, int]]:
        """Give claims back, all in one transaction; the heirs' tokens, by task id. It may be repeated.

        An heir whose claim is not held any more inherits nothing.
        """
        async with self._connection.use() as connection, connection.transaction():
            tokens = await _hand_on(connection, [item for item in parting if item.heir is not None])
            for statement, is_over in (("forget", True), ("release", False)):
                attempt_ids = [item.claim.attempt_id for item in parting if item.is_over is is_over]
                if attempt_ids:
                    await connection.execute(_SQL[statement], {"attempt_ids": attempt_ids})
        return tokens

    async def put_back(self, held: Sequence[Claim], instance_id: UUID) -> set[UUID]:
        """Claim again what is held, as it was, on a server that may have lost it; the attempts that are held then."""
        uses = [(claim, *use) for claim in held for use in claim.tokens.items()]
        values = {
            "worker": self._settings.name,
            "instance_id": instance_id,
            "task_ids": [claim.task_id for claim in held],
            "attempts": [claim.attempt for claim in held],
            "attempt_ids": [claim.attempt_id for claim in held],
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
        values = {
            "worker": self._settings.name,
            "instance_id": instance_id,
            "attempt_ids": [claim.attempt_id for claim in held],
        }
        async with self._connection.use() as connection, connection.transaction():
            cursor = await connection.execute(_SQL["positions"])
            positions: dict[int, int] = dict(await cursor.fetchall())
            if any(positions.get(partition, 0) < end for partition, end in ends.items()):
                return False
            await connection.execute(_SQL["release_others"], values)
            return True

    async def _choose(self, connection: AsyncConnection, operations: Sequence[str], most: int) -> list[Chain]:
        cursor = await connection.execute(_SQL["reserved"])
        choice = Choice(dict(await cursor.fetchall()))
        wanted = {"queues": list(self._settings.queues), "operations": list(operations)}
        place = {"accepted_at": datetime.min.replace(tzinfo=UTC), "partition": -1, "offset": -1}
        for chunk in self._sizes():
            hopeless = choice.hopeless(_MOST_HOPELESS)
            cursor = await connection.execute(_SQL["waiting"], {**wanted, **place, "hopeless": hopeless, "most": chunk})
            tasks = [_waiting(*row) for row in await cursor.fetchall()]
            choice.see(tasks)
            best = choice.best(most)
            if len(tasks) < chunk:
                break
            last = tasks[-1]
            place = {"accepted_at": last.accepted_at, "partition": last.partition, "offset": last.accepted_offset}
            over = best[-1].head.priority if len(best) == most else _LEAST_PRIORITY
            cursor = await connection.execute(_SQL["may_miss"], {**place, "over": over})
            if await cursor.fetchone() == (False,):
                break
        return best

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
            "task_ids": [task.task_id for task in tasks],
            "attempts": [task.attempt for task in tasks],
            "attempt_ids": list(attempt_ids.values()),
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

    def _sizes(self) -> Iterator[int]:
        yield from self._chunks
        yield from repeat(self._chunks[-1])


def _waiting(*row: Any) -> Waiting:
    accepted_at, partition, offset, task_id, attempt, priority, can_run, exclusive, shared = row
    only_shared = frozenset(shared).difference(exclusive)
    return Waiting(
        accepted_at, partition, offset, task_id, attempt, priority, can_run, frozenset(exclusive), only_shared
    )


async def _may_claim(connection: AsyncConnection) -> bool:
    row = await (await connection.execute(_SQL["may_claim"])).fetchone()
    if row is None:
        await connection.execute(_SQL["see_timeline"])
    return row is not None and bool(row[0])


async def _hand_on(connection: AsyncConnection, parting: Sequence[LetGo]) -> dict[UUID, dict[str, int]]:
    heirs = {item.claim.task_id: item.heir for item in parting if item.heir is not None}
    if not heirs:
        return {}
    attempt_ids = [heir.attempt_id for heir in heirs.values()]
    cursor = await connection.execute(_SQL["lock_heirs"], {"attempt_ids": attempt_ids})
    held = {row[0] for row in await cursor.fetchall()}
    passing = {task_id: heir.task_id for task_id, heir in heirs.items() if heir.task_id in held}
    await connection.execute(_SQL["hand_on"], {"task_ids": list(passing), "heirs": list(passing.values())})
    cursor = await connection.execute(_SQL["tokens"], {"task_ids": list(passing.values())})
    tokens: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    for task_id, resource, token in await cursor.fetchall():
        tokens[task_id][resource] = token
    return dict(tokens)
