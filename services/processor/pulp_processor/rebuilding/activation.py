"""Activating another generation of the read model in one transaction, and rolling back."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier
from pulp_projections.generations import show
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load

from pulp_processor.rebuilding.errors import NotSwitched, RebuildRefused
from pulp_processor.rebuilding.fill import fill
from pulp_processor.rebuilding.generations import (
    Generation,
    active,
    drop,
    drop_verifying,
    generations,
    in_progress,
    locked,
    positions,
)
from pulp_processor.rebuilding.progress import Phase, Progress, Report, report_nothing
from pulp_processor.rebuilding.rebuild import catch_up
from pulp_processor.settings import Settings

_SQL: Final = load("pulp_processor.rebuilding", "rebuild.sql")
_TRIES: Final = 20
_LOCK_TRIES: Final = 10
_LOCK_PAUSE_S: Final = 0.02
_STRETCH_S: Final = 10.0
"""How long the live projection may be held up while the last events are projected."""


class Switched(NamedTuple):
    """The generation that was active, the one that is, and the positions at which it took over."""

    before: int
    now: int
    positions: Mapping[int, int]


async def activate(settings: Settings, report: Report = report_nothing, *, unverified: bool = False) -> Switched:
    """Make the generation that is ready the active one. Readers see the old one or the new one, never a mixture.

    The live projection pauses for a moment, and goes on in the new one. The old one stays, for `rollback`. Raises
    `RebuildRefused` if no generation is ready, or if it was not compared with the active one (unless `unverified`);
    `NotSwitched` if readers or batches kept the tables locked: nothing has changed then.
    """
    async with locked(settings.postgres) as connection:
        candidate = await in_progress(connection)
        if candidate is None or candidate.status != "ready":
            raise RebuildRefused("no generation is ready to become active: start a rebuild, or resume it")
        if candidate.verified_at is None and not unverified:
            raise RebuildRefused(f"generation {candidate.number} was not compared with the active one: verify it first")
        return await _switch(connection, settings, candidate.number, report)


async def rollback(settings: Settings, report: Report = report_nothing) -> Switched:
    """Bring the generation that was active last up to date, and activate it again. Raises what `activate` raises."""
    async with locked(settings.postgres) as connection:
        retired = [item for item in await generations(connection) if item.status == "retired"]
        if not retired:
            raise RebuildRefused("there is no generation to roll back to")
        return await _switch(connection, settings, max(retired, key=_activated).number, report)


async def prune(settings: Settings) -> list[int]:
    """Drop the generations that were active in the past, after which nothing can be rolled back. Their numbers."""
    async with locked(settings.postgres) as connection:
        await drop_verifying(connection)
        numbers = [item.number for item in await generations(connection) if item.status == "retired"]
        for number in numbers:
            await drop(connection, number)
        return numbers


async def _switch(connection: AsyncConnection, settings: Settings, generation: int, report: Report) -> Switched:
    reason = ""
    for _ in range(_TRIES):
        await catch_up(connection, settings, generation, report)
        report(Progress(Phase.SWITCHING, 0, 0, 0.0, None))
        try:
            async with connection.transaction(), asyncio.timeout(_STRETCH_S):
                return await _switch_now(connection, settings, generation)
        except errors.LockNotAvailable:
            reason = "readers or batches kept the tables locked"
        except TimeoutError:
            reason = f"the last events were not projected within {_STRETCH_S:g} s"
        await asyncio.sleep(0.2)  # lets waiters for the lock proceed
    raise NotSwitched(f"generation {generation} could not be made the active one, nothing was changed: {reason}")


async def _switch_now(connection: AsyncConnection, settings: Settings, generation: int) -> Switched:
    """In the caller's transaction."""
    await connection.execute("set local lock_timeout = '3s'")
    await connection.execute(_SQL["block_batches"])
    before = await active(connection)
    # The live positions do not move from here on.
    # Kafka has the last events; who waits for the locks does not wait for the storage of an archive as well.
    kafka_alone = replace(settings, archive=None)
    await fill(kafka_alone, generation, before.positions, lambda partition, offset: None)
    reached = await positions(connection, generation)
    assert all(reached[partition] >= end for partition, end in before.positions.items())
    await _copy_sent_flags(connection, before.number, generation)
    await connection.execute(_SQL["switch"], {"generation": generation})
    await _show(connection, generation)
    await connection.execute(_SQL["notify_readers"], {"generation": str(generation)})
    return Switched(before.number, generation, reached)


async def _show(connection: AsyncConnection, generation: int) -> None:
    """Change all views that readers use, which locks them: a transaction that has read one sees the same generation in
    the others. Raises `LockNotAvailable` if no try gets all of them.
    """
    # A reader that locks the views in another order holds one and waits for another. Waiting longer would not help, so
    # each try soon releases everything, long before Postgres would look for a deadlock. `lock table` would lock the
    # views' tables as well, which autovacuum holds for minutes, and gives up only to who has waited for a second.
    await connection.execute("set local lock_timeout = '100ms'")
    for left in reversed(range(_LOCK_TRIES)):
        try:
            async with connection.transaction():
                await show(connection, generation)
            return
        except errors.LockNotAvailable:
            if not left:
                raise
        await asyncio.sleep(_LOCK_PAUSE_S)


async def _copy_sent_flags(connection: AsyncConnection, before: int, now: int) -> None:
    """The new generation sends the dead letters that the old one has not sent."""
    old, new = Identifier(schema_of(before)), Identifier(schema_of(now))
    await connection.execute(SQL(_SQL["copy_sent_flags"]).format(old=old, new=new))


def _activated(generation: Generation) -> float:
    return generation.activated_at.timestamp() if generation.activated_at else 0.0
