"""One partition's writer on a real Postgres: out of place, Postgres away, a lost answer, the end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from random import Random

import psycopg
import pytest
from pulp_events.errors import PulpError
from pulp_events.reader import Record
from pulp_processor.consuming.internals import Batch
from pulp_processor.consuming.writer import NoProgress, PartitionWriter
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.postgres_relay import PostgresRelay, postgres_relay
from tests.support.projection import execute, rows
from tests.support.records import records, story
from tests.support.truth import rows_are_what_records_say

LIMIT_S = 30
LOG = records(story(Random(1), 6, 57))  # 60 records


@dataclass
class Told:
    """What a writer reports and requests."""

    seeks: list[tuple[int, int]] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    committed: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def seek(self, partition: int, offset: int) -> None:
        self.seeks.append((partition, offset))
        self.news.set()

    def on_capacity(self) -> None:
        self.news.set()

    def on_committed(self) -> None:
        self.committed += 1
        self.news.set()

    def on_fault(self, error: Exception) -> None:
        self.faults.append(error)
        self.news.set()


@dataclass
class Scene:
    """A writer of partition 0, its reports, and its connection to Postgres."""

    writer: PartitionWriter
    told: Told
    relay: PostgresRelay
    database: str

    def put(self, batch: Sequence[Record], epoch: int | None = None) -> None:
        self.writer.put(Batch(list(batch), self.writer.epoch if epoch is None else epoch))

    async def until_at(self, offset: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.writer.next_offset < offset:
                assert self.told.faults == []
                await self._news()

    async def until_sought(self, times: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(self.told.seeks) < times or self.writer.epoch <= times:
                await self._news()

    async def until_fault(self) -> Exception:
        async with asyncio.timeout(LIMIT_S):
            while not self.told.faults:
                await self._news()
        return self.told.faults[0]

    async def until_waiting(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not self.writer.is_waiting_for_postgres:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0.01)

    async def _news(self) -> None:
        await asyncio.sleep(0)
        self.told.news.clear()
        waiting = asyncio.create_task(self.told.news.wait())
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()


@pytest.fixture
async def scene(database: str) -> AsyncIterator[Scene]:
    async with postgres_relay(database) as relay:
        told = Told()
        writer = PartitionWriter(relay.conninfo, 0, told)
        assert await writer.locate() == 0
        writer.resume()
        yield Scene(writer, told, relay, database)
        await writer.close()


async def test_batches_are_written_in_order(scene: Scene) -> None:
    for start in range(0, 60, 15):
        scene.put(LOG[start : start + 15])
    await scene.until_at(60)
    assert scene.told.seeks == []
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_it_wants_no_more_than_it_can_hold(database: str) -> None:
    writer = PartitionWriter(database, 0, Told())
    wants = [writer.load().has_capacity]  # its position is unknown
    await writer.locate()
    wants.append(writer.load().has_capacity)
    writer.resume()
    wants.append(writer.load().has_capacity)
    writer.put(Batch(LOG[:10], writer.epoch))
    wants.append(writer.load().has_capacity)
    await writer.close()
    assert wants == [False, False, True, False]


async def test_it_wants_one_behind_a_large_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", 10)
    wants = []
    for start, end in ((0, 15), (15, 60)):
        scene.put(LOG[start:end])
        wants.append(scene.writer.load().has_capacity)
    assert wants == [True, False]
    await scene.until_at(60)
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_a_few_records_that_wait_are_written_with_what_follows_them(scene: Scene) -> None:
    for start in range(6):
        scene.put(LOG[start : start + 1])
        assert scene.writer.load().has_capacity is (start < 3)
    scene.put(LOG[6:])
    await scene.until_at(60)
    assert scene.told.committed == 2  # four, and the two that the rest continues
    await rows_are_what_records_say(scene.database, {0: LOG})


@pytest.mark.parametrize("epochs", [(1, 1), (1, 2)])
async def test_a_few_records_are_not_written_with_what_does_not_continue_them(
    scene: Scene, epochs: tuple[int, int]
) -> None:
    scene.put(LOG[:2], epoch=epochs[0])
    scene.put(LOG[2 if epochs[1] == 2 else 5 : 10], epoch=epochs[1])
    await scene.until_at(2)
    assert scene.told.committed == 1
    assert scene.told.seeks == []


async def test_it_seeks_where_a_batch_is_out_of_place(scene: Scene) -> None:
    scene.put(LOG[:10])
    scene.put(LOG[20:30])
    await scene.until_sought(1)
    assert scene.told.seeks == [(0, 10)]
    scene.put(LOG[10:])
    await scene.until_at(60)
    assert scene.writer.seeks == 1
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_a_second_gap_at_the_same_offset_is_another_reason_to_seek(scene: Scene) -> None:
    for times in (1, 2, 3):
        scene.put(LOG[20:30])
        await scene.until_sought(times)
    assert scene.told.seeks == [(0, 0)] * 3
    scene.put(LOG)
    await scene.until_at(60)
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_what_was_fetched_before_a_seek_is_no_reason_for_another(scene: Scene) -> None:
    before = scene.writer.epoch
    scene.put(LOG[20:30])
    scene.put(LOG[30:40])
    scene.put(LOG[40:50])
    await scene.until_sought(1)
    scene.put(LOG[50:], epoch=before)
    scene.put(LOG)
    await scene.until_at(60)
    assert scene.told.seeks == [(0, 0)]


async def test_a_log_with_a_hole_is_given_up(scene: Scene) -> None:
    for times in range(1, 6):
        scene.put(LOG[1:])
        await scene.until_sought(times)
    scene.put(LOG[1:])
    fault = await scene.until_fault()
    assert isinstance(fault, NoProgress)
    assert "a batch starts at offset 1, 0 comes next" in str(fault)
    assert await rows(scene.database, "task_events") == []


async def test_another_writer_has_gone_on_meanwhile(scene: Scene) -> None:
    other = Projector(scene.database, 0)
    await other.locate()
    await other.project(LOG[:40])
    await other.close()
    scene.put(LOG[:20])
    await scene.until_sought(1)
    assert scene.told.seeks == [(0, 40)]
    scene.put(LOG[40:])
    await scene.until_at(60)
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_another_writer_that_goes_on_for_a_while_is_waited_for(scene: Scene) -> None:
    other = Projector(scene.database, 0)
    await other.locate()
    for times in range(1, 8):  # as when a coordinator has given its partition away, and it does not know yet
        await other.project(LOG[times - 1 : times])
        scene.put(LOG[times - 1 :])
        await scene.until_sought(times)
    await other.close()
    assert scene.told.seeks == [(0, times) for times in range(1, 8)]
    scene.put(LOG[7:])
    await scene.until_at(60)
    assert scene.told.faults == []
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_a_database_that_lost_its_tail_is_filled_again(scene: Scene) -> None:
    scene.put(LOG[:30])
    await scene.until_at(30)
    for table in ("tasks", "task_counts", "task_days", "task_resources", "task_causes", "task_events", "dead_letters"):
        await execute(scene.database, f"truncate generation_1.{table}")
    await execute(scene.database, "update generation_1.positions set next_offset = 0")
    scene.put(LOG[30:])
    await scene.until_sought(1)
    assert scene.told.seeks == [(0, 0)]
    scene.put(LOG)
    await scene.until_at(60)
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_postgres_is_away_and_comes_back(scene: Scene) -> None:
    scene.put(LOG[:20])
    await scene.until_at(20)
    await scene.relay.cut()
    scene.put(LOG[20:40])
    scene.put(LOG[40:])
    await scene.until_waiting()
    await scene.relay.open()
    await scene.until_at(60)
    assert not scene.writer.is_waiting_for_postgres
    assert scene.told.seeks == []
    await rows_are_what_records_say(scene.database, {0: LOG})


@pytest.mark.parametrize("most_records", [0, 100])
async def test_the_answer_to_a_commit_is_lost(scene: Scene, most_records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    scene.relay.lose_next_commit()
    scene.put(LOG[:30])
    scene.put(LOG[30:])
    await scene.until_at(60)
    assert scene.relay.lost == 1
    assert scene.told.seeks == []
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_its_backend_is_ended(scene: Scene) -> None:
    for start in range(0, 60, 10):
        await end_backends(scene.database)
        scene.put(LOG[start : start + 10])
        await scene.until_at(start + 10)
    await rows_are_what_records_say(scene.database, {0: LOG})


async def end_backends(database: str) -> None:
    """Postgres ends the projectors' connections to this database."""
    await execute(
        database,
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and starts_with(application_name, 'pulp-processor')",
    )


