"""Claims: which tasks this worker has taken."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow
from pulp_events.task import State
from pulp_projections.sql import load

from pulp_worker.connection import Connection
from pulp_worker.settings import Settings

_SQL: Final = load("pulp_worker", "claims.sql")
_WINDOWS: Final = (256, 4096)
_LEAST_PRIORITY: Final = -(2**31)


class Claim(NamedTuple):
    """A task that this worker has taken; nobody else may run it, nor anything that conflicts with it."""

    task_id: UUID
    partition: int
    operation: str
    arguments: bytes
    correlation_id: str | None
    attempt: int
    attempt_id: UUID
    instance_id: UUID
    tokens: Mapping[str, int]


class Claims:
    """This worker's claims in Postgres. Every call raises `psycopg.OperationalError` while Postgres is away."""

    def __init__(self, settings: Settings, purpose: str = "claims", *, windows: Sequence[int] = _WINDOWS) -> None:
        self._settings = settings
        self._windows = windows
        self._connection = Connection(
            settings.postgres, f"pulp-worker/{settings.name}/{purpose}", timeout_s=max(10.0, settings.lease_s)
        )

    async def close(self) -> None:
        """Let go of the connection."""
        await self._connection.close()

    async def claim(self, operations: Sequence[str], most: int, instance_id: UUID) -> list[Claim]:
        """Take up to `most` tasks that may run now, best first, in one transaction."""
        try:
            async with self._connection.use() as connection, connection.transaction():
                await connection.execute(_SQL["claim_lock"])
                rows = await self._candidates(connection, operations, most)
                claims = [await self._take(connection, row, instance_id) for row in rows]
                return [claim for claim in claims if claim is not None]
        except errors.ExclusionViolation:
            return []  # somebody else has reserved it meanwhile: it lets us know when it lets go

    async def is_current(self, claim: Claim) -> State | None:
        """The task's state if this attempt is the effective one and the claim is still held; else None."""
        async with self._connection.use() as connection:
            cursor = await connection.execute(
                _SQL["is_current"], {"task_id": claim.task_id, "attempt_id": claim.attempt_id}
            )
            row = await cursor.fetchone()
        return None if row is None else State(row[0])

    async def own_tasks(self, task_ids: Sequence[UUID]) -> dict[UUID, tuple[State, UUID | None]]:
        """State and effective attempt of each task."""
        async with self._connection.use() as connection:
            cursor = await connection.execute(_SQL["own_tasks"], {"task_ids": list(task_ids)})
            return {row[0]: (State(row[1]), row[2]) for row in await cursor.fetchall()}

    async def release(self, claim: Claim) -> None:
        """Let go of a task that has not ended."""
        await self._let_go("release", claim)

    async def forget(self, claim: Claim) -> None:
        """Let go of a task that has ended."""
        await self._let_go("forget", claim)

    async def _let_go(self, statement: str, claim: Claim) -> None:
        async with self._connection.use() as connection:
            await connection.execute(_SQL[statement], {"attempt_id": claim.attempt_id})
            await connection.execute(_SQL["notify"])

    async def _candidates(self, connection: AsyncConnection, operations: Sequence[str], most: int) -> list[TupleRow]:
        wanted = {"queues": list(self._settings.queues), "operations": list(operations), "most": most}
        for window in self._windows:
            cursor = await connection.execute(_SQL["candidates"], {**wanted, "window": window})
            found = await cursor.fetchall()
            over = found[-1][-1] if len(found) == most else _LEAST_PRIORITY
            cursor = await connection.execute(_SQL["may_miss"], {"over": over, "window": window})
            if await cursor.fetchone() == (False,):
                return found
        cursor = await connection.execute(_SQL["candidates"], {**wanted, "window": None})
        return await cursor.fetchall()

    async def _take(self, connection: AsyncConnection, row: TupleRow, instance_id: UUID) -> Claim | None:
        task_id, partition, operation, exclusive, shared, attempt, _ = row
        attempt_id = uuid4()
        cursor = await connection.execute(
            _SQL["claim"],
            {
                "task_id": task_id,
                "attempt": attempt,
                "attempt_id": attempt_id,
                "worker": self._settings.name,
                "instance_id": instance_id,
                "partition": partition,
            },
        )
        if await cursor.fetchone() is None:
            return None
        only_shared = [resource for resource in dict.fromkeys(shared) if resource not in exclusive]
        cursor = await connection.execute(
            _SQL["reserve"],
            {"task_id": task_id, "exclusive": list(dict.fromkeys(exclusive)), "shared": only_shared},
        )
        tokens: dict[str, int] = dict(await cursor.fetchall())
        cursor = await connection.execute(_SQL["details"], {"task_id": task_id})
        details = await cursor.fetchone()
        if details is None:
            raise errors.SerializationFailure("the task's row went away: another generation is active now")
        arguments, correlation_id = details
        return Claim(
            task_id, partition, operation, arguments.encode(), correlation_id, attempt, attempt_id, instance_id, tokens
        )
