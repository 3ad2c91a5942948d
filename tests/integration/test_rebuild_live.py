"""Rebuild, activation and rollback while a processor projects, readers read and events come in."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from pulp_events.log import KafkaLog
from pulp_events.reader import Reader
from pulp_events.topics import Topics
from pulp_processor.main import serve
from pulp_processor.rebuilding import activation, rebuild
from pulp_processor.rebuilding.errors import RebuildCancelled, RebuildInUse, RebuildRefused
from pulp_processor.rebuilding.progress import Progress
from pulp_processor.settings import Settings
from pulp_projections.reading.positions import Positions

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.projection import append_all, execute, project, rows, settings_of, stories
from tests.support.records import PlainFold, life
from tests.support.site import V2, V3, site

LIMIT_S = 60
VIEWS = ("tasks", "task_events")


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    # No worker runs the tasks of these stories: the reactor must not end them during a test.
    return settings_of(backend.kafka, database, topics, batch_records=50, lease_margin_s=600)


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    yield log
    await log.close()


@asynccontextmanager
async def processor(settings: Settings) -> AsyncIterator[None]:
    """A processor that runs, and has stopped without an error at the end."""
    stopping = asyncio.Event()
    running = asyncio.create_task(serve(settings, stopping))
    try:
        yield
    finally:
        stopping.set()
        async with asyncio.timeout(LIMIT_S):
            await running


@asynccontextmanager
async def traffic(log: KafkaLog) -> AsyncIterator[None]:
    """Tasks that come and go, all the time. Afterwards nothing more arrives."""
    over = asyncio.Event()

    async def go_on() -> None:
        number = 0
        while not over.is_set():
            for event in life(uuid4()):
                await log.append(event, number % PARTITIONS)
            number += 1

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        over.set()
        await task  # an append that is cancelled may be in the log a moment later


async def reached(settings: Settings, ends: dict[int, int]) -> None:
    """Wait until the active generation is at the ends."""
    positions = Positions(settings.postgres)
    await positions.start()
    try:
        await positions.reach(ends, LIMIT_S)
    finally:
        await positions.close()


async def test_a_rebuild_under_way_of_traffic_becomes_active_and_goes_on(settings: Settings, log: KafkaLog) -> None:
    await append_all(log, stories(1, PARTITIONS))
    async with processor(settings):
        async with traffic(log):
            await rebuild.start(settings)
            assert (await rebuild.verify(settings)).is_equal
            switched = await activation.activate(settings)
            await reached(settings, {partition: end + 20 for partition, end in switched.positions.items()})
            back = await activation.rollback(settings)
            assert all(back.positions[partition] >= end for partition, end in switched.positions.items())
            await reached(settings, {partition: end + 20 for partition, end in back.positions.items()})
        ends = await log.end_offsets()
        await reached(settings, ends)
        await activation.rollback(settings)
    assert [item.positions for item in await rebuild.status(settings)] == [ends, ends]
    for table in ("tasks", "task_events", "dead_letters"):
        assert await rows(settings.postgres, table, 1) == await rows(settings.postgres, table, 2)
    await is_what_the_log_says(settings, ends)


async def is_what_the_log_says(settings: Settings, ends: dict[int, int]) -> None:
    """The active generation equals a plain reading of the log."""
    plain: dict[str, object] = {}
    effects: dict[tuple[int, int], str] = {}
    with Reader(settings.kafka, settings.topics.events, dict.fromkeys(ends, 0)) as reader:
        folds = {partition: PlainFold() for partition in ends}
        for partition, records in reader.until(ends):
            folds[partition].read(records)
    for partition, fold in folds.items():
        effects |= {(partition, offset): effect for offset, effect in fold.effects}
        plain |= {task_id: (task.state, task.version, task.last_offset) for task_id, task in fold.tasks.items()}
    found = await rows(settings.postgres, "tasks")
    assert {str(row["task_id"]): (row["state"], row["version"], row["last_offset"]) for row in found} == plain
    history = await rows(settings.postgres, "task_events")
    assert {(row["partition"], row["record_offset"]): row["effect"] for row in history} == effects


async def test_no_reader_sees_a_mix_of_two_generations(settings: Settings, log: KafkaLog) -> None:
    task_id = uuid4()
    await append_all(log, [(event, 0) for event in life(task_id)])
    await project(settings, await log.end_offsets())
    await rebuild.start(settings)
    # The marks show which generation a row belongs to.
    await execute(settings.postgres, "update generation_1.tasks set queue = 'generation 1'")
    await execute(settings.postgres, "update generation_1.task_events set actor = 'generation 1'")
    ending, seen = asyncio.Event(), set[str]()
    readers = [asyncio.create_task(read(settings.postgres, task_id, order, ending, seen)) for order in (1, -1, 1, -1)]
    await activation.activate(settings, unverified=True)
    for _ in range(3):
        await activation.rollback(settings)
    ending.set()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*readers)
    assert seen == {"generation 1", "another"}


async def read(postgres: str, task_id: UUID, order: int, ending: asyncio.Event, seen: set[str]) -> None:
    """Reads both views in one transaction, in one order or the other, again and again."""
    columns = {"tasks": "queue", "task_events": "actor"}
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        while not ending.is_set():
            found = set()
            async with connection.transaction():
                for view in VIEWS[::order]:
                    cursor = await connection.execute(
                        f"select distinct case when {columns[view]} = 'generation 1' then 'generation 1'"
                        f" else 'another' end from {view} where task_id = %s",
                        [task_id],
                    )
                    found |= {row[0] for row in await cursor.fetchall()}
            assert len(found) == 1
            seen |= found


async def test_a_rebuild_that_was_killed_goes_on_where_it_was(
    settings: Settings, log: KafkaLog, backend: Backend, topics: Topics
) -> None:
    await append_all(log, stories(1, PARTITIONS, length=1000))
    ends = await log.end_offsets()
    await project(settings, ends)
    # It kills itself with SIGKILL after some batches of the rebuild.
    program = f"""
