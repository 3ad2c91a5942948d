"""The lock on an instance id: one holder, for as long as it lives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pulp_events.errors import ReadModelUnavailable
from pulp_processor.instance import Instance, InstanceInUse

from tests.support.backends import Backend
from tests.support.postgres_relay import PostgresRelay
from tests.support.projection import execute

LIMIT_S = 30


@asynccontextmanager
async def held(conninfo: str, name: str = "a", *, patience_s: float = 0) -> AsyncIterator[Instance]:
    instance = Instance(conninfo, name, patience_s=patience_s)
    try:
        await instance.take()
        yield instance
    finally:
        await instance.close()


@asynccontextmanager
async def kept(instance: Instance) -> AsyncIterator["asyncio.Task[None]"]:
    keeping: asyncio.Task[None] = asyncio.create_task(instance.keep())
    try:
        yield keeping
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError, InstanceInUse):
            await keeping


async def test_one_holder_a_name(database: str) -> None:
    async with held(database, "a"), held(database, "b"):
        with pytest.raises(InstanceInUse, match="instance a is in use by pulp-processor") as caught:
            async with held(database, "a"):
                pass
        assert caught.value.instance == "a"
    async with held(database, "a", patience_s=LIMIT_S):  # Postgres notices only later that a session has ended
        pass


async def test_names_of_two_databases_have_nothing_to_do_with_each_other(database: str, backend: Backend) -> None:
    async with held(database, "of-two-databases"), held(backend.postgres, "of-two-databases"):
        pass


async def test_a_holder_that_dies_is_waited_for(database: str, relay: PostgresRelay) -> None:
    async with held(relay.conninfo):
        patient = Instance(database, "a", patience_s=LIMIT_S)
        taking = asyncio.create_task(patient.take())
        await asyncio.wait([taking], timeout=0.5)
        assert not taking.done()
        await relay.cut()
        await taking
        await patient.close()


async def test_it_is_taken_again_after_postgres_was_away(database: str, relay: PostgresRelay) -> None:
    async with held(relay.conninfo) as instance, kept(instance):
        await relay.cut()
        async with asyncio.timeout(LIMIT_S):
            while await locks(database) > 0:  # noqa: ASYNC110  # locks cannot be waited for
                await asyncio.sleep(0.02)
        await relay.open()
        async with asyncio.timeout(LIMIT_S):
            while await locks(database) == 0:  # noqa: ASYNC110  # locks cannot be waited for
                await asyncio.sleep(0.02)


async def test_it_ends_when_another_has_it_after_postgres_was_away(database: str, relay: PostgresRelay) -> None:
    async with held(relay.conninfo) as instance, kept(instance) as keeping:
        await relay.cut()
        other = Instance(database, "a", patience_s=LIMIT_S)
        await other.take()
        await relay.open()
        with pytest.raises(InstanceInUse):
            async with asyncio.timeout(LIMIT_S):
                await keeping
        await other.close()


async def test_postgres_away(relay: PostgresRelay) -> None:
    conninfo = relay.conninfo
    await relay.cut()
    with pytest.raises(ReadModelUnavailable, match="Postgres does not hold the instance id"):
        await Instance(conninfo, "a").take()


async def locks(database: str) -> int:
    """How many instance ids are locked."""
    ((number,),) = await execute(
        database,
        "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
        " where l.locktype = 'advisory' and l.granted and d.datname = current_database()",
    )
    return int(number)
