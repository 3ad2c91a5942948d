"""A worker's connection to Postgres after a call on it has failed: the next call finds one that works."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from pulp_events.topics import Topics
from pulp_projections import locks
from pulp_projections.sql import load
from pulp_worker.claims import Claims
from pulp_worker.settings import Settings

from tests.support.postgres_relay import PostgresRelay

CLAIMS_SQL = load("pulp_worker", "claims.sql")


@pytest.fixture
async def claims(relay: PostgresRelay) -> AsyncIterator[Claims]:
    made = Claims(Settings(kafka="", postgres=relay.conninfo, topics=Topics.named("t"), storage=Path(), name="w"))
    yield made
    await made.close()


async def works(claims: Claims) -> bool:
    """Whether it can do all that a worker wants of it, at once."""
    await claims.settle([], uuid4(), {})
    await claims.put_back([], uuid4())
    return await claims.claim(["sync"], 1, uuid4()) == []


async def is_broken_off(operator: AsyncConnection, how: str) -> bool:
    """Whether a claim waited for the lock, and Postgres was asked to break it off."""
    cursor = await operator.execute(
        SQL(
            "select {}(pid) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
        ).format(Identifier(how))
    )
    return await cursor.fetchone() is not None


@pytest.mark.parametrize("how", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_a_claim_that_postgres_breaks_off_is_the_only_call_that_fails(
    database: str, claims: Claims, how: str
) -> None:
    async with (
        await AsyncConnection.connect(database) as another_claim,
        await AsyncConnection.connect(database, autocommit=True) as operator,
    ):
        await another_claim.execute(CLAIMS_SQL["claim_lock"], {"number": locks.CLAIMS})
        claiming = asyncio.create_task(claims.claim(["sync"], 1, uuid4()))
        async with asyncio.timeout(30):
            while not await is_broken_off(operator, how):  # noqa: ASYNC110  # nobody is told of locks that are waited for
                await asyncio.sleep(0.01)
        with pytest.raises(psycopg.OperationalError):
            await claiming
    assert await works(claims)


async def test_a_connection_whose_last_answer_was_its_end_is_not_used_again(
    relay: PostgresRelay, claims: Claims
) -> None:
    # Its end is an answer more than was asked for: the connection counts as open then, and never leaves its pipeline.
    assert await works(claims)
    relay.end_after_next_commit()
    with pytest.raises(psycopg.OperationalError):
        await claims.claim(["sync"], 1, uuid4())
    assert await works(claims)
