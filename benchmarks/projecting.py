"""`live`, `evidence`, `growth`, `skew`, `rebuild` and their likes: how fast events in Kafka become rows."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Identifier
from pulp_projections.generations import create_indexes, create_tables
from pulp_projections.reading.positions import Positions
from pulp_projections.sql import load
from pulp_transparency.key_files import make_key
from pulp_transparency.settings import ring_beside

from benchmarks.load import EVENTS_PER_TASK, encoded, produce
from benchmarks.measure import LIMIT, OURS, Measure, Sizes, ratio_at_least
from benchmarks.plain import plain
from benchmarks.scene import LIMIT_S, PARTITIONS, Scene, Servers, following, scene

_TASKS = 20_000
_QUICK_TASKS = 1000
_EARLIER = 4
"""How many times the measured events a rebuild must fill in addition."""
_GROWN_TASKS = 500_000
_QUICK_GROWN_TASKS = 4000
_TRANSACTION = 5000
_SQL = load("benchmarks", "grown.sql")
_READING = "reading from the positions in Postgres"
"""What a processor logs just before its first fetch."""
_KEPT = "the log is kept"
"""What the process that keeps the log says just before its first fetch."""
_TABLES: dict[LiteralString, LiteralString] = {
    "task_events": "partition, record_offset",
    "tasks": "partition, accepted_offset",
    "task_resources": "accepted_at, task_id",
}
"""The largest tables → the order in which their rows arrive."""
_finished: dict[tuple[str, int], list[bytes]] = {}
"""(table, number of tasks) → its rows as COPY writes them, which the limits copy again."""


async def live(
    servers: Servers,
    sizes: Sizes,
    *,
    processors: int = 1,
    partitions: int = PARTITIONS,
    one_task: bool = False,
    grown: bool = False,
    evidence: bool = False,
) -> Mapping[str, float]:
    """Events per second, from just before the first fetch to the last commit.

    With `evidence` the process that keeps the log reads the same events at the same time, all of them, as it does after
    a long time away: nothing costs the live path more.
    """
    tasks = sizes.of(_TASKS, _QUICK_TASKS)
    events = encoded(1, tasks * EVENTS_PER_TASK) if one_task else encoded(tasks)
    async with scene(servers) as made:
        if grown:
            await _grow(made, sizes.of(_GROWN_TASKS, _QUICK_GROWN_TASKS))
        produce(servers.kafka, made.topics.events, partitions, events)
        async with following(made.database) as positions:
            if evidence:
                await _keep_log(made)
            for number in range(processors):
                await made.start(f"processor-{number}", "processor")
            rate = await _rate(made, positions, len(events))
        if not grown:
            await _remember(made, tasks)
        return {"": rate}


async def _keep_log(made: Scene) -> None:
    key = made.folder / "key"
    make_key(key, ring_beside(key), "benchmark/events")
    folder = str(made.folder / "tiles")
    await made.start("transparency", "transparency", PULP_TRANSPARENCY_KEY=str(key), PULP_TRANSPARENCY_FOLDER=folder)
    await _told(made, "transparency", _KEPT)


async def _grow(made: Scene, tasks: int) -> None:
    """Write the rows of this many earlier tasks."""
    async with await psycopg.AsyncConnection.connect(made.database, autocommit=True) as connection:
        for statement in _SQL.values():
            await connection.execute(statement, {"tasks": tasks})


async def _rate(made: Scene, positions: Positions, events: int) -> float:
    await _told(made, "processor", _READING)
    began_s = time.perf_counter()
    await projected(positions, events)
    return events / (time.perf_counter() - began_s)


async def _told(made: Scene, name: str, text: str) -> None:
    """Wait until a process with this name prefix has logged this text."""
    async with asyncio.timeout(LIMIT_S):
        while not any(text in log.read_text() for log in made.folder.glob(f"{name}*.log")):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def projected(positions: Positions, events: int) -> None:
    """Wait until this many events are projected."""
    seen = await positions.changed(0, LIMIT_S)
    while (done := sum(positions.current().values())) < events:
        moves = await positions.changed(seen, LIMIT_S)
        if moves == seen:
            raise RuntimeError(f"the projection stands at {done} of {events} events")
        seen = moves


async def _remember(made: Scene, tasks: int) -> None:
    async with await psycopg.AsyncConnection.connect(made.database) as connection:
        for table, order in _TABLES.items():
            if (table, tasks) in _finished:
                continue
            statement = SQL("copy (select * from {} order by " + order + ") to stdout").format(Identifier(table))
            async with connection.cursor().copy(statement) as copy:
                text = b"".join([bytes(part) async for part in copy])
            _finished[table, tasks] = text.splitlines(keepends=True)


async def copied(servers: Servers, sizes: Sizes, *, connections: int = 1) -> Mapping[str, float]:
    """COPY of the finished history rows into the same indexed table, by one or several connections."""
    rows = _finished["task_events", sizes.of(_TASKS, _QUICK_TASKS)]
    part = -(-len(rows) // connections)
    async with scene(servers) as made, AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(made.database, autocommit=True))
            for _ in range(connections)
        ]
        began_s = time.perf_counter()
        await asyncio.gather(
            *(
                _copy(connection, 1, "task_events", rows[number * part : (number + 1) * part])
                for number, connection in enumerate(opened)
            )
        )
        return {"": len(rows) / (time.perf_counter() - began_s)}


async def _copy(connection: psycopg.AsyncConnection, generation: int, table: str, rows: Sequence[bytes]) -> None:
    statement = SQL("copy {}.{} from stdin").format(Identifier(f"generation_{generation}"), Identifier(table))
    for start in range(0, len(rows), _TRANSACTION):
        async with connection.cursor().copy(statement) as copy:
            await copy.write(b"".join(rows[start : start + _TRANSACTION]))


async def rebuild(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """Events per second into an empty generation, until it is ready for activation."""
    events = encoded(sizes.of(_TASKS, _QUICK_TASKS))
    async with scene(servers) as made:
        produce(servers.kafka, made.topics.events, PARTITIONS, events)
        async with following(made.database) as positions:
            await made.start("processor", "processor")
            await _rate(made, positions, len(events))
        await _remember(made, sizes.of(_TASKS, _QUICK_TASKS))
        await made.start("rebuild", "rebuild")
        await _told(made, "rebuild", "filling")
        began_s = time.perf_counter()
        await _told(made, "rebuild", "is ready")
        return {"": len(events) / (time.perf_counter() - began_s)}


async def live_beside(servers: Servers, sizes: Sizes, *, rebuilds: bool) -> Mapping[str, float]:
    """Events per second of the live projection that come last, perhaps while a rebuild fills a generation with all.

    Raises `RuntimeError` if the rebuild had ended before: then nothing was measured.
    """
    tasks = sizes.of(_TASKS, _QUICK_TASKS)
    earlier, later = encoded(tasks * _EARLIER), encoded(tasks)
    async with scene(servers) as made, following(made.database) as positions:
        produce(servers.kafka, made.topics.events, PARTITIONS, earlier)
        await made.start("processor-before", "processor")
        await projected(positions, len(earlier))
        await made.stop()
        produce(servers.kafka, made.topics.events, PARTITIONS, later)
        if rebuilds:
            await made.start("rebuild", "rebuild")
            await _told(made, "rebuild", "filling")
        await made.start("measured", "processor")
        await _told(made, "measured", _READING)
        began_s = time.perf_counter()
        await projected(positions, len(earlier) + len(later))
        rate = len(later) / (time.perf_counter() - began_s)
        if rebuilds and not sizes.is_quick and "is ready" in (made.folder / "rebuild.log").read_text():
            raise RuntimeError("the rebuild ended before the live projection: more earlier events are needed")
        return {"": rate}


async def copied_without_indexes(servers: Servers, sizes: Sizes) -> Mapping[str, float]:
    """COPY of the same rows by one connection into tables whose indexes are built afterwards."""
    tasks = sizes.of(_TASKS, _QUICK_TASKS)
    async with (
        scene(servers) as made,
        await psycopg.AsyncConnection.connect(made.database, autocommit=True) as connection,
    ):
        began_s = time.perf_counter()
        await create_tables(connection, 2, PARTITIONS)
        for table in _TABLES:
            await _copy(connection, 2, table, _finished[table, tasks])
        await create_indexes(connection, 2)
        for table in _TABLES:
            await connection.execute(SQL("analyze generation_2.{}").format(Identifier(table)))
        return {"": tasks * EVENTS_PER_TASK / (time.perf_counter() - began_s)}


MEASURES = (
    Measure(
        name="live",
        what="lifecycle events in Kafka, one processor through Faust, history and read model with their indexes",
        unit="events/s",
        goal="0.75 of the limit: COPY of the finished history rows by one connection",
        sides={
            OURS: live,
            LIMIT: copied,
            f"COPY by {PARTITIONS} connections, as many as ours": partial(copied, connections=PARTITIONS),
            "plain Python, 500 events a commit": partial(plain, per_commit=500),
            "plain Python, an event a commit": partial(plain, per_commit=1),
        },
        rounds=5,  # it varies most
    ),
    Measure(
        name="live-2",
        what="the same with two processors, against one",
        unit="events/s",
        goal="0.95 of one on two cores, 1.5 from six cores on",
        sides={OURS: partial(live, processors=2), "one processor": live},
    ),
    Measure(
        name="evidence",
        what="the same while the log that shows alterations is made of the same events, against without",
        unit="events/s",
        goal="0.98 of without",
        sides={OURS: partial(live, evidence=True), "without": live},
        rounds=5,
    ),
    Measure(
        name="growth",
        what="the same with 5 million events of 500,000 tasks there before, against none",
        unit="events/s",
        goal="0.85 of the empty one",
        sides={OURS: partial(live, grown=True), "empty": live},
    ),
    Measure(
        name="skew",
        what="one partition of four holds all tasks, against four",
        unit="events/s",
        goal="0.7 of live",
        sides={OURS: partial(live, partitions=1), "four partitions": live},
    ),
    Measure(
        name="skew-task",
        what="one task has all events, against four partitions of tasks",
        unit="events/s",
        goal="0.7 of live",
        sides={OURS: partial(live, one_task=True), "four partitions": live},
    ),
    Measure(
        name="rebuild",
        what="the same events into an empty generation, until it could be activated",
        unit="events/s",
        goal="0.9 of the limit: COPY of the same rows by one connection, indexes after",
        sides={OURS: rebuild, LIMIT: copied_without_indexes},
    ),
    Measure(
        name="rebuild-live",
        what="lifecycle events, live, while a rebuild fills five times as many, against without a rebuild",
        unit="events/s",
        goal="",
        goals={"": ratio_at_least(0.75)},
        sides={OURS: partial(live_beside, rebuilds=True), "without": partial(live_beside, rebuilds=False)},
    ),
)
