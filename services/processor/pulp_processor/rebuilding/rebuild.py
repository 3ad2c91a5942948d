"""Rebuilding the read model: the next generation is filled from offset 0, in parallel with the live one, and compared
with it.

A rebuild reads the log and writes its own tables. It appends, notifies and sends nothing, and readers do not see it
until `activation.activate`. One process at a time works on the generations of a database. If it is killed, what it
committed stays, and `resume` continues from there.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final, LiteralString

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier
from pulp_archive.archive import Archive
from pulp_events import admin
from pulp_events.errors import OffsetOutOfRange, PositionNotReached
from pulp_projections import grants
from pulp_projections.away import AWAY, Errors, reason_of
from pulp_projections.generations import create_indexes, create_tables
from pulp_projections.reading.positions import Positions
from pulp_projections.schemas import VIEWS, schema_of
from pulp_projections.sql import load
from pulp_runtime.startup import Installed, prepare

from pulp_processor.rebuilding.compare import Comparison, compare
from pulp_processor.rebuilding.errors import RebuildCancelled, RebuildInterrupted, RebuildInUse, RebuildRefused
from pulp_processor.rebuilding.fill import Filler, connection_name, enter, fill
from pulp_processor.rebuilding.generations import (
    Generation,
    active,
    connected,
    drop,
    generations,
    in_progress,
    locked,
    positions,
)
from pulp_processor.rebuilding.progress import Phase, PhaseMeter, Progress, Report, report_nothing
from pulp_processor.settings import Settings

_SQL: Final = load("pulp_processor.rebuilding", "rebuild.sql")
_HISTORY: Final = "task_events"
_NEAR: Final = 5000
"""How many events the live projection may be ahead of a generation that counts as ready."""
_MOST_ROUNDS: Final = 10
_LIVE_S: Final = 60.0
_CANCEL_TRIES: Final = 10
_GENTLE_TRIES: Final = 2
_STOPPED: Final[Errors] = (RebuildCancelled, *AWAY, errors.UndefinedTable, errors.InvalidSchemaName)
"""How a step of a rebuild ends if Postgres goes away, or somebody else drops its generation."""


async def start(settings: Settings, report: Report = report_nothing, filler: Filler | None = None) -> int:
    """Build the next generation from the start of the log, and return its number. It is `ready` then, not active.

    Raises `RebuildRefused` if one is being built or is ready, `RebuildInUse`, `RebuildCancelled`, `RebuildInterrupted`,
    `OffsetOutOfRange` if the log does not begin at offset 0, `ArchiveError`, `DependencyAway`, `TopicMismatch`.
    Without a filler this process fills it.
    """
    installed = await prepare(settings)
    async with locked(settings.postgres) as connection:
        if (existing := await in_progress(connection)) is not None:
            raise RebuildRefused(
                f"generation {existing.number} is {existing.status} ({existing.percent:.0f} %): resume, activate or"
                " cancel it"
            )
        await check_begin(settings, installed)
        ends = await asyncio.to_thread(admin.end_offsets, settings.kafka, settings.topics.events, installed.partitions)
        generation = await add(connection, ends, "building")
        await _build(connection, settings, generation, report, filler)
    return generation


async def resume(settings: Settings, report: Report = report_nothing, filler: Filler | None = None) -> int:
    """Continue a rebuild, and return the number of its generation, which is `ready` then. Raises as `start`."""
    await prepare(settings)
    async with locked(settings.postgres) as connection:
        generation = await _candidate(connection)
        await _build(connection, settings, generation.number, report, filler)
    return generation.number


async def cancel(settings: Settings) -> int:
    """Drop the generation that is being built or is ready, and return its number. Ends the process that builds it.

    Raises `RebuildRefused` if no such generation exists.
    """
    async with connected(settings.postgres) as connection:
        generation = (await _candidate(connection)).number
        for attempt in range(_CANCEL_TRIES):
            try:
                await drop(connection, generation)
            except errors.LockNotAvailable:
                way = "interrupt" if attempt < _GENTLE_TRIES else "disconnect"
                await connection.execute(_SQL[way], {"name": connection_name(generation)})
            else:
                return generation
        raise RebuildRefused(f"generation {generation} is in use by somebody who does not release it: try again later")


async def status(settings: Settings) -> list[Generation]:
    """All generations. Does not need Kafka. Raises `ReadModelUnavailable`."""
    async with connected(settings.postgres) as connection:
        return await generations(connection)


async def verify(settings: Settings, *, accept: Collection[str] = (), report: Report = report_nothing) -> Comparison:
    """Compare the generation that is ready with the active one, both at exactly the active one's present positions.

    If all differences are accepted it may become active. Raises `RebuildRefused` if none is ready or `accept` names an
    unknown column; `PositionNotReached` if the live projection does not reach the generation's positions.
    """
    async with locked(settings.postgres) as connection:
        candidate = await _candidate(connection)
        if candidate.status != "ready":
            raise RebuildRefused(f"generation {candidate.number} is not built yet: resume the rebuild")
        await _wait_for_live(settings, candidate)
        found = await compare_with_active(connection, settings, candidate.number, accept=accept, report=report)
        if found.is_equal:
            accepted = sorted({*found.accepted})
            await connection.execute(_SQL["set_verified"], {"generation": candidate.number, "accepted": accepted})
        else:
            await connection.execute(_SQL["set_unverified"], {"generation": candidate.number})
    return found


async def catch_up(
    connection: AsyncConnection, settings: Settings, generation: int, report: Report, *, near: int = _NEAR
) -> None:
    """Bring a generation to within `near` events of the live one, in a few rounds."""
    for _ in range(_MOST_ROUNDS):
        live, reached = (await active(connection)).positions, await positions(connection, generation)
        behind = sum(max(0, end - reached[partition]) for partition, end in live.items())
        if behind <= near:
            return
        meter = PhaseMeter(report, Phase.CATCHING_UP, dict(live), reached)
        await fill(settings, generation, live, meter.moved)


async def compare_with_active(
    connection: AsyncConnection,
    settings: Settings,
    generation: int,
    *,
    accept: Collection[str] = (),
    report: Report = report_nothing,
) -> Comparison:
    """Compare a generation that is not ahead of the active one with it, both at the active one's present positions."""
    async with _snapshot(settings.postgres) as live:
        ends = (await active(live)).positions
        meter = PhaseMeter(report, Phase.CATCHING_UP, dict(ends), await positions(connection, generation))
        await fill(settings, generation, ends, meter.moved)
        return await _compare(connection, live, generation, accept, report)


