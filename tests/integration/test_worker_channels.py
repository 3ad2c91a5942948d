"""A worker hears of the projection's moves that concern its tasks, whichever way a batch is written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from pulp_events.events import Event
from pulp_events.ids import new_id
from pulp_events.task import Position
from pulp_projections.channels import worker_channel
from pulp_projections.reading.positions import Positions
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.support.events import accepted, cancel_requested, finished, progress, started
from tests.support.records import records

ONE, OTHER = new_id(), new_id()


@pytest.fixture(params=["small", "large"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How batches are written."""
    if request.param == "large":
        monkeypatch.setattr(small_batch, "MOST_RECORDS", 0)
    return str(request.param)


@asynccontextmanager
async def listening(database: str, worker: str) -> AsyncIterator[AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(SQL("listen {}").format(Identifier(worker_channel(worker))))
        yield connection


async def heard(connection: AsyncConnection) -> list[str]:
    """What has arrived so far, in order."""
    await connection.execute("select 1")  # earlier commits come with the answer
    return [notice.payload async for notice in connection.notifies(timeout=0)]


@pytest.mark.usefixtures("way")
async def test_only_the_worker_hears_whose_task_it_is(projector: Projector, database: str) -> None:
    async def write(start: int, *events: Event) -> None:
        await projector.project(records(events, start=start))

    async with listening(database, "w1") as first, listening(database, "w2") as second:
        await write(0, accepted(ONE), accepted(OTHER))
        assert (await heard(first), await heard(second)) == ([], [])
        await write(2, started(ONE, worker="w1"))
        assert (await heard(first), await heard(second)) == (["1 0 3 known"], [])
        await write(3, progress(ONE), progress(ONE, sequence=2))
        assert (await heard(first), await heard(second)) == ([], [])
        await write(5, started(OTHER, worker="w2"), cancel_requested(ONE))
        assert (await heard(first), await heard(second)) == (["1 0 7"], ["1 0 7 known"])
        await write(7, finished(ONE))
        assert (await heard(first), await heard(second)) == (["1 0 8 known"], [])
        await write(8, started(ONE, worker="w2", attempt=2))  # has no effect: it has to hear of that as well
        assert (await heard(first), await heard(second)) == ([], ["1 0 9"])


async def test_a_worker_sees_its_own_position_passed(projector: Projector, database: str) -> None:
    positions = Positions(database, worker_channel("w1"))
    await positions.start()
    try:
        await projector.project(records([accepted(ONE), started(ONE, worker="w1")]))
        await positions.reach({0: 2}, 5)
        assert positions.has_passed(Position(0, 1))
    finally:
        await positions.close()


@pytest.mark.parametrize("name", ["w1", "ein-Arbeiter-mit-Umlaut-ä", "x" * 300, "a b'c\"d"])
def test_a_channel_is_a_name_that_postgres_takes(name: str) -> None:
    assert len(worker_channel(name)) <= 63
    assert worker_channel(name) != worker_channel(f"{name}2")
