"""`pulp-tasks verify`: the live read model against the log, with differences that were planted."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from pulp_events.events import Event
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.rebuilding import activation, rebuild
from pulp_processor.rebuilding.compare import MISSING
from pulp_processor.rebuilding.errors import RebuildInUse
from pulp_processor.rebuilding.generations import locked
from pulp_processor.rebuilding.progress import Phase, Progress
from pulp_processor.rebuilding.verify import verify
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.command import environment, pulp_tasks
from tests.support.events import accepted
from tests.support.projection import append_all, execute, project, rows, settings_of
from tests.support.records import life

LIMIT_S = 60
BEFORE, TASK, AFTER = uuid4(), uuid4(), uuid4()
EVENTS_EACH = 6
POSITIONS = {0: 0, 1: 3 * EVENTS_EACH, 2: 0, 3: 0}
LAST_OF_TASK = str(2 * EVENTS_EACH - 1)


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    return settings_of(backend.kafka, database, topics)


@pytest.fixture
async def log(backend: Backend, topics: Topics, settings: Settings) -> AsyncIterator[KafkaLog]:
    """Three tasks in one partition, one after the other, `TASK` in the middle; projected."""
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, [(event, 1) for task_id in (BEFORE, TASK, AFTER) for event in life(task_id)])
    await project(settings, await log.end_offsets())
    yield log
    await log.close()


async def generations(settings: Settings) -> list[tuple[int, str]]:
    return [(item.number, item.status) for item in await rebuild.status(settings)]


async def schemas(settings: Settings) -> list[str]:
    found = await execute(settings.postgres, "select nspname::text from pg_namespace where nspname ~ '^generation_'")
    return [name for (name,) in found]


async def test_a_read_model_that_is_the_fold_of_its_log_is_equal(settings: Settings, log: KafkaLog) -> None:
    await append_all(log, [(event, 2) for event in life(uuid4())])  # not projected yet, which is not a difference
    before = {table: await rows(settings.postgres, table) for table in ("tasks", "task_events", "positions")}
    seen: list[Progress] = []
    found = await verify(settings, seen.append)
    assert (found.is_equal, found.generation, found.positions) == (True, 1, POSITIONS)
    days = found.rows.pop("task_days")
    assert 1 <= days[0] == days[1] <= 3  # as many as there are different durations
    assert found.rows == {
        "tasks": (3, 3),
        "task_events": (18, 18),
        "dead_letters": (0, 0),
        "task_counts": (1, 1),
        "task_resources": (3, 3),
        "task_causes": (0, 0),
    }
    assert (seen[0].phase, seen[-1].phase) == (Phase.FILLING, Phase.COMPARING)
    assert before == {table: await rows(settings.postgres, table) for table in before}
    assert (await generations(settings), await schemas(settings)) == ([(1, "active")], ["generation_1"])


async def test_a_changed_value_is_found_with_the_event_that_it_comes_from(settings: Settings, log: KafkaLog) -> None:
    await execute(settings.postgres, "update generation_1.tasks set worker = 'w9' where task_id = %s", [TASK])
    found = await verify(settings)
    assert found.differences == {"tasks.worker": 1}
    (first,) = found.examples
    assert (first.table, first.column, first.active, first.other) == ("tasks", "worker", "w9", "w1")
    assert first.at == ("1", LAST_OF_TASK, str(TASK))
    assert await schemas(settings) == ["generation_1"]


async def test_a_missing_row_of_the_history_is_found(settings: Settings, log: KafkaLog) -> None:
    await execute(settings.postgres, "delete from generation_1.task_events where (partition, record_offset) = (1, 7)")
    found = await verify(settings)
    assert found.differences == {f"task_events.{MISSING}": 1}
    (first,) = found.examples
    assert (first.active, first.other, first.at) == ("missing", "there", ("1", "7", str(TASK)))
    assert found.rows["task_events"] == (17, 18)


async def test_a_task_too_many_is_found(settings: Settings, log: KafkaLog) -> None:
    stranger = str(uuid4())
    await execute(
        settings.postgres,
        "insert into generation_1.tasks select (jsonb_populate_record(t, jsonb_build_object('task_id', %s::text))).*"
        " from generation_1.tasks t where task_id = %s",
        [stranger, TASK],
    )
    found = await verify(settings)
    assert found.differences == {f"tasks.{MISSING}": 1, "task_counts.tasks": 1, f"task_resources.{MISSING}": 1}
    first, counter, _ = found.examples
    assert (first.active, first.other, first.at) == ("there", "missing", ("1", LAST_OF_TASK, stranger))
    assert (counter.active, counter.other) == ("3", "4")


@pytest.mark.parametrize(
    ("change", "active", "other"),
    [
        ("update generation_1.task_counts set tasks = tasks + 2 where state = 'successful'", "5", "3"),
        ("delete from generation_1.task_counts where state = 'successful'", "0", "3"),
    ],
)
async def test_a_counter_that_is_wrong_is_found(
    settings: Settings, log: KafkaLog, change: str, active: str, other: str
) -> None:
    await execute(settings.postgres, change)
    found = await verify(settings)
    assert found.differences == {"task_counts.tasks": 1}
    (first,) = found.examples
    assert first.key == ("1", "successful", "sync")
    assert (first.active, first.other, first.at) == (active, other, None)


async def test_a_task_that_is_not_found_by_its_resource_is_found(settings: Settings, log: KafkaLog) -> None:
    await execute(settings.postgres, "delete from generation_1.task_resources where task_id = %s", [TASK])
    found = await verify(settings)
    assert found.differences == {f"task_resources.{MISSING}": 1}
    (first,) = found.examples
    assert first.key == (str(TASK), "repository:zoo", "e")
    assert (first.active, first.other, first.at) == ("missing", "there", ("1", str(EVENTS_EACH), str(TASK)))
    assert found.rows["task_resources"] == (2, 3)


@pytest.mark.parametrize(
    "change", ["access = 's'", "resource = 'repository:bar'", "accepted_at = accepted_at + interval '1 second'"]
)
async def test_a_task_that_is_found_by_what_it_does_not_use_is_found(
    settings: Settings, log: KafkaLog, change: str
) -> None:
    await execute(settings.postgres, f"update generation_1.task_resources set {change} where task_id = '{TASK}'")
    found = await verify(settings)
    assert found.differences == {f"task_resources.{MISSING}": 2}
    assert {(each.active, each.other) for each in found.examples} == {("missing", "there"), ("there", "missing")}


@pytest.mark.parametrize(
    ("plant", "column", "active", "other"),
    [
        ("delete from generation_1.task_causes", MISSING, "missing", "there"),
        (f"update generation_1.task_causes set cause = '{AFTER}'", "cause", str(AFTER), str(TASK)),
    ],
)
async def test_a_wrong_cause_of_a_task_is_found(
    settings: Settings, log: KafkaLog, plant: str, column: str, active: str, other: str
) -> None:
    again = uuid4()
    await append_all(log, [(accepted(again, rerun_of=TASK), 2)])
    await project(settings, await log.end_offsets())
    sound = await verify(settings)
    assert (sound.is_equal, sound.rows["task_causes"]) == (True, (1, 1))
    await execute(settings.postgres, plant)
    found = await verify(settings)
    assert found.differences == {f"task_causes.{column}": 1}
    (first,) = found.examples
    assert (first.key, first.active, first.other) == ((str(again),), active, other)


async def test_a_row_too_many_in_the_history_is_found(settings: Settings, log: KafkaLog) -> None:
    await execute(
        settings.postgres,
        "insert into generation_1.task_events select (jsonb_populate_record(e, '{\"record_offset\": 1000007}')).*"
        " from generation_1.task_events e where (partition, record_offset) = (1, 7)",
    )
    found = await verify(settings)
    assert found.differences == {f"task_events.{MISSING}": 1}
    (first,) = found.examples
    assert (first.active, first.other, first.at) == ("there", "missing", ("1", "1000007", str(TASK)))


async def test_what_comes_in_meanwhile_is_compared_as_well(settings: Settings, log: KafkaLog) -> None:
    waiting = [life(uuid4())]

    async def arrive(events: list[Event]) -> None:
        own = KafkaLog(settings.kafka, settings.topics.events, PARTITIONS)
        await own.start()
        await append_all(own, [(event, 3) for event in events])
        await project(settings, await own.end_offsets())
        await own.close()

    def report(progress: Progress) -> None:
        if waiting:  # the fold has only begun: it pauses until these are projected
            arriving = threading.Thread(target=asyncio.run, args=[arrive(waiting.pop())])
            arriving.start()
            arriving.join(LIMIT_S)

    found = await verify(settings, report)
    assert (found.is_equal, found.positions) == (True, {**POSITIONS, 3: EVENTS_EACH})
    assert found.rows["tasks"] == (4, 4)


async def test_it_goes_beside_a_generation_that_is_ready_and_one_at_a_time(settings: Settings, log: KafkaLog) -> None:
    await rebuild.start(settings)
    assert (await verify(settings)).is_equal
    assert await generations(settings) == [(1, "active"), (2, "ready")]
    await activation.activate(settings, unverified=True)
    assert (await verify(settings)).generation == 2
    async with locked(settings.postgres):
        with pytest.raises(RebuildInUse):
            await verify(settings)


@pytest.mark.parametrize("phase", [Phase.FILLING, Phase.COMPARING])
async def test_one_that_is_interrupted_leaves_nothing(settings: Settings, log: KafkaLog, phase: Phase) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.phase is phase:
            under_way.cancel()

    under_way = asyncio.create_task(verify(settings, interrupt))
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert (await generations(settings), await schemas(settings)) == ([(1, "active")], ["generation_1"])
    assert (await verify(settings)).is_equal


async def test_what_one_that_was_killed_has_left_goes_with_the_next(settings: Settings, log: KafkaLog) -> None:
    program = f"""
