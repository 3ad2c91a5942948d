"""How far the projection is, as its readers learn it from Postgres."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from pulp_events.task import Position
from pulp_projections.reading.positions import Positions

from tests.support.postgres_relay import PostgresRelay


@pytest.fixture
async def positions(relay: PostgresRelay) -> AsyncIterator[Positions]:
    made = Positions(relay.conninfo)
    await made.start()
    yield made
    await made.close()


async def test_an_answer_that_is_older_than_what_was_heard_meanwhile_takes_nothing_back(
    database: str, relay: PostgresRelay, positions: Positions
) -> None:
    # Postgres answers the next query of the positions, and only then is a batch committed: the client gets both
    # together.
    relay.keep_until(b"pulp_positions")
    await relay.keeps.wait()
    async with await psycopg.AsyncConnection.connect(database) as processor:
        await processor.execute("update generation_1.positions set next_offset = 7 where partition = 0")
        await processor.execute("select pg_notify('pulp_positions', '1 0 7')")
    await positions.reach({0: 7}, 10)  # there is no other way: the relay passes on nothing more
    assert positions.has_passed(Position(0, 6))
    assert not positions.has_passed(Position(0, 7))


async def test_a_notification_that_is_none_of_ours_ends_nothing(database: str, positions: Positions) -> None:
    """Any role that may connect can send one."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as stranger:
        for payload in ("", "x", "1 0", "1 0 x", "1 0 1 1"):
            await stranger.execute("select pg_notify('pulp_positions', %s)", [payload])
        await stranger.execute("update generation_1.positions set next_offset = 7 where partition = 0")
        await stranger.execute("select pg_notify('pulp_positions', '1 0 7')")
    await positions.reach({0: 7}, 10)
    assert positions.is_connected