async def test_a_table_that_is_locked_is_waited_for(scene: Scene) -> None:
    ((name,),) = await execute(scene.database, "select current_database()")
    await execute(scene.database, f"alter database {name} set lock_timeout = 100")
    await end_backends(scene.database)
    async with await psycopg.AsyncConnection.connect(scene.database) as holder:
        await holder.execute("lock table generation_1.tasks")
        scene.put(LOG)
        await scene.until_waiting()
    await scene.until_at(60)
    await rows_are_what_records_say(scene.database, {0: LOG})


async def test_what_it_holds_counts_until_postgres_keeps_it_waiting(scene: Scene) -> None:
    async with await psycopg.AsyncConnection.connect(scene.database) as holder:
        await holder.execute("lock table generation_1.tasks")
        scene.put(LOG[:50])
        scene.put(LOG[50:])
        assert scene.writer.load().in_hand == 60
        async with asyncio.timeout(LIMIT_S):
            while scene.writer.load().in_hand:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0.01)
        assert scene.writer.next_offset == 0
    await scene.until_at(60)
    assert scene.writer.load().in_hand == 0


async def test_rows_that_are_there_already_are_a_fault(scene: Scene) -> None:
    scene.put(LOG)
    await scene.until_at(60)
    await execute(scene.database, "update generation_1.positions set next_offset = 0")
    await scene.writer.locate()
    scene.put(LOG)
    fault = await scene.until_fault()
    assert isinstance(fault, PulpError)
    assert "Rebuild the read model" in str(fault)


async def test_it_closes_while_postgres_is_away(scene: Scene) -> None:
    await scene.relay.cut()
    scene.put(LOG)
    await scene.until_waiting()
    async with asyncio.timeout(LIMIT_S):
        await scene.writer.close()
    assert scene.told.faults == []


async def test_it_ends_the_batch_that_is_being_written(scene: Scene) -> None:
    scene.put(LOG[:30])
    scene.put(LOG[30:])
    async with asyncio.timeout(LIMIT_S):
        while len(scene.writer._queue) == 2:  # noqa: ASYNC110  # it has begun when it has taken it
            await asyncio.sleep(0)
    await scene.writer.close()
    assert len(await rows(scene.database, "task_events")) == 30
    assert await execute(scene.database, "select next_offset from positions where partition = 0") == [(30,)]