async def check_begin(settings: Settings, installed: Installed) -> None:
    """Raises `OffsetOutOfRange` if the log does not begin at offset 0 and there is no archive, or `ArchiveError` if the
    archive does not reach from offset 0 to where Kafka begins.
    """
    topic = settings.topics.events
    begins = await asyncio.to_thread(admin.begin_offsets, settings.kafka, topic, installed.partitions)
    if settings.archive is not None:
        archive = await asyncio.to_thread(Archive.open, settings.archive)
        archive.check_topic(topic, installed.topic_id)
        archive.check_reach(topic, begins)
    elif cut := {partition: offset for partition, offset in begins.items() if offset > 0}:
        raise OffsetOutOfRange(
            f"{topic} no longer begins at offset 0: {_told(cut)}. Retention has cut what is needed. Name the archive"
            " that holds what comes before in PULP_ARCHIVE (pulp-tasks archive status); without one it is lost"
        )


async def add(connection: AsyncConnection, ends: Mapping[int, int], status: str) -> int:
    """Create the next generation, empty and without indexes, and return its number. At `ends` it is filled."""
    async with connection.transaction():
        await connection.execute("lock table generations in share row exclusive mode")
        values = {"ends": [ends[partition] for partition in sorted(ends)], "status": status}
        row = await (await connection.execute(_SQL["add"], values)).fetchone()
        assert row is not None
        await create_tables(connection, row[0], len(ends))
        await grants.apply(connection)
    return int(row[0])


def _told(begins: Mapping[int, int]) -> str:
    return ", ".join(f"partition {partition} begins at {offset}" for partition, offset in sorted(begins.items()))


async def _candidate(connection: AsyncConnection) -> Generation:
    found = await in_progress(connection)
    if found is None:
        raise RebuildRefused("no rebuild is under way, and no generation is ready: start one")
    return found


async def _build(
    connection: AsyncConnection, settings: Settings, generation: int, report: Report, filler: Filler | None
) -> None:
    found = next(item for item in await generations(connection) if item.number == generation)
    try:
        if found.status == "building":
            meter = PhaseMeter(report, Phase.FILLING, dict(found.ends), dict(found.positions))
            await fill(settings, generation, found.ends, meter.moved, filler)
        report(Progress(Phase.INDEXING, 0, 0, 0.0, None))
        # Without statistics the first queries would be planned for empty tables. One table keeps one core busy, so each
        # has its own connection; the history comes last, because its indexes are being built.
        index = [] if found.indexed_at is not None else [_index(connection, generation)]
        await asyncio.gather(*index, *(_analyze(settings, generation, table) for table in VIEWS if table != _HISTORY))
        await _analyze(settings, generation, _HISTORY)
        await catch_up(connection, settings, generation, report)
        await connection.execute(_SQL["set_ready"], {"generation": generation})
    except _STOPPED as error:
        if any(item.number == generation for item in await generations(connection)):
            raise RebuildInterrupted(
                f"Postgres has ended a statement: {reason_of(error)}. What was filled stays: resume the rebuild"
            ) from error
        raise RebuildCancelled(generation) from error


async def _index(connection: AsyncConnection, generation: int) -> None:
    async with connection.transaction():
        await enter(connection, generation)
        await create_indexes(connection, generation)
        await connection.execute(_SQL["set_indexed"], {"generation": generation})


async def _analyze(settings: Settings, generation: int, table: LiteralString) -> None:
    async with connected(settings.postgres) as connection:
        name = SQL("{}.{}").format(Identifier(schema_of(generation)), Identifier(table))
        await connection.execute(SQL("analyze {}").format(name))


async def _compare(
    connection: AsyncConnection, live: AsyncConnection, generation: int, accept: Collection[str], report: Report
) -> Comparison:
    def step(_: str) -> None:
        report(Progress(Phase.COMPARING, 0, 0, 0.0, None))

    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        await connection.execute("select set_config('application_name', %s, true)", [connection_name(generation)])
        first = await active(live)
        if first.positions != await positions(connection, generation):
            raise RebuildInUse("another process")  # the holder of the lock has brought it to these positions
        found = await compare(live, first.number, connection, generation, accept=accept, step=step)
        found.generation, found.positions = first.number, dict(first.positions)
        return found


async def _wait_for_live(settings: Settings, candidate: Generation) -> None:
    """A rebuild reads to the end of the log, which the live projection may not have reached."""
    live = Positions(settings.postgres)
    await live.start()
    try:
        await live.reach(candidate.positions, _LIVE_S)
    except PositionNotReached as error:
        raise PositionNotReached(
            f"the live projection does not reach the positions of generation {candidate.number}: {error}. Is a"
            " processor running? A projection that is stuck can be replaced without a comparison"
        ) from error
    finally:
        await live.close()


@asynccontextmanager
async def _snapshot(postgres: str) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that sees the database as of its first query."""
    async with connected(postgres) as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        await connection.execute("set local timezone = 'UTC'")
        yield connection
