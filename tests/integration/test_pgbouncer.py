"""A real PgBouncer before Postgres: in session mode everything works, any other mode is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
from pulp_events.topics import Topics
from pulp_projections.connection import connect
from pulp_runtime.installation import Installation
from pulp_runtime.preconditions import connections, pooling
from pulp_runtime.startup import PreconditionFailed, prepare

from tests.conftest import PARTITIONS
from tests.integration.test_preconditions import new_database
from tests.support.api_process import add_admin, api_process
from tests.support.backends import Backend
from tests.support.pgbouncer import PROGRAM, WHY_NOT, pgbouncer
from tests.support.processor_process import LIMIT_S, installation
from tests.support.site import V3
from tests.support.worker_process import worker_process

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
LENT = ("transaction", "statement")


async def state_at_end(client: httpx.AsyncClient, task: str) -> str:
    async with asyncio.timeout(LIMIT_S):
        # A task that is not projected yet has no state.
        while (state := (await client.get(task)).json().get("state")) in (None, "waiting", "running"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return str(state)


@pytest.fixture
async def pooled(database: str) -> AsyncIterator[str]:
    async with pgbouncer(database, pool_mode="session", default_pool_size=50) as through:
        yield through


async def test_an_installation_works_through_a_pooler_in_session_mode(
    backend: Backend, database: str, pooled: str, topics: Topics, tmp_path: Path
) -> None:
    with installation(backend.kafka, pooled, topics, tmp_path, partitions=PARTITIONS) as site:
        await site.start("one").up()
        await add_admin(pooled)
        with worker_process(tmp_path, site.environment()):
            async with api_process(backend.kafka, pooled, topics, tmp_path) as api, api.client() as client:
                submitted = await client.post(f"{V3}/tasks/", json={"operation": "remove-orphans"})
                assert submitted.status_code == 202, submitted.text
                assert await state_at_end(client, submitted.json()["task"]) == "completed"
                assert (await api.health(200))["ready"]


@pytest.mark.parametrize("mode", LENT)
async def test_a_pooler_that_lends_connections_between_transactions_is_refused(
    backend: Backend, topics: Topics, mode: str
) -> None:
    async with new_database(backend) as database:
        async with pgbouncer(database, pool_mode=mode) as through:
            refused = Installation(kafka=backend.kafka, postgres=through, topics=topics, startup_timeout_s=30)
            with pytest.raises(PreconditionFailed, match="pool_mode = session"):
                await prepare(refused)
        async with await connect(database, "test") as connection:  # and nothing was created
            cursor = await connection.execute("select count(*) from pg_tables where schemaname = 'public'")
            assert await cursor.fetchall() == [(0,)]


async def test_a_pooler_is_refused_even_if_another_client_has_the_first_connection_meanwhile(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, many workers start together: the second client cannot get the connection that the first one had."""
    async with (
        pgbouncer(database, pool_mode="transaction", default_pool_size=9) as through,
        await connect(through, "test") as connection,
        await connect(through, "test") as busy,
    ):

        async def connect_after_another_has_begun(conninfo: str, name: str) -> psycopg.AsyncConnection:
            await busy.execute("begin")
            await busy.execute("select")
            return await connect(conninfo, name)

        monkeypatch.setattr(pooling, "connect", connect_after_another_has_begun)
        [found] = await pooling.look(connection, through)
        assert found.check == "database-pooler"
        await busy.execute("rollback")


async def test_neither_session_mode_nor_postgres_itself_is_refused(database: str, pooled: str) -> None:
    for conninfo in (database, pooled):
        async with await connect(conninfo, "test") as connection:
            assert await pooling.look(connection, conninfo) == []


async def test_a_pooler_without_another_connection_to_postgres_is_taken_for_what_it_is(database: str) -> None:
    """The pooler cannot lend its only connection, so the second client waits."""
    async with (
        pgbouncer(database, pool_mode="session", default_pool_size=1) as through,
        await connect(through, "test") as connection,
    ):
        assert await pooling.look(connection, through) == []


async def test_who_waits_for_a_connection_of_the_pooler_is_told_so(database: str) -> None:
    async with pgbouncer(database, pool_mode="session", default_pool_size=1) as through:
        async with await connect(through, "test"):
            with pytest.raises(psycopg.OperationalError, match="a pooler has no connection to Postgres left"):
                await connect(through, "test", connect_timeout_s=1)
        await (await connect(through, "test")).close()  # the wait leaves nothing behind


async def test_connections_of_workers_are_counted_behind_a_pooler_too(database: str, pooled: str) -> None:
    async with await connect(pooled, "pulp-worker/one"), await connect(database, "test") as connection:
        room = await connections.look(connection, may_read_workers=True)
        assert (room.workers, room.workers_connections) == (0, 1)
