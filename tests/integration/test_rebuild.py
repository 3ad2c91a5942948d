"""Rebuild, comparison, activation and rollback of the read model, on a real log."""

from collections.abc import AsyncIterator

import pytest
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.rebuilding import activation, rebuild
from pulp_processor.rebuilding.errors import RebuildRefused
from pulp_processor.rebuilding.generations import connected, drop
from pulp_processor.rebuilding.progress import Phase, Progress
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.projection import append_all, execute, project, rows, settings_of, stories

TABLES = ("tasks", "task_events", "dead_letters", "positions")


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    return settings_of(backend.kafka, database, topics, batch_records=50)


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    yield log
    await log.close()


async def projected(settings: Settings, log: KafkaLog, seed: int = 1) -> dict[int, int]:
    """A log with stories in it, and the live projection at its end."""
    await append_all(log, stories(seed, PARTITIONS))
    ends = await log.end_offsets()
    await project(settings, ends)
    return ends


async def statuses(settings: Settings) -> dict[int, str]:
    return {item.number: item.status for item in await rebuild.status(settings)}


async def test_a_rebuild_gives_the_rows_that_the_live_projection_has(settings: Settings, log: KafkaLog) -> None:
    ends = await projected(settings, log)
    generation = await rebuild.start(settings)
    assert generation == 2
    assert await statuses(settings) == {1: "active", 2: "ready"}
    for table in TABLES:
        assert await rows(settings.postgres, table, 2) == await rows(settings.postgres, table, 1)
    assert any(row["purged_by"] for row in await rows(settings.postgres, "tasks", 2))  # a rebuild hides the same tasks
    assert {item.number: item.positions for item in await rebuild.status(settings)}[2] == ends


async def test_what_readers_see_changes_at_the_activation_only(settings: Settings, log: KafkaLog) -> None:
    await projected(settings, log)
    await execute(settings.postgres, "update generation_1.tasks set queue = 'old'")
    await rebuild.start(settings)
    assert {row["queue"] for row in await rows(settings.postgres, "tasks")} == {"old"}
    switched = await activation.activate(settings, unverified=True)
    assert (switched.before, switched.now) == (1, 2)
    assert {row["queue"] for row in await rows(settings.postgres, "tasks")} == {"default"}
    assert await statuses(settings) == {1: "retired", 2: "active"}


async def test_a_verified_generation_becomes_active_another_one_does_not(settings: Settings, log: KafkaLog) -> None:
    await projected(settings, log)
    await rebuild.start(settings)
    with pytest.raises(RebuildRefused, match="verify it first"):
        await activation.activate(settings)
    found = await rebuild.verify(settings)
    assert found.is_equal
    assert found.rows["task_events"] == (len(await rows(settings.postgres, "task_events")),) * 2
    await activation.activate(settings)
    assert await statuses(settings) == {1: "retired", 2: "active"}


async def test_there_is_one_rebuild_at_a_time(settings: Settings, log: KafkaLog) -> None:
    with pytest.raises(RebuildRefused, match="start one"):
        await rebuild.cancel(settings)
    await rebuild.start(settings)
    with pytest.raises(RebuildRefused, match=r"generation 2 is ready \(100 %\)"):
        await rebuild.start(settings)
    assert await rebuild.cancel(settings) == 2
    assert await statuses(settings) == {1: "active"}


async def test_a_planted_difference_is_found_and_named(settings: Settings, log: KafkaLog) -> None:
    await projected(settings, log)
    await rebuild.start(settings)
    ((task_id,),) = await execute(
        settings.postgres,
        "update generation_1.tasks set worker = 'w9' where task_id = (select min(task_id::text)::uuid"
        " from generation_1.tasks) returning task_id",
    )
    await execute(settings.postgres, "delete from generation_1.task_events where partition = 2 and record_offset = 17")
    found = await rebuild.verify(settings)
    assert found.differences == {"tasks.worker": 1, "task_events.(row)": 1}
    assert [(item.table, item.key, item.column, item.active) for item in found.examples] == [
        ("tasks", (str(task_id),), "worker", "w9"),
        ("task_events", ("2", "17"), "(row)", "missing"),
    ]
    assert "w9" in str(found.examples[0])
    with pytest.raises(RebuildRefused, match="verify it first"):
        await activation.activate(settings)


