"""Filling a generation that is not active, by the same fold and transactions as the live projection."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load
from pulp_projections.writing import target
from pulp_projections.writing.projector import Projector
from pulp_projections.writing.target import FenceLost

from pulp_processor.rebuilding.errors import RebuildCancelled, RebuildInUse
from pulp_processor.rebuilding.log_reader import LogReader
from pulp_processor.settings import Settings

_SQL: Final = load("pulp_processor.rebuilding", "rebuild.sql")
_AT_ONCE: Final = 2
"""Partitions that one process fills concurrently: it encodes rows of one while Postgres writes those of the other. Each
has a consumer, a connection and two batches, so this bounds memory too."""


def connection_name(generation: int) -> str:
    """The application name of connections that fill a generation, by which `cancel` finds them."""
    return f"pulp-rebuild/{generation}"


async def enter(connection: AsyncConnection, generation: int) -> None:
    """Begin a transaction's work on a generation: nobody can drop or activate it before the transaction ends.

    The transaction has the application name of `connection_name`. Raises `RebuildCancelled` if the generation was
    dropped, or is active.
    """
    values = {"schema": schema_of(generation), "name": connection_name(generation), "generation": generation}
    if await (await connection.execute(_SQL["enter"], values)).fetchone() is None:
        raise RebuildCancelled(generation)


class InactiveGeneration:
    """The target of a rebuild: a generation, as long as it is not the active one. It notifies nobody."""

    is_live = False

    def __init__(self, generation: int) -> None:
        self._generation = generation

    async def locate(self, connection: AsyncConnection, partition: int) -> target.Located:
        """See `Target.locate`."""
        query = SQL("select next_offset, heals from {}.positions where partition = %s").format(
            Identifier(schema_of(self._generation))
        )
        row = await (await connection.execute(query, [partition])).fetchone()
        assert row is not None  # inserted when the generation was created
        await target.prepare(connection, self._generation)
        return target.Located(self._generation, *row)

    async def enter(self, connection: AsyncConnection, place: target.Place) -> None:
        """See `Target.enter`."""
        await enter(connection, self._generation)
        await target.advance(connection, place)


class Share(NamedTuple):
    """One partition of a generation, to be filled up to an offset."""

    settings: Settings
    generation: int
    partition: int
    end: int


class Filler(NamedTuple):
    """The port that fills shares: this process, or several."""

    fill: Callable[[Share, Callable[[int], None]], Awaitable[None]]
    """Like `fill_share`."""
    at_once: int
    """How many shares it fills concurrently."""


async def fill(
    settings: Settings,
    generation: int,
    ends: Mapping[int, int],
    moved: Callable[[int, int], None],
    filler: Filler | None = None,
) -> None:
    """Project everything before `ends` into the generation, from its position on.

    A partition that is past its end is left alone. `moved(partition, next_offset)` is called after every batch. What is
    committed stays, whatever happens: a later call continues from there. Waits while Kafka is away.
    Raises `RebuildCancelled`, `RebuildInUse` if another process fills the generation, `OffsetOutOfRange` if the log
    lacks what is needed, `ArchiveError`, `psycopg.OperationalError` if Postgres goes away. Without a filler this
    process fills.
    """
    filler = filler or Filler(fill_share, _AT_ONCE)
    limit = asyncio.Semaphore(filler.at_once)

    async def one(share: Share) -> None:
        async with limit:
            await filler.fill(share, partial(moved, share.partition))

    try:
        async with asyncio.TaskGroup() as group:
            for partition, end in sorted(ends.items()):
                group.create_task(one(Share(settings, generation, partition, end)))
    except BaseExceptionGroup as raised:
        raise _plain(raised.exceptions[0], generation) from raised


async def fill_share(share: Share, moved: Callable[[int], None]) -> None:
    """Fill a share in this process; `moved(next_offset)` is called first and after every batch. Raises as `fill`."""
    settings, target = share.settings, InactiveGeneration(share.generation)
    projector = Projector(settings.postgres, share.partition, target, most_parked=settings.most_parked_tasks)
    try:
        await _fill(share, projector, moved)
    finally:
        await projector.close()


async def _fill(share: Share, projector: Projector, moved: Callable[[int], None]) -> None:
    settings, partition, end = share.settings, share.partition, share.end
    start = await projector.locate()
    moved(start)
    if start >= end:
        return
    most = settings.batch_records
    async with LogReader(settings.kafka, settings.topics.events, partition, start, settings.archive) as reader:
        coming = asyncio.create_task(reader.read(end, most=most))
        try:
            while batch := await coming:
                # Read the next batch while Postgres writes this one.
                coming = asyncio.create_task(reader.read(end, most=most))
                await projector.project(batch)
                moved(projector.next_offset)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _plain(error: BaseException, generation: int) -> BaseException:
    if isinstance(error, errors.QueryCanceled | errors.UndefinedTable | errors.InvalidSchemaName):
        return RebuildCancelled(generation)  # `cancel` cancels statements, and drops the tables
    if isinstance(error, FenceLost):
        return RebuildInUse("another process")
    return error
