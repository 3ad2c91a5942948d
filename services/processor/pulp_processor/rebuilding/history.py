"""The months of the history: listing them, detaching old ones that the archive holds, and attaching them again.

One transaction detaches a month and records what it had, so if the command is killed, each month is either detached or
not. Batches wait for a moment; nothing is copied.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal
from psycopg.types.json import Json
from pulp_archive.archive import Archive
from pulp_events.reader import Record
from pulp_events.task import Position
from pulp_projections.detached import DetachedMonth, Places, detached
from pulp_projections.schemas import schema_of
from pulp_projections.sql import load

from pulp_processor.rebuilding.errors import RebuildRefused
from pulp_processor.rebuilding.generations import Generation, active, connected, generations, locked
from pulp_processor.settings import Settings

_SQL: Final = load("pulp_processor.rebuilding", "history.sql")
_BLOCK: Final = load("pulp_processor.rebuilding", "rebuild.sql")["block_batches"]
_TABLE: Final = "task_events_"
_KEPT: Final = "history_detached"
_ROWS: Final = 2000
_TRIES: Final = 20
_PAUSE_S: Final = 0.1
_LOCK_WAIT: Final = "100ms"
"""A waiter for the lock makes all others wait behind it, so each try is short."""


class MonthPart(NamedTuple):
    """A part of the history."""

    part: str
    """Its table without `task_events_`: `2026_05`, `before` or `rest`."""
    since: datetime | None
    until: datetime | None
    places: tuple[Places, ...]
    size_bytes: int
    """On disk, with its indexes; 0 for one that was dropped."""
    state: str
    """`attached`, `detached` (its rows are kept elsewhere in the database) or `dropped`."""
    lacking: str | None
    """What the archive lacks of it; None if it holds all of its positions."""

    @property
    def name(self) -> str:
        """Its name in commands."""
        return self.part.replace("_", "-")

    @property
    def events(self) -> int:
        """How many events it has, or had."""
        return sum(place.events for place in self.places)


class DetachedParts(NamedTuple):
    """The change that was made, or would be made."""

    detached: list[MonthPart]
    dropped: list[MonthPart]
    """The dropped parts, including those detached earlier."""


async def parts(settings: Settings) -> list[MonthPart]:
    """All parts, detached ones among them, the oldest first. Raises `ReadModelUnavailable`, `ArchiveError`."""
    async with connected(settings.postgres) as connection:
        archive = await _archive(connection, settings)
        generation = (await active(connection)).number
        found = await _attached(connection, generation, archive)
        rows = await (await connection.execute(_SQL["detached_sizes"])).fetchall()
        sizes = {name.removeprefix(_TABLE): size for name, size in rows}
        for month in (await detached(connection)).months:
            found.append(_of_month(month, sizes.get(month.part, 0), archive))
    return sorted(found, key=_order)


async def detach(settings: Settings, before: datetime, *, drops: bool = False, is_dry: bool = False) -> DetachedParts:
    """Detach all parts that end at `before` or earlier, oldest first; `drops` also drops their rows.

    It first compares each event of a part with its record in the archive. Raises `RebuildRefused`, which says what to
    do, if the archive lacks any, if a part has events of unfinished or parked tasks, if another generation exists, or
    if readers do not free the history; also `ArchiveError`, `RebuildInUse`, `ReadModelUnavailable`. Parts detached
    before the error stay detached.
    """
    if before > datetime.now(UTC):
        raise RebuildRefused(
            f"events of before {before:%Y-%m-%d} are still to come: only months that are over are detached"
        )
    done = DetachedParts([], [])
    async with locked(settings.postgres) as connection:
        archive = await _archive(connection, settings)
        if archive is None:
            raise RebuildRefused(
                "no archive is named, and what is detached has to be in one: write it with pulp-tasks archive write,"
                " and set PULP_ARCHIVE for every process"
            )
        generation = await _alone(connection)
        for part in await _attached(connection, generation.number, archive):
            if part.state == "attached" and part.until is not None and part.until <= before:
                await _check(connection, generation.number, part, archive)
                if not is_dry:
                    await _detach(connection, generation.number, part)
                done.detached.append(part)
        if drops:
            done.dropped.extend(await _drop(connection, before, archive, done.detached, is_dry=is_dry))
    return done


async def attach(settings: Settings, names: Sequence[str]) -> list[MonthPart]:
    """Attach parts again that were detached and not dropped.

    Raises `RebuildRefused`, `RebuildInUse`, `ReadModelUnavailable`.
    """
    async with locked(settings.postgres) as connection:
        generation = await _alone(connection)
        months = {month.name: month for month in (await detached(connection)).months}
        for name in names:
            month = months.get(name)
            if month is None:
                there = ", ".join(months) or "none is"
                raise RebuildRefused(
                    f"{name} is not detached: detached are {there}" if months else f"{name} is not detached, {there}"
                )
            if not month.is_kept:
                raise RebuildRefused(
                    f"the rows of {name} were dropped, and cannot be attached: the archive has its events"
                )
        for name in names:
            await _attach(connection, generation.number, months[name])
        return [_of_month(months[name], 0, None) for name in names]


async def _archive(connection: AsyncConnection, settings: Settings) -> Archive | None:
    """The archive, which is that of the topic that the history is of. Raises `ArchiveError`."""
    if settings.archive is None:
        return None
    archive = await asyncio.to_thread(Archive.open, settings.archive)
    for name, topic_id in await (await connection.execute(_SQL["topic"])).fetchall():
        archive.check_topic(name, topic_id)
    return archive


async def _alone(connection: AsyncConnection) -> Generation:
    """The active generation. Raises `RebuildRefused` if there are others, whose history would differ."""
    others = [item for item in await generations(connection) if item.status != "active"]
    if others:
        names = ", ".join(f"{item.number} ({item.status})" for item in others)
        raise RebuildRefused(
            f"there are other generations: {names}. Drop them first: pulp-tasks rebuild prune drops retired ones,"
            " pulp-tasks rebuild cancel one that is being built or is ready"
        )
    return await active(connection)


async def _attached(connection: AsyncConnection, generation: int, archive: Archive | None) -> list[MonthPart]:
    found = []
    for name, since, until, is_rest, size in await _rows(connection, "parts", {"generation": generation}):
        table = Identifier(schema_of(generation), name)
        places = tuple(Places(*row) for row in await _rows(connection, "places", table=table))
        lacking = None if is_rest else lacks(archive, places)
        found.append(MonthPart(name.removeprefix(_TABLE), since, until, places, size, "attached", lacking))
    return found


def _of_month(month: DetachedMonth, size: int, archive: Archive | None) -> MonthPart:
    state = "detached" if month.is_kept else "dropped"
    return MonthPart(month.part, month.since, month.until, month.places, size, state, lacks(archive, month.places))


def lacks(archive: Archive | None, places: Sequence[Places]) -> str | None:
    """What an archive lacks of these places by its manifests; None: nothing. Pure."""
    if archive is None:
        return "no archive is named"
    for place in places:
        manifest = archive.manifests.get(place.partition)
        begin, end = (None, None) if manifest is None else (manifest.begin, manifest.end)
        if begin is None or end is None:
            return f"the archive has nothing of partition {place.partition}"
        if place.first < begin:
            return f"of partition {place.partition} the archive begins at {begin}, and {place.first} is needed"
        if place.last >= end:
            return f"of partition {place.partition} the archive ends before {end}, and {place.last} is needed"
    return None


async def _check(connection: AsyncConnection, generation: int, part: MonthPart, archive: Archive) -> None:
    """Raises `RebuildRefused` unless the part may be detached, and `ArchiveDamaged`."""
    if part.lacking is not None:
        raise RebuildRefused(f"{part.name} is not in the archive: {part.lacking}. Run pulp-tasks archive write")
    await _check_tasks(connection, generation, part, "unfinished", "tasks have not ended, and their events are needed")
    await _check_tasks(connection, generation, part, "waiting", "dead letters wait: pulp-tasks dead-letters list")
    table = Identifier(schema_of(generation), _TABLE + part.part)
    for place in part.places:
        await _compare(connection, table, part, place, archive, f"{part.name} stays in the history")


async def _check_tasks(connection: AsyncConnection, generation: int, part: MonthPart, query: str, why: str) -> None:
    values = {"since": part.since, "until": part.until}
    rows = await _rows(connection, query, values, **_names(generation, part.part))
    found = [task_id or str(Position(partition, offset)) for task_id, partition, offset in rows]
    if found:
        more = ", ..." if len(found) > 3 else ""
        raise RebuildRefused(f"{part.name} stays in the history: {why} ({', '.join(found[:3])}{more})")


async def _compare(
    connection: AsyncConnection, table: Identifier, part: MonthPart, place: Places, archive: Archive, stays: str
) -> None:
    """Raises `RebuildRefused` if the archive lacks an event of a part, or has another one; `ArchiveDamaged`."""
    partition = place.partition
    batches = archive.read(partition, place.first)
    batch: list[Record] = await asyncio.to_thread(next, batches, [])
    records = iter(batch)
    async with connection.transaction(), connection.cursor(name="history", binary=True) as cursor:
        cursor.itersize = _ROWS
        await cursor.execute(_statement("events", table=table), {"partition": partition})
        async for offset, event in cursor:
            record = None
            while record is None or record.offset < offset:
                record = next(records, None)
                if record is None:
                    batch = await asyncio.to_thread(next, batches, [])
                    records = iter(batch)
                    if not batch:
                        break
            if record is None or record.offset != offset or (record.value or b"") != bytes(event):
                raise RebuildRefused(
                    f"{stays}: the archive does not have the event {Position(partition, offset)} of {part.name} as the"
                    " history does. Run pulp-tasks audit verify"
                )


async def _detach(connection: AsyncConnection, generation: int, part: MonthPart) -> None:
    names = _names(generation, part.part)
    values: dict[str, Any] = {
        "part": part.part,
        "since": part.since,
        "until": part.until,
        "places": Json([place._asdict() for place in part.places], dumps=json.dumps),
    }
    await connection.execute(_statement("keep_ends", **names), values)  # before, since they may be many
    async with _switching(connection, generation):
        if await _rows(connection, "lasts", **names) != [(place.partition, place.last) for place in part.places]:
            raise RebuildRefused(f"{part.name}: a clock that ran backwards has added events meanwhile. Try again")
        await _check_tasks(connection, generation, part, "waiting", "dead letters wait: pulp-tasks dead-letters list")
        positions = (await active(connection)).positions
        values["ends"] = [positions[partition] for partition in sorted(positions)]
        await connection.execute(_SQL["add"], values)
        await connection.execute(_statement("keep_effects", **names), values)
        await _soon(connection, _statement("detach", **names))
        await connection.execute(_statement("put_away", **names))


async def _drop(
    connection: AsyncConnection, before: datetime, archive: Archive, now: Sequence[MonthPart], *, is_dry: bool
) -> list[MonthPart]:
    """Drop the rows of all parts of that time that are detached, also since an earlier command.

    Those of an earlier one are compared again: the archive may have lost a file since.
    """
    found = [_of_month(each, 0, archive) for each in (await detached(connection)).months if each.is_kept]
    found = [part for part in found if part.until is not None and part.until <= before]
    compared = {part.name for part in now}
    for part in found:
        if part.lacking is not None:
            raise RebuildRefused(f"the rows of {part.name} are kept: {part.lacking}")
        table = Identifier(_KEPT, _TABLE + part.part)
        for place in part.places if part.name not in compared else ():
            await _compare(connection, table, part, place, archive, f"the rows of {part.name} are kept")
    if is_dry:
        return [*found, *now]
    for part in found:
        async with connection.transaction():
            await connection.execute(_statement("drop", name=Identifier(_TABLE + part.part)))
            await connection.execute(_SQL["set_dropped"], {"part": part.part})
    return found


async def _attach(connection: AsyncConnection, generation: int, month: DetachedMonth) -> None:
    columns = await (
        await connection.execute(
            "select column_name::text from information_schema.columns where table_schema = %s and table_name = %s"
            " order by ordinal_position",
            [schema_of(generation), "task_events"],
        )
    ).fetchall()
    pieces = {
        "schema": Identifier(schema_of(generation)),
        "name": Identifier(_TABLE + month.part),
        "until": Literal(month.until),
        "since": Literal("-infinity" if month.since is None else month.since),
        "bound": SQL("minvalue") if month.since is None else Literal(month.since),
        "columns": SQL(", ").join(Identifier(name) for (name,) in columns),
    }
    await connection.execute(_statement("promise", **pieces))
    async with _switching(connection, generation):
        await _soon(connection, _statement("take_back", **pieces))
        await connection.execute(_SQL["forget"], {"part": month.part})
    await connection.execute(_SQL["forget_ends"], {"part": month.part})


@asynccontextmanager
async def _switching(connection: AsyncConnection, generation: int) -> AsyncIterator[None]:
    """A transaction in which no batch is written, and the generation stays the active one."""
    try:
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '3s'")
            await connection.execute(_BLOCK)
            assert (await active(connection)).number == generation  # the lock on the generations keeps it so
            yield
    except errors.LockNotAvailable as error:
        raise RebuildRefused(
            "readers or batches kept the history locked. Nothing was changed by this step: try again"
        ) from error


async def _soon(connection: AsyncConnection, statement: Composed) -> None:
    """Run a statement that readers wait for, in tries that are short."""
    await connection.execute(SQL("set local lock_timeout = {}").format(_LOCK_WAIT))
    for left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(statement)
            return
        except errors.LockNotAvailable:
            if not left:
                raise
        await asyncio.sleep(_PAUSE_S)


def _names(generation: int, part: str) -> dict[str, Composable]:
    schema = schema_of(generation)
    return {"schema": Identifier(schema), "table": Identifier(schema, _TABLE + part)}


def _statement(name: str, /, **pieces: Composable) -> Composed:
    return SQL(_SQL[name].rstrip(";")).format(**pieces)


async def _rows(connection: AsyncConnection, name: str, values: Any = None, /, **pieces: Composable) -> list[Any]:
    return await (await connection.execute(_statement(name, **pieces), values)).fetchall()


def _order(part: MonthPart) -> tuple[bool, datetime]:
    return (part.until is None, part.until or datetime.min.replace(tzinfo=UTC))
