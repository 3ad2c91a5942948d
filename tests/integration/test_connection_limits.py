"""A process logs at its start how many connections it needs, and does not start if Postgres has too few."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier
from pulp_events.topics import Topics
from pulp_projections.connection import connect
from pulp_runtime.installation import Installation
from pulp_runtime.preconditions.connections import PROCESSOR, WORKER, api
from pulp_runtime.preconditions.looking import Place, look
from pulp_runtime.startup import DependencyAway, prepare

from tests.conftest import PARTITIONS
from tests.support.api_process import api_process
from tests.support.backends import Backend
from tests.support.processor_process import LIMIT_S
from tests.support.processor_process import installation as installation_of
from tests.support.worker_process import worker_process


@asynccontextmanager
async def role_with(database: str, connections: int) -> AsyncIterator[str]:
    """How to connect as a role that may have this many connections, and may start any process."""
    role = Identifier(f"role_{uuid4().hex[:12]}")
    async with await connect(database, "test") as owner:
        await owner.execute(
            SQL("create role {} login password 'x' connection limit {}").format(role, SQL(str(connections)))
        )
        await owner.execute(SQL("grant select on all tables in schema public to {}").format(role))
        try:
            yield make_conninfo(database, user=role.as_string().strip('"'), password="x")
        finally:
            await owner.execute(SQL("drop owned by {}").format(role))
            await owner.execute(SQL("drop role {}").format(role))


async def until_closed(database: str, theirs: str) -> None:
    """Wait until the role has no connection any more: a backend ends a moment after its client."""
    user = conninfo_to_dict(theirs)["user"]
    async with asyncio.timeout(LIMIT_S), await connect(database, "test") as connection:
        while True:
            cursor = await connection.execute("select count(*) from pg_stat_activity where usename = %s", [user])
            if await cursor.fetchone() == (0,):
                return
            await asyncio.sleep(0.02)


def installation(backend: Backend, conninfo: str, topics: Topics, startup_timeout_s: float) -> Installation:
    return Installation(kafka=backend.kafka, postgres=conninfo, topics=topics, startup_timeout_s=startup_timeout_s)


async def test_a_worker_waits_for_its_connections_and_then_says_what_it_lacks(
    backend: Backend, database: str, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    await prepare(installation(backend, database, topics, 30))
    caplog.set_level(logging.INFO, "pulp.startup")
    async with role_with(database, 2) as theirs:
        async with await connect(theirs, "test"):
            with pytest.raises(DependencyAway, match=r"2 of 2 connections are in use .*this process needs 2"):
                await prepare(installation(backend, theirs, topics, 1), WORKER)
            starting = asyncio.create_task(prepare(installation(backend, theirs, topics, 30), WORKER))
            while not any("this process needs 2" in each.getMessage() for each in caplog.records):  # noqa: ASYNC110  # logs
                await asyncio.sleep(0.05)
            assert not starting.done()
        assert (await starting).generation == 1
    [told] = [each for each in caplog.records if hasattr(each, "opens")]
    assert (told.levelname, told.opens, told.free, told.allowed) == ("INFO", 2, 2, 2)  # type: ignore[attr-defined]


async def test_an_api_that_may_run_out_of_connections_starts_with_a_warning(
    backend: Backend, database: str, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    await prepare(installation(backend, database, topics, 30))
    async with role_with(database, 5) as theirs:
        await prepare(installation(backend, theirs, topics, 30), api(8))
    [told] = [each for each in caplog.records if hasattr(each, "opens")]
    assert (told.levelname, told.opens, told.free) == ("WARNING", 9, 5)  # type: ignore[attr-defined]
    assert "connection limit N" in told.getMessage()


async def test_a_look_tells_whose_connections_are_nearly_used_up(
    backend: Backend, database: str, topics: Topics
) -> None:
    await prepare(installation(backend, database, topics, 30))
    async with role_with(database, 2) as theirs:
        place = Place(kafka=None, postgres=theirs, topics=topics)
        assert "database-connections" not in {each.check for each in (await look(place)).findings}
        await until_closed(database, theirs)
        async with await connect(theirs, "test"):
            [found] = [each for each in (await look(place)).findings if each.check == "database-connections"]
            assert "2 of 2 connections are in use (the connection limit of role_" in found.wrong
            async with await connect(theirs, "test"):
                [found] = [each for each in (await look(place)).findings if each.check == "postgres-away"]
    assert "too many connections for role" in found.wrong
    assert found.mend is not None
    assert found.mend.startswith("raise max_connections")


async def test_each_process_opens_what_it_says(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> None:
    """Counted in Postgres, by the names of the connections; except those of checks, which close immediately."""
    with installation_of(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as site:
        await site.start("one").up()
        await site.reached(await site.happens())  # each partition has a writer
        with worker_process(tmp_path, site.environment()):
            async with api_process(backend.kafka, database, topics, tmp_path, settings={"PULP_API_CONNECTIONS": "1"}):
                wanted = {"worker": 2, "api": 2, "processor": 5 + PARTITIONS}
                async with asyncio.timeout(LIMIT_S), await connect(database, "test") as connection:
                    while await opened(connection) != wanted:  # noqa: ASYNC110  # rows
                        await asyncio.sleep(0.1)
                    companions = (
                        "select count(*) from pg_stat_activity"
                        " where split_part(application_name, '/', 1) in ('pulp-scheduler', 'pulp-deliverer', 'pulp-states')"
                    )
                    [(beside,)] = await (await connection.execute(companions)).fetchall()
                    assert beside <= 7  # among those for everything else: only one process has them
    assert (WORKER.most, api(1).most, PROCESSOR.for_partitions(PARTITIONS).most) == (2, 2, 5 + PARTITIONS)


async def opened(connection: AsyncConnection) -> dict[str, int]:
    cursor = await connection.execute(
        "select case split_part(application_name, '/', 1) when 'pulp-worker' then 'worker' when 'pulp-api' then 'api'"
        "            when 'pulp-positions' then 'api' else 'processor' end, count(*)"
        "  from pg_stat_activity"
        " where datname = current_database()"
        "   and application_name not in ('test', 'pulp-startup', 'pulp-preconditions')"
        "   and split_part(application_name, '/', 1) not in ('pulp-scheduler', 'pulp-deliverer', 'pulp-states')"
        " group by 1"
    )
    return dict(await cursor.fetchall())
