"""A rebuild in several processes: the faults that any of them meets, and that none outlives the main one."""

import asyncio
import subprocess
import sys
from textwrap import indent

import psutil
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.rebuilding import rebuild
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.projection import append_all, project, settings_of, stories

_LIMIT_S = 60
_PROGRAM = """
import asyncio, os, psutil, signal, threading
from pulp_events.topics import Topics
from pulp_processor.consuming import internals
from pulp_processor.rebuilding import rebuild, progress as rebuild_progress
from pulp_processor.rebuilding.fill_processes import FillProcesses
from pulp_processor.rebuilding.fill import fill
from pulp_processor.settings import Settings
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may have been told to ignore it
settings = Settings(kafka={kafka!r}, postgres={postgres!r}, topics=Topics{topics!r}, batch_records=20)
rebuild_progress._EVERY_S = 0
internals.install()
children = psutil.Process().children
def report(progress):
    if progress.phase == "filling" and progress.percent > 30 and not under_way:
        under_way.append(True)
        then()
under_way = []
{before}
with FillProcesses(3) as made:
    print(*(child.pid for child in children()), flush=True)
    try:
{body}
    except Exception as error:
        print(type(error).__name__, error)
print("left:", children())
"""


@pytest.fixture
async def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    """The settings of an installation with some tasks."""
    found = settings_of(backend.kafka, database, topics)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS, length=1000))
    await project(found, await log.end_offsets())
    await log.close()
    return found


async def run(settings: Settings, body: str, before: str = "") -> tuple[int, list[int], list[str]]:
    """The exit status of a program that fills in three processes, their pids, and its other lines."""
    program = _PROGRAM.format(
        kafka=settings.kafka,
        postgres=settings.postgres,
        topics=tuple(settings.topics),
        before=before,
        body=indent(body, " " * 8),
    )
    command = [sys.executable, "-c", program]
    ended = await asyncio.to_thread(
        subprocess.run, command, timeout=_LIMIT_S, check=False, capture_output=True, text=True
    )
    pids, *lines = ended.stdout.splitlines()
    return ended.returncode, [int(pid) for pid in pids.split()], lines


async def test_it_is_the_same_as_in_one(settings: Settings) -> None:
    code, pids, lines = await run(settings, "asyncio.run(rebuild.start(settings, filler=made.filler))")
    assert (code, len(pids), lines) == (0, 3, ["left: []"])
    found = await rebuild.verify(settings)
    assert found.is_equal
    assert found.rows["task_events"][0] > 0


async def test_spawned_processes_read_as_forked_ones_do(settings: Settings) -> None:
    """A spawned process inherits none of this one's library settings."""
    before = """
import multiprocessing
from pulp_processor.rebuilding import fill_processes
fill_processes._context = multiprocessing.get_context("spawn")
"""
    code, _, _ = await run(settings, "asyncio.run(rebuild.start(settings, filler=made.filler))", before)
    assert code == 0
    assert (await rebuild.verify(settings)).is_equal


async def test_live_processes_come_first_on_the_machine(settings: Settings) -> None:
    body = """
def then():
    print(*(child.nice() for child in children()), psutil.Process().nice() < 19)
asyncio.run(rebuild.start(settings, report, made.filler))
"""
    code, _, lines = await run(settings, body)
    assert (code, lines) == (0, ["19 19 19 True", "left: []"])


async def test_one_that_is_killed_interrupts_the_rebuild(settings: Settings) -> None:
    body = """
def then():
    children()[0].kill()
asyncio.run(rebuild.start(settings, report, made.filler))
"""
    code, _, lines = await run(settings, body)
    assert code == 0
    assert lines[0].startswith("RebuildInterrupted the process that filled partition ")
    assert lines[0].endswith(" ended (-9). What was filled stays: resume the rebuild")
    assert lines[1:] == ["left: []"]
    (_, left) = await rebuild.status(settings)
    assert (left.status, left.percent < 100) == ("building", True)
    await rebuild.resume(settings)
    assert (await rebuild.verify(settings)).is_equal


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGINT"])
async def test_they_end_with_the_one_that_commands(settings: Settings, signal: str) -> None:
    body = f"""
def then():
    os.kill(os.getpid(), signal.{signal})
asyncio.run(rebuild.start(settings, report, made.filler))
"""
    code, pids, _ = await run(settings, body)
    assert code != 0
    _, alive = await asyncio.to_thread(psutil.wait_procs, [at for at in map(_process, pids) if at], timeout=_LIMIT_S)
    assert alive == []
    await rebuild.resume(settings)
    assert (await rebuild.verify(settings)).is_equal


async def test_it_is_cancelled_by_another_process(settings: Settings) -> None:
    body = """
def then():
    other = threading.Thread(target=lambda: asyncio.run(rebuild.cancel(settings)))
    other.start()
    other.join()
asyncio.run(rebuild.start(settings, report, made.filler))
"""
    code, _, lines = await run(settings, body)
    assert (code, lines) == (0, ["RebuildCancelled the rebuild of generation 2 was cancelled", "left: []"])
    assert [item.number for item in await rebuild.status(settings)] == [1]


async def test_what_one_of_them_meets_is_raised(settings: Settings) -> None:
    body = "asyncio.run(fill(settings, 99, {0: 5, 1: 5, 2: 5}, print, made.filler))"
    _, _, lines = await run(settings, body)
    assert lines == ["RebuildCancelled the rebuild of generation 99 was cancelled", "left: []"]

    await rebuild.start(settings)
    await _cut(settings, partition=2)
    body = """
import psycopg
with psycopg.connect(settings.postgres, autocommit=True) as connection:
    connection.execute("truncate generation_2.task_events, generation_2.tasks")
    connection.execute("update generation_2.positions set next_offset = 0")
asyncio.run(fill(settings, 2, {2: 9}, lambda *_: None, made.filler))
"""
    _, _, lines = await run(settings, body)
    assert lines[0].startswith("OffsetOutOfRange ")
    assert lines[1:] == ["left: []"]


async def test_nothing_is_written_any_more_once_it_has_failed(settings: Settings) -> None:
    body = """
try:
    asyncio.run(fill(settings, 99, {0: 5, 1: 5, 2: 5}, print, made.filler))
finally:
    print("still there:", children())
"""
    _, pids, lines = await run(settings, body)
    assert len(pids) == 3
    assert lines[0] == "still there: []"


async def _cut(settings: Settings, partition: int) -> None:
    admin = AdminClient({"bootstrap.servers": str(settings.kafka)})  # its futures end only while it lives
    cut = admin.delete_records([TopicPartition(settings.topics.events, partition, 5)], request_timeout=20)
    for future in cut.values():
        await asyncio.to_thread(future.result)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
