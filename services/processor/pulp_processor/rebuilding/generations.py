"""The generations of the read model as an operator sees them, and the lock for changing them."""

import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from pulp_events.errors import ReadModelUnavailable
from pulp_projections import locks
from pulp_projections.away import AWAY, reason_of
from pulp_projections.connection import connect
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load

from pulp_processor.rebuilding.errors import RebuildInterrupted, RebuildInUse, RebuildRefused

_SQL: Final = load("pulp_processor.rebuilding", "rebuild.sql")
_PATIENCE_S: Final = 3.0


class Generation(NamedTuple):
    """One generation of the read model."""

    number: int
    status: str
    """`building`, `ready` (to become active), `active`, `retired` (to roll back to) or `verifying` (never active)."""
    created_at: datetime
    activated_at: datetime | None
    indexed_at: datetime | None
    verified_at: datetime | None
    accepted: tuple[str, ...]
    """Columns in which it may differ from the active one."""
    ends: Mapping[int, int]
    """Partition → where the log ended when its rebuild began; {} for a generation that was not rebuilt."""
    positions: Mapping[int, int]
    """Partition → next offset."""

    @property
    def percent(self) -> float:
        """How much of the log, up to where it ended when the rebuild began, is projected: 0 to 100."""
        total = sum(self.ends.values())
        done = sum(min(self.positions.get(partition, 0), end) for partition, end in self.ends.items())
        return 100.0 * done / total if total else 100.0


async def generations(connection: AsyncConnection) -> list[Generation]:
    """All generations, in order of their numbers."""
    rows = await (await connection.execute(_SQL["generations"])).fetchall()
    return [
        Generation(
            number=row[0],
            status=row[1],
            created_at=row[2],
            activated_at=row[3],
            indexed_at=row[4],
            verified_at=row[5],
            accepted=tuple(row[6] or ()),
            ends=dict(enumerate(row[7] or ())),
            positions=await positions(connection, row[0]),
        )
        for row in rows
    ]


async def positions(connection: AsyncConnection, generation: int) -> dict[int, int]:
    """Partition → next offset in a generation."""
    query = SQL("select partition, next_offset from {}.positions").format(Identifier(schema_of(generation)))
    return dict(await (await connection.execute(query)).fetchall())


async def active(connection: AsyncConnection) -> Generation:
    """The active generation. Raises `RebuildRefused` if the read model was never installed."""
    for generation in await generations(connection):
        if generation.status == "active":
            return generation
    raise RebuildRefused("the database has no active generation: start a processor first")


async def in_progress(connection: AsyncConnection) -> Generation | None:
    """The generation that is being built or is ready to become active; there is at most one."""
    for generation in await generations(connection):
        if generation.status in ("building", "ready"):
            return generation
    return None


async def drop(connection: AsyncConnection, generation: int) -> None:
    """Drop a generation's tables in one transaction. Waits at most a second for their locks.

    Raises `RebuildRefused` if it is the active one (as it may just have become), or no longer exists.
    """
    async with connection.transaction():
        await connection.execute("set local lock_timeout = '1s'")
        if await (await connection.execute(_SQL["remove"], {"generation": generation})).fetchone() is None:
            raise RebuildRefused(f"generation {generation} is the active one, or no longer exists: nothing was dropped")
        await connection.execute(SQL("drop schema {} cascade").format(Identifier(schema_of(generation))))


async def drop_verifying(connection: AsyncConnection) -> None:
    """Drop the generation of a comparison, also one that was killed. Call it while holding the lock."""
    for generation in await generations(connection):
        if generation.status == "verifying":
            await drop(connection, generation.number)


@asynccontextmanager
async def locked(postgres: str) -> AsyncIterator[AsyncConnection]:
    """A connection that holds the lock on the generations.

    Raises `RebuildInUse`, which names the holder; `ReadModelUnavailable` if Postgres does not answer;
    `RebuildInterrupted` if it goes away inside the block.
    """
    async with _connect(postgres, f"pulp-rebuild {socket.gethostname()}:{os.getpid()}") as connection:
        try:
            if not await locks.take(connection, locks.GENERATIONS, _PATIENCE_S):
                raise RebuildInUse(await locks.holder(connection, locks.GENERATIONS) or "another process")
            yield connection
        except AWAY as error:
            raise RebuildInterrupted(
                f"Postgres went away: {reason_of(error)}. What is filled stays: resume the rebuild when it is back"
            ) from error


@asynccontextmanager
async def connected(postgres: str) -> AsyncIterator[AsyncConnection]:
    """A connection that does not hold the lock. Raises `ReadModelUnavailable`."""
    async with _connect(postgres, "pulp-rebuild") as connection:
        yield connection


@asynccontextmanager
async def _connect(postgres: str, name: str) -> AsyncIterator[AsyncConnection]:
    try:
        connection = await connect(postgres, name, connect_timeout_s=10, settings=locks.HELD_BY_SESSION)
    except AWAY as error:
        raise ReadModelUnavailable(f"Postgres does not answer: {reason_of(error)}") from error
    async with connection:
        yield connection
