"""Filling a generation that is not active: the same fold and the same transactions as the live projection's."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier
from pulp_events.reader import Reader, Record
from pulp_projections import store
from pulp_projections.fold import Decoded, decode_batch, fold
from pulp_projections.generations import schema_of
from pulp_projections.sql import load

from pulp_processor.projector import FenceLost, Projector
from pulp_processor.rebuild_errors import RebuildCancelled, RebuildInUse
from pulp_processor.settings import Settings

_SQL: Final = load("pulp_processor", "rebuild.sql")
_AT_ONCE: Final = 2
"""Partitions that are filled side by side: while Postgres writes one's rows, the other's are made. Each has a
consumer, a connection and two batches: this bounds memory as well."""


def connection_name(generation: int) -> str:
    """What the connections that fill a generation are called in Postgres."""
    return f"pulp-rebuild/{generation}"


async def enter(connection: AsyncConnection, generation: int) -> None:
    """Begin a transaction's work on a generation: none drops it, or makes it active, before the transaction ends.

    Raises `RebuildCancelled` if it is gone, or active already. `cancel` finds what it must interrupt by the name that
    the connection has from now on.
    """
    values = {"schema": schema_of(generation), "name": connection_name(generation), "generation": generation}
    if await (await connection.execute(_SQL["enter"], values)).fetchone() is None:
        raise RebuildCancelled(generation)


class GenerationProjector(Projector):
    """Writes one partition of one generation, as long as that is not the active one. It notifies nobody."""

    def __init__(self, conninfo: str, partition: int, generation: int) -> None:
        super().__init__(conninfo, partition)
        self.generation = generation

    async def locate(self) -> int:
        """Read this partition's position in the generation."""
        self._tasks.clear()
        connection = await self._connect()
        query = SQL("select next_offset from {}.positions where partition = %s").format(
            Identifier(schema_of(self.generation))
        )
        row = await (await connection.execute(query, [self.partition])).fetchone()
        assert row is not None  # made with the generation
        self.next_offset = row[0]
        return self.next_offset

    async def _transaction(self, batch: Sequence[Decoded]) -> None:
        connection = await self._connect()
        end = batch[-1].record.offset + 1
        async with connection.transaction():
            await self._enter(connection, end)
            changes = fold(batch, await self._known(connection, batch))
            await store.write(connection, changes, letters_sent=True)
        self.next_offset = end
        self._remember(changes)

    async def _enter(self, connection: AsyncConnection, end: int) -> None:
        await enter(connection, self.generation)
        if not await store.advance(connection, self.partition, self.next_offset, end):
            raise FenceLost(f"partition {self.partition}: the position is not {self.next_offset} any more")


async def fill(
    settings: Settings, generation: int, ends: Mapping[int, int], moved: Callable[[int, int], None]
) -> dict[int, int]:
    """Project everything before `ends` into the generation, from where it is; the positions then.

    A partition that is past its end already stays as it is. `moved(partition, next_offset)` is called after every
    batch. What is committed stays, whatever happens: a later call goes on from there. Waits while Kafka is away.
    Raises `RebuildCancelled`, `RebuildInUse` if another process fills the generation, `OffsetOutOfRange` if the log
    lacks what is needed, `psycopg.OperationalError` if Postgres goes away.
    """
    limit = asyncio.Semaphore(_AT_ONCE)
    positions: dict[int, int] = {}

    async def one(partition: int, end: int) -> None:
        async with limit:
            projector = GenerationProjector(settings.postgres, partition, generation)
            try:
                await _fill_partition(settings, projector, end, moved)
            finally:
                await projector.close()
            positions[partition] = projector.next_offset

    try:
        async with asyncio.TaskGroup() as group:
            for partition, end in sorted(ends.items()):
                group.create_task(one(partition, end))
    except BaseExceptionGroup as raised:
        raise _plain(raised.exceptions[0], generation) from raised
    return positions


async def _fill_partition(
    settings: Settings, projector: GenerationProjector, end: int, moved: Callable[[int, int], None]
) -> None:
    start = await projector.locate()
    moved(projector.partition, start)
    if start >= end:
        return
    with Reader(settings.kafka, settings.topics.events, {projector.partition: start}) as reader:
        batches = reader.until({projector.partition: end}, most=settings.batch_records)
        coming = asyncio.create_task(asyncio.to_thread(_next, batches))
        try:
            while batch := await asyncio.shield(coming):
                # Kafka is read and the next batch decoded while Postgres writes this one.
                coming = asyncio.create_task(asyncio.to_thread(_next, batches))
                await projector.write(batch)
                moved(projector.partition, projector.next_offset)
        finally:
            # A thread cannot be stopped, and the consumer is closed after it.
            await asyncio.gather(coming, return_exceptions=True)


def _next(batches: Iterator[tuple[int, list[Record]]]) -> list[Decoded]:
    """The next batch, or [] after the last."""
    found = next(batches, None)
    return decode_batch(found[1]) if found else []


def _plain(error: BaseException, generation: int) -> BaseException:
    if isinstance(error, errors.QueryCanceled | errors.UndefinedTable | errors.InvalidSchemaName):
        return RebuildCancelled(generation)  # `cancel` interrupts what runs, and drops the tables
    if isinstance(error, FenceLost):
        return RebuildInUse("another process")
    return error
