"""A small batch goes into Postgres in one statement: the rows are the same as those of a large batch."""

import asyncio
from random import Random
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_events.reader import Record
from pulp_events.task import Task
from pulp_projections.generations import create_tables
from pulp_projections.writing import small_batch
from pulp_projections.writing.batch_fold import BatchFold
from pulp_projections.writing.fold import task_ids
from pulp_projections.writing.projector import Projector
from pulp_projections.writing.target import GenerationChanged, Place, prepare

from tests.support.events import accepted
from tests.support.projection import rows
from tests.support.records import records, story

LIMIT_S = 60
TABLES = ("tasks", "task_counts", "task_days", "task_resources", "task_causes", "task_events")


async def written(database: str, told: list[Record], size: int) -> dict[str, list[dict[str, object]]]:
    """All rows after the records were projected in batches of this size; afterwards the tables are empty again."""
    projector = Projector(database, 0)
    await projector.locate()
    for start in range(0, len(told), size):
        await projector.project(told[start : start + size])
    await projector.close()
    found = {table: await rows(database, table) for table in (*TABLES, "positions")}
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for table in TABLES:
            await connection.execute(SQL("truncate generation_1.{}").format(Identifier(table)))
        await connection.execute("update generation_1.positions set next_offset = 0")
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_rows_are_the_same(database: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told = records(story(Random(seed), 8, 120))
    small = await written(database, told, 7)
    monkeypatch.setattr(small_batch, "MOST_RECORDS", 0)
    assert small == await written(database, told, 7)
    assert small["tasks"]
    assert small["task_resources"]
    assert small["task_causes"]


async def test_the_tasks_of_a_batch_are_found_by_their_keys(database: str) -> None:
    """A plan from the time when there were few tasks would read all of them for every batch."""
    told = records(story(Random(1), 8, 120))
    tasks: dict[UUID, Task] = {}
    writer = small_batch.SmallBatchWriter()
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await prepare(connection, 1)
        await others_have_ended(connection)
        before = await whole_scans(connection)
        for start in range(0, len(told), 7):
            batch = told[start : start + 7]
            folded = BatchFold(batch, task_ids(batch), tasks)
            changes = await writer.write(connection, Place(1, 0, start, start + len(batch)), folded)
            tasks |= {task.task_id: task for task in (*changes.created, *changes.updated)}
        assert await whole_scans(connection) == before


async def others_have_ended(connection: psycopg.AsyncConnection) -> None:
    """Wait for the session that created the tables: it counts its scans, one for each index, only when it ends."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            cursor = await connection.execute(
                "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                " and backend_type = 'client backend'"
            )
            if not cursor.rowcount:
                return
            await asyncio.sleep(0.01)


async def whole_scans(connection: psycopg.AsyncConnection) -> int:
    """How often the connection has read all of `tasks`, or others have."""
    await connection.execute("select pg_stat_force_next_flush()")
    cursor = await connection.execute(
        "select seq_scan from pg_stat_user_tables where schemaname = 'generation_1' and relname = 'tasks'"
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_readers_and_the_dispatcher_are_told(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute("listen pulp_positions")
        projector = Projector(database, 0)
        await projector.locate()
        await projector.project(records([accepted()]))
        await projector.close()
        [told] = [notice async for notice in listener.notifies(timeout=30, stop_after=1)]
    assert (told.channel, told.payload) == ("pulp_positions", "1 0 1")


async def test_another_generation_is_left_alone(database: str) -> None:
    projector = Projector(make_conninfo(database), 0)
    await projector.locate()
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await create_tables(connection, 2, 1)
        await connection.execute("insert into generations (generation, status) values (2, 'ready')")
        await connection.execute("update active_generation set generation = 2")
    with pytest.raises(GenerationChanged):
        await projector.project(records([accepted()]))
    assert await rows(database, "tasks", 1) == []
    await projector.close()
