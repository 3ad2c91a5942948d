"""A worker's two connections to Postgres; after a call on one has failed, the next call finds one that works."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from pulp_events.events import Resource
from pulp_events.topics import Topics
from pulp_projections.notices import Notices
from pulp_worker.claims import Claims

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import pipeline
from tests.support.postgres_relay import PostgresRelay
from tests.support.worker_claims import worker_claims


@pytest.fixture
async def claims(relay: PostgresRelay) -> AsyncIterator[Claims]:
    async with worker_claims(relay.conninfo) as made:
        yield made


async def looks(claims: Claims) -> object:
    """A call on the connection that listens."""
    return await claims.look(uuid4(), [])


async def puts_back(claims: Claims) -> object:
    """A call on the other connection."""
    return await claims.put_back(uuid4(), [])


Call = Callable[[Claims], Awaitable[object]]
CALLS: list[Call] = [looks, puts_back]


async def works(claims: Claims) -> bool:
    """Whether it can immediately do everything that a worker needs."""
    await claims.end([])
    await claims.release([])
    await claims.heard(0)
    return (await claims.look(uuid4(), [])).assigned == [] and await claims.put_back(uuid4(), []) == frozenset()


async def is_broken_off(operator: AsyncConnection, how: str) -> bool:
    """Whether a call waited for the lock, and Postgres was asked to cancel it."""
    cursor = await operator.execute(
        SQL(
            "select {}(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        ).format(Identifier(how))
    )
    return await cursor.fetchone() is not None


@pytest.mark.parametrize("how", ["pg_terminate_backend", "pg_cancel_backend"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_postgres_breaks_off_is_the_only_one_that_fails(
    database: str, claims: Claims, call: Call, how: str
) -> None:
    async with (
        await AsyncConnection.connect(database) as holder,
        await AsyncConnection.connect(database, autocommit=True) as operator,
    ):
        await holder.execute("lock table claims")
        calling = asyncio.ensure_future(call(claims))
        async with asyncio.timeout(30):
            while not await is_broken_off(operator, how):  # noqa: ASYNC110  # waits for locks are not announced
                await asyncio.sleep(0.01)
        with pytest.raises(psycopg.OperationalError):
            await calling
    assert await works(claims)


async def test_a_connection_whose_last_answer_was_its_end_is_not_used_again(
    relay: PostgresRelay, claims: Claims
) -> None:
    # Its end is one answer more than requested: the connection then counts as open, and never leaves its pipeline.
    assert await works(claims)
    relay.end_after_next_commit()
    with contextlib.suppress(psycopg.OperationalError):  # whichever of the two comes first
        await claims.put_back(uuid4(), [])
    assert await works(claims)


async def test_a_worker_has_two_connections_however_much_it_does(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    """Counted while its slots are full, and when it stops."""
    names = (
        "select application_name from pg_stat_activity"
        " where datname = current_database() and application_name like 'pulp-worker%' order by 1"
    )
    two = [("pulp-worker/w1",), ("pulp-worker/w1/watch",)]
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as pulp:
        async with pulp.worker(concurrency=8) as worker:
            chain = [await pulp.submit("locked", Resource("repository", "demo")) for _ in range(10)]
            running = [await pulp.submit("until-file") for _ in range(7)]
            for task_id in running:
                await pulp.running(task_id)
            await pulp.cancel(running[0])
            await pulp.end(running[0])
            for task_id in chain:
                assert await pulp.query(names) == two
                await pulp.end(task_id)
            stop = asyncio.create_task(worker.stop())
            await pulp.until_draining()
            assert await pulp.query(names) == two
            (pulp.storage / "go").touch()
            await stop
        assert await pulp.query(names) == []


async def test_nothing_is_assigned_to_a_worker_that_cannot_see_it(
    backend: Backend, database: str, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, when Postgres has no connection left for it."""
    opened = Notices.open

    async def refused(*arguments: Any) -> Notices:
        if arguments[1].endswith("/watch"):
            raise psycopg.OperationalError("sorry, too many clients already")
        return await opened(*arguments)

    watching = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pulp-worker/w1/watch'"
    async with (
        pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as pulp,
        pulp.worker(lease_s=1) as worker,
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Notices, "open", refused)
            await pulp.query(watching)
            task_id = await pulp.submit("echo")
            await pulp.until_released(task_id)
            assert await pulp.query("select draining from workers") == [(True,)]
        assert (await pulp.end(task_id))["state"] == "successful"
        assert not worker.task.done()
