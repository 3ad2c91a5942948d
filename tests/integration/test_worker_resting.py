"""A worker that the dispatcher does not need rests: it keeps its lease, but no connection that listens."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import LiteralString

import pytest
from psycopg import AsyncConnection
from pulp_events.topics import Topics
from pulp_projections.channels import DISPATCH, WORKERS

from tests.support.backends import Backend
from tests.support.pipeline import LIMIT_S, Pipeline, pipeline

WATCHING = "select count(*) from pg_stat_activity where application_name = 'pulp-worker/w1/watch'"


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=2) as made:
        yield made


async def until(connection: AsyncConnection, query: LiteralString, expected: object) -> None:
    async with asyncio.timeout(LIMIT_S):
        while (await (await connection.execute(query)).fetchall()) != [(expected,)]:  # noqa: ASYNC110  # rows
            await asyncio.sleep(0.05)


async def let_rest(connection: AsyncConnection, name: str) -> None:
    """As the dispatcher does; it must hear that this was done in its name, or else it would notice a second later."""
    await connection.execute("update workers set resting = true where name = %s", [name])
    await connection.execute("select pg_notify(%s, %s)", [DISPATCH, WORKERS])
    await until(connection, "select listening from workers where name = 'w1'", False)
    await until(connection, WATCHING, 0)


async def test_a_worker_rests_when_it_may_and_takes_a_task_when_nobody_else_is_free(pulp: Pipeline) -> None:
    async with (
        await AsyncConnection.connect(pulp.database, autocommit=True) as connection,
        pulp.worker("w1"),
        pulp.worker("w2", concurrency=1),
    ):
        await until(connection, WATCHING, 1)
        await let_rest(connection, "w1")
        first = await pulp.submit("patient")
        assert (await pulp.running(first))["worker"] == "w2"
        await until(connection, "select listening and not resting from workers where name = 'w1'", True)
        second = await pulp.submit("patient")
        assert (await pulp.running(second))["worker"] == "w1"
        await until(connection, WATCHING, 1)
        for task_id in (first, second):
            await pulp.cancel(task_id)
            await pulp.end(task_id)


async def test_a_worker_that_rests_goes_when_it_is_told_to(pulp: Pipeline) -> None:
    async with pulp.worker("w2"), await AsyncConnection.connect(pulp.database, autocommit=True) as connection:
        async with pulp.worker("w1") as running:
            await let_rest(connection, "w1")
            await running.stop()
        await until(connection, "select stopped_at is not null from workers where name = 'w1'", True)