import asyncio, os, signal
from pulp_processor.consuming import internals
from pulp_processor.rebuilding import rebuild
from pulp_processor.settings import Settings
from pulp_events.topics import Topics
def report(progress):
    if progress.phase == "filling" and progress.percent > 30:
        os.kill(os.getpid(), signal.SIGKILL)
settings = Settings(kafka={settings.kafka!r}, postgres={settings.postgres!r}, topics=Topics{tuple(settings.topics)!r},
                    batch_records=20)
from pulp_processor.rebuilding import progress as rebuild_progress
rebuild_progress._EVERY_S = 0
internals.install()
asyncio.run(rebuild.start(settings, report))
"""
    child = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], timeout=LIMIT_S, check=False)
    assert child.returncode == -signal.SIGKILL
    (_, left) = await rebuild.status(settings)
    assert left.status == "building"
    assert 0 < left.percent < 100
    with pytest.raises(RebuildRefused, match=r"generation 2 is building .* resume"):
        await rebuild.start(settings)
    first: list[Progress] = []
    await rebuild.resume(settings, first.append)
    assert first[0].done == sum(left.positions.values())
    assert (await rebuild.verify(settings)).is_equal


async def test_a_rebuild_is_cancelled_by_another_process(settings: Settings, log: KafkaLog) -> None:
    await append_all(log, stories(1, PARTITIONS))
    await project(settings, await log.end_offsets())
    under_way, going_on = threading.Event(), threading.Event()

    def report(progress: Progress) -> None:
        if progress.done:
            under_way.set()
            going_on.wait(LIMIT_S)  # stopped, perhaps in the middle of other partitions' transactions

    building = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(rebuild.start(settings, report))))
    assert await asyncio.to_thread(under_way.wait, LIMIT_S)
    with pytest.raises(RebuildInUse, match=r"pulp-rebuild .*:\d+ .*works on the generations"):
        await activation.activate(settings)
    assert await rebuild.cancel(settings) == 2
    going_on.set()
    with pytest.raises(RebuildCancelled):
        await building
    assert [item.number for item in await rebuild.status(settings)] == [1]
    with pytest.raises(RebuildRefused, match="no rebuild is under way"):
        await rebuild.cancel(settings)
    assert await rebuild.start(settings) == 2


async def test_two_rebuilds_at_once_are_one_and_a_refusal(settings: Settings, log: KafkaLog) -> None:
    await append_all(log, stories(1, PARTITIONS))
    await project(settings, await log.end_offsets())
    results = await asyncio.gather(rebuild.start(settings), rebuild.start(settings), return_exceptions=True)
    assert 2 in results
    (refusal,) = (result for result in results if result != 2)
    assert isinstance(refusal, RebuildInUse | RebuildRefused)


async def test_letters_that_were_not_sent_are_sent_by_the_new_generation(settings: Settings, log: KafkaLog) -> None:
    from pulp_processor.dead_letters import raw_producer
    from pulp_processor.dead_letters.raw_producer import RawRecord

    producer = raw_producer.make(settings.kafka)
    garbage = [RawRecord(b"k", b"no event", (), 1) for _ in range(3)]
    await asyncio.to_thread(raw_producer.append, producer, settings.topics.events, garbage)
    ends = await log.end_offsets()
    await project(settings, {**ends, 1: 2})
    await execute(settings.postgres, "update generation_1.dead_letters set sent = true where record_offset = 0")
    await rebuild.start(settings)
    await activation.activate(settings, unverified=True)
    found = await execute(settings.postgres, "select record_offset, sent from dead_letters order by record_offset")
    assert found == [(0, True), (1, False), (2, False)]


async def test_clients_that_hammer_lists_and_tasks_never_see_a_mix(settings: Settings, log: KafkaLog) -> None:
    """Generation 1 lacks a task and is marked, so every answer shows which generation each part comes from."""
    tasks, gone = [uuid4() for _ in range(12)], uuid4()
    await append_all(log, [(event, 0) for task_id in (*tasks, gone) for event in life(task_id)])
    await project(settings, await log.end_offsets())
    await rebuild.start(settings)
    for statement in (
        "update generation_1.tasks set queue = 'generation 1', created_by = 'user:generation 1'",
        "update generation_1.task_events set actor = 'user:generation 1'",
        f"delete from generation_1.tasks where task_id = '{gone}'",
        f"delete from generation_1.task_resources where task_id = '{gone}'",
        "update generation_1.task_counts set tasks = tasks - 1 where state = 'successful'",
        "update generation_1.task_days set tasks = tasks + 100",
    ):
        await execute(settings.postgres, statement)
    ending, seen = asyncio.Event(), set[tuple[str, bool]]()

    def told(path: str, body: Any) -> bool:
        """Whether an answer is of generation 1; it fails if it is of both."""
        marks: set[bool]
        if path.endswith("history/"):
            marks = {row["actor"] == "user:generation 1" for row in body["results"]}
        elif "statistics" in path:
            marks = {row["tasks"] > 100 for row in body["results"]}
        else:
            rows_ = body if isinstance(body, list) else body.get("results", [body])
            marks = {row["queue"] == "generation 1" for row in rows_}
            if "count" in body:
                marks |= {body["count"] == len(tasks), len(rows_) == len(tasks)}
        assert len(marks) == 1, (path, body)
        return marks.pop()

    async def hammer(client: httpx.AsyncClient, *paths: str) -> None:
        while not ending.is_set():
            for path in paths:
                answer = await client.get(path)
                assert answer.status_code == 200, (path, answer.text)
                seen.add((path, told(path, answer.json())))

    lists = tuple(f"{V3}/tasks/{query}" for query in ("", "?state=completed", "?name=sync", "?ordering=pulp_created"))
    one = f"{V3}/tasks/{tasks[3]}/"
    single = (one, f"{one}history/", f"{V3}/statistics/days/?since=2020-01-01&until=2029-12-30")
    by_resource = (f"{V3}/tasks/?reserved_resources=repository:zoo", f"{V2}/tasks/")
    wanted = 2 * len({*lists, *single, *by_resource})
    async with site(settings.postgres) as api:
        clients = [
            asyncio.create_task(hammer(api.client, *paths)) for paths in (lists, single, by_resource, lists[::-1])
        ]
        await activation.activate(settings, unverified=True)
        for _ in range(5):
            await activation.rollback(settings)
        async with asyncio.timeout(LIMIT_S):
            while len(seen) < wanted and not any(client.done() for client in clients):
                await activation.rollback(settings)
        ending.set()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*clients)
    assert seen == {(path, is_first) for path in (*lists, *single, *by_resource) for is_first in (True, False)}