async def test_a_wanted_difference_is_accepted_by_name(settings: Settings, log: KafkaLog) -> None:
    await projected(settings, log)
    await rebuild.start(settings)
    await execute(settings.postgres, "update generation_1.tasks set worker = 'old fold', queue = 'old fold'")
    tasks = len(await rows(settings.postgres, "tasks"))
    found = await rebuild.verify(settings, accept=["tasks.worker"])
    assert found.differences == {"tasks.queue": tasks}
    found = await rebuild.verify(settings, accept=["tasks.worker", "queue"])
    assert found.is_equal
    assert found.accepted == {"tasks.queue": tasks, "tasks.worker": tasks}
    with pytest.raises(RebuildRefused, match=r"tasks\.wroker"):
        await rebuild.verify(settings, accept=["tasks.wroker"])
    await activation.activate(settings)
    assert await statuses(settings) == {1: "retired", 2: "active"}


async def test_a_generation_is_compared_and_activated_where_the_live_one_is(settings: Settings, log: KafkaLog) -> None:
    await projected(settings, log)
    await rebuild.start(settings)
    await projected(settings, log, seed=2)
    assert (await rebuild.verify(settings)).is_equal
    ends = await projected(settings, log, seed=3)
    assert (await activation.activate(settings)).positions == ends
    for table in TABLES:
        assert await rows(settings.postgres, table, 2) == await rows(settings.postgres, table, 1)


async def test_a_rollback_brings_the_old_generation_up_to_date_first(settings: Settings, log: KafkaLog) -> None:
    await projected(settings, log)
    await rebuild.start(settings)
    await activation.activate(settings, unverified=True)
    ends = await projected(settings, log, seed=2)
    switched = await activation.rollback(settings)
    assert switched == (2, 1, ends)
    assert await statuses(settings) == {1: "active", 2: "retired"}
    for table in TABLES:
        assert await rows(settings.postgres, table) == await rows(settings.postgres, table, 2)
    assert (await activation.rollback(settings))[:2] == (1, 2)


async def test_pruning_leaves_the_active_generation(settings: Settings, log: KafkaLog) -> None:
    await projected(settings, log)
    with pytest.raises(RebuildRefused, match="no generation to roll back to"):
        await activation.rollback(settings)
    await rebuild.start(settings)
    await activation.activate(settings, unverified=True)
    assert await activation.prune(settings) == [1]
    assert await statuses(settings) == {2: "active"}
    assert await rows(settings.postgres, "tasks")


async def test_progress_goes_up_to_all_events(settings: Settings, log: KafkaLog) -> None:
    ends = await projected(settings, log)
    seen: list[Progress] = []
    await rebuild.start(settings, seen.append)
    filling = [item for item in seen if item.phase is Phase.FILLING]
    assert filling[0].percent == 0
    assert [item.done for item in filling] == sorted(item.done for item in filling)
    assert (filling[-1].done, filling[-1].total, filling[-1].left_s) == (sum(ends.values()), sum(ends.values()), 0.0)
    assert filling[-1].rate > 0
    assert Phase.INDEXING in {item.phase for item in seen}


async def test_an_empty_log_is_rebuilt_as_well(settings: Settings) -> None:
    await rebuild.start(settings)
    assert (await rebuild.verify(settings)).is_equal
    await activation.activate(settings)
    assert await rows(settings.postgres, "tasks") == []


async def test_a_generation_of_another_shape_can_be_activated_and_rolled_back(
    settings: Settings, log: KafkaLog
) -> None:
    await projected(settings, log)
    await rebuild.start(settings)
    await execute(settings.postgres, "alter table generation_2.dead_letters drop column headers, add column extra int")
    found = await rebuild.verify(settings)
    assert found.differences == {"dead_letters.headers": 1, "dead_letters.extra": 1}
    assert (await rebuild.verify(settings, accept=["headers", "dead_letters.extra"])).is_equal
    await activation.activate(settings)
    assert await columns(settings, "dead_letters") >= {"extra"}
    await activation.rollback(settings)
    assert await columns(settings, "dead_letters") >= {"headers"}


async def columns(settings: Settings, view: str) -> set[str]:
    found = await execute(
        settings.postgres,
        "select column_name from information_schema.columns where table_schema = 'public' and table_name = %s",
        [view],
    )
    return {name for (name,) in found}


async def test_a_generation_that_has_just_become_active_is_not_dropped(settings: Settings) -> None:
    await rebuild.start(settings)
    await activation.activate(settings, unverified=True)
    async with connected(settings.postgres) as connection:
        with pytest.raises(RebuildRefused, match="nothing was dropped"):
            await drop(connection, 2)
    assert await rows(settings.postgres, "tasks") == []
