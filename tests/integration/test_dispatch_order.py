"""Which tasks are assigned: the dispatcher and its SQL compared with a plain reading of the rules, on random
histories."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import AsyncConnection, errors

from tests.support.assigned import hold
from tests.support.dispatch_world import World

STEPS = 300


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        yield connected


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_assigned_is_what_the_rules_say(database: str, connection: AsyncConnection, seed: int) -> None:
    world = World(database, connection, seed)
    await world.start()
    try:
        for _ in range(STEPS):
            await world.step()
    finally:
        await world.stage.close()
    assert len(world.attempts) > STEPS / 10  # else little happened


async def test_a_conflicting_reservation_is_refused_by_the_database(connection: AsyncConnection) -> None:
    for _ in range(2):
        await hold(connection, uses={"r": False})
    with pytest.raises(errors.ExclusionViolation):
        await hold(connection, uses={"r": True})
    await connection.execute("delete from holds")
    await hold(connection, uses={"r": True})
    with pytest.raises(psycopg.IntegrityError):
        await hold(connection, uses={"r": False})
