"""A small batch goes into Postgres in one statement: the rows are those that a large one's way gives."""

from random import Random

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_events.reader import Record
from pulp_processor import small_batch
from pulp_processor.projector import GenerationChanged, Projector
from pulp_projections.generations import create_tables

from tests.support.events import accepted
from tests.support.projection import rows
from tests.support.records import records, story

TABLES = ("tasks", "task_counts", "task_resources", "task_events")


async def written(database: str, told: list[Record], size: int) -> dict[str, list[dict[str, object]]]:
    """All rows after the records were projected in batches of a size; the tables are empty again after."""
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


async def test_readers_and_workers_are_told(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute("listen pulp_positions")
        await listener.execute("listen pulp_claims")
        projector = Projector(database, 0)
        await projector.locate()
        await projector.project(records([accepted()]))
        await projector.close()
        told = {(notice.channel, notice.payload) async for notice in listener.notifies(timeout=30, stop_after=2)}
    assert told == {("pulp_positions", "1 0 1"), ("pulp_claims", "")}


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