import asyncio, os, signal
from pulp_processor.consuming import internals
from pulp_processor.settings import Settings
from pulp_processor.rebuilding.verify import verify
from pulp_events.topics import Topics
settings = Settings(kafka={settings.kafka!r}, postgres={settings.postgres!r}, topics=Topics{tuple(settings.topics)!r})
internals.install()
asyncio.run(verify(settings, lambda progress: os.kill(os.getpid(), signal.SIGKILL)))
"""
    child = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], timeout=LIMIT_S, check=False)
    assert child.returncode == -signal.SIGKILL
    assert await generations(settings) == [(1, "active"), (2, "verifying")]
    assert (await verify(settings)).is_equal
    assert (await generations(settings), await schemas(settings)) == ([(1, "active")], ["generation_1"])


async def test_the_command_tells_the_first_difference(settings: Settings, log: KafkaLog, tmp_path: Path) -> None:
    prefix = settings.topics.events.removesuffix(".events")
    env = environment(
        tmp_path, PULP_KAFKA=str(settings.kafka), PULP_POSTGRES=settings.postgres, PULP_TOPIC_PREFIX=prefix
    )
    equal = pulp_tasks("verify", "--output", "json", env=env)
    told = json.loads(equal.stdout)
    assert (equal.returncode, told["equal"], told["examples"]) == (0, True, [])
    assert told["positions"] == {"0": 0, "1": 18, "2": 0, "3": 0}
    await execute(settings.postgres, "update generation_1.tasks set worker = null where task_id = %s", [TASK])
    different = pulp_tasks("verify", "--output", "json", env=env)
    assert different.returncode == 1
    assert json.loads(different.stdout)["examples"] == [
        {
            "table": "tasks",
            "key": [str(TASK)],
            "column": "worker",
            "task_id": str(TASK),
            "live": None,
            "log": "w1",
            "partition": 1,
            "offset": int(LAST_OF_TASK),
        }
    ]
    page = pulp_tasks("verify", env=env)
    assert page.returncode == 1
    assert page.stdout.splitlines()[-9:] == [
        "the first difference:",
        "  table:             tasks",
        f"  row:               {TASK}",
        f"  task:              {TASK}",
        "  column:            worker",
        "  live:              null",
        "  from the log:      w1",
        "  partition:offset:  1:11",
        "not equal",
    ]
