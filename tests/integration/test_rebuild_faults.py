"""A rebuild when the log, Postgres or the live projection is not as it should be."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pulp_events.errors import OffsetOutOfRange, PositionNotReached
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_processor.dead_letters import raw_producer
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_processor.rebuilding import activation, rebuild
from pulp_processor.rebuilding.errors import NotSwitched, RebuildInterrupted
from pulp_processor.rebuilding.progress import Progress
from pulp_processor.settings import Settings

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.projection import append_all, project, rows, settings_of, stories


@pytest.fixture
def settings(backend: Backend, database: str, topics: Topics) -> Settings:
    return settings_of(backend.kafka, database, topics, batch_records=20)


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    yield log
    await log.close()


@pytest.fixture
async def ends(backend: Backend, topics: Topics, log: KafkaLog) -> dict[int, int]:
    """Write a log with stories, and records that are not events; returns its end."""
    await append_all(log, stories(1, PARTITIONS))
    producer = raw_producer.make(backend.kafka)
    garbage = [
        RawRecord(None, None, (), 1),
        RawRecord(b"\xff", b"{}", (("h", None),), 2),
        RawRecord(b"k", b"[1", (), 2),
    ]
    await asyncio.to_thread(raw_producer.append, producer, topics.events, garbage)
    return await log.end_offsets()


async def test_records_that_are_no_events_are_the_same_dead_letters(settings: Settings, ends: dict[int, int]) -> None:
    await project(settings, ends)
    await rebuild.start(settings)
    assert (await rebuild.verify(settings)).rows["dead_letters"] == (3, 3)
    assert await rows(settings.postgres, "dead_letters", 2) == await rows(settings.postgres, "dead_letters", 1)


async def test_a_log_that_was_cut_is_refused(settings: Settings, ends: dict[int, int]) -> None:
    await project(settings, ends)
    admin = AdminClient({"bootstrap.servers": str(settings.kafka)})  # its futures end only while it lives
    cut = admin.delete_records([TopicPartition(settings.topics.events, 2, 5)], request_timeout=20)
    for future in cut.values():
        await asyncio.to_thread(future.result)
    with pytest.raises(OffsetOutOfRange, match=r"partition 2 begins at 5\. Retention.*PULP_ARCHIVE"):
        await rebuild.start(settings)
    assert [item.number for item in await rebuild.status(settings)] == [1]


async def test_a_rebuild_goes_on_after_postgres_was_away(settings: Settings, ends: dict[int, int]) -> None:
    await project(settings, ends)

    def cut_off(progress: Progress) -> None:
        if progress.done:
            with psycopg.connect(settings.postgres, autocommit=True) as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )

    with pytest.raises(RebuildInterrupted, match="resume the rebuild"):
        await rebuild.start(settings, cut_off)
    assert [item.status for item in await rebuild.status(settings)] == ["active", "building"]
    await rebuild.resume(settings)
    assert (await rebuild.verify(settings)).is_equal


async def test_a_live_projection_that_is_stuck_can_be_replaced_without_a_comparison(
    settings: Settings, ends: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = {partition: end // 2 for partition, end in ends.items()}
    await project(settings, behind)
    monkeypatch.setattr(rebuild, "_LIVE_S", 0.1)
    await rebuild.start(settings)
    with pytest.raises(PositionNotReached, match="the live projection does not reach the positions of generation 2"):
        await rebuild.verify(settings)
    assert (await activation.activate(settings, unverified=True)).positions == ends
    assert len(await rows(settings.postgres, "task_events")) == sum(ends.values()) - 3


async def test_readers_that_do_not_let_go_leave_the_active_generation_as_it_was(
    settings: Settings, ends: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await project(settings, ends)
    await rebuild.start(settings)
    monkeypatch.setattr(activation, "_TRIES", 2)
    async with await psycopg.AsyncConnection.connect(settings.postgres) as reader:
        await reader.execute("select count(*) from task_events")
        with pytest.raises(NotSwitched, match="kept the tables locked"):
            await activation.activate(settings, unverified=True)
        assert [item.status for item in await rebuild.status(settings)] == ["active", "ready"]
    assert (await activation.activate(settings, unverified=True)).now == 2


async def test_autovacuum_does_not_keep_a_generation_from_being_activated(
    settings: Settings, ends: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds this lock on a large table for minutes."""
    await project(settings, ends)
    await rebuild.start(settings)
    monkeypatch.setattr(activation, "_TRIES", 2)
    async with await psycopg.AsyncConnection.connect(settings.postgres) as vacuum:
        for generation in (1, 2):
            await vacuum.execute(f"lock table generation_{generation}.tasks in share update exclusive mode")
            await vacuum.execute(f"lock table generation_{generation}.task_events in share update exclusive mode")
        assert (await activation.activate(settings, unverified=True)).now == 2
        assert (await activation.rollback(settings)).now == 1


async def test_a_disk_that_is_full_stops_the_rebuild_and_nothing_else(
    settings: Settings, ends: dict[int, int], log: KafkaLog
) -> None:
    """Only the new generation gets the error; the live projection goes on, and so does `resume` once there is room."""
    await project(settings, ends)

    reports: list[Progress] = []

    def fill_the_disk(progress: Progress) -> None:
        reports.append(progress)
        if len(reports) > 1:
            return
        with psycopg.connect(settings.postgres, autocommit=True) as connection:
            connection.execute(
                "create or replace function public.no_room() returns trigger language plpgsql as $$ begin"
                " raise 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$;"
                "create or replace trigger no_room before insert on generation_2.task_events"
                " for each statement execute function public.no_room()"
            )

    with pytest.raises(RebuildInterrupted, match=r"No space left on device.*resume the rebuild"):
        await rebuild.start(settings, fill_the_disk)
    await append_all(log, stories(2, PARTITIONS))
    later = await log.end_offsets()
    await project(settings, later)
    with psycopg.connect(settings.postgres, autocommit=True) as connection:
        connection.execute("drop function public.no_room() cascade")
    await rebuild.resume(settings)
    compared = await rebuild.verify(settings)
    assert (compared.is_equal, compared.positions) == (True, later)
