"""A dispatcher that has just been elected assigns nothing yet: it reports that, and what it waits for."""

import logging
from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection
from pulp_processor.dispatching.tables import PostgresTables
from pulp_projections.workers import Dispatching, dispatching

from tests.support.dispatch_stage import Stage, dispatch_stage
from tests.support.dispatching import RunningDispatcher

ASSIGNS, SETTLES = Dispatching(True, False), Dispatching(False, True)


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with dispatch_stage(database) as made:
        yield made


async def test_it_tells_that_it_waits_and_for_what_until_it_assigns(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pulp.dispatcher")
    await stage.worker(slots=9)
    tasks = [await stage.submit("a", is_projected=False), await stage.submit("b", is_projected=False)]
    running = RunningDispatcher(stage.database, stage.log)
    running.start()

    async def settles() -> bool:
        return await dispatching(stage.connection) == SETTLES

    def waits() -> list[str]:
        return [line for line in caplog.messages if line.startswith("elected, but assigning nothing yet: ")]

    async def is_told() -> bool:
        return bool(waits())

    await stage.until(settles)
    running.ahead_s += 1  # as if a second had passed
    await stage.until(is_told)
    assert waits() == [
        "elected, but assigning nothing yet: 2 events from before the election are not projected",
    ]
    assert await dispatching(stage.connection) == SETTLES
    await stage.project()
    for task_id in tasks:
        await stage.assigned(task_id)
    assert await dispatching(stage.connection) == ASSIGNS
    assert len(waits()) == 1  # no more than one in five seconds
    await stage.submit("c", is_projected=False)  # what comes later is no reason to wait
    assert await dispatching(stage.connection) == ASSIGNS
    await running.stop()
    assert await dispatching(stage.connection) == Dispatching(False, False)


async def test_one_that_was_deposed_says_nothing_of_its_successor(stage: Stage, database: str) -> None:
    async with await AsyncConnection.connect(database, autocommit=True) as other:
        deposed, successor = PostgresTables(other, "deposed"), PostgresTables(stage.connection, "successor")
        assert await deposed.elect()
        await stage.rows("update dispatcher set renewed_at = '-infinity'")
        assert await successor.elect()
        await deposed.settle()
        assert await dispatching(stage.connection) == SETTLES
        await successor.settle()
        assert await dispatching(stage.connection) == ASSIGNS
