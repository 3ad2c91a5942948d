"""A Postgres server that takes over may lack the last commits: nobody is shown less than they have seen."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg.conninfo import conninfo_to_dict
from pulp_events.errors import ReadModelUnavailable
from pulp_events.task import Position

from tests.support.backends import Backend
from tests.support.projection import execute
from tests.support.site import V2, V3, Site, site


@pytest.fixture
async def pulp(database: str) -> AsyncIterator[Site]:
    async with site(database) as made:
        yield made


async def lose_tail(pulp: Site, position: Position) -> None:
    """The projection is now before the position, and the process has heard that it is after it."""
    await pulp.execute(
        "update positions set next_offset = %s where partition = %s", position.offset, position.partition
    )
    moved = pulp.positions.current() | {position.partition: position.offset + 2}
    await pulp.execute("select pg_notify('pulp_positions', %s)", f"1 {position.partition} {position.offset + 2}")
    seen = 0
    async with asyncio.timeout(10):
        while pulp.positions.current() != moved:
            seen = await pulp.positions.changed(seen, 1)


@pytest.mark.parametrize("path", [f"{V3}/tasks/{{}}/", f"{V3}/tasks/", f"{V2}/tasks/"])
async def test_a_read_of_what_the_server_lost_is_no_old_answer(pulp: Site, path: str) -> None:
    task_id = await pulp.task()
    [(partition, offset)] = await pulp.execute("select partition, last_offset from tasks")
    await lose_tail(pulp, Position(partition, offset))
    asking = {"Pulp-Min-Position": f"{partition}:{offset}"}
    answer = await pulp.client.get(path.format(task_id), headers=asking)
    assert answer.status_code == 504
    assert "Retry-After" in answer.headers


async def test_nothing_is_reached_while_the_server_is_away(pulp: Site, database: str, backend: Backend) -> None:
    await pulp.task()
    [(partition, offset)] = await pulp.execute("select partition, last_offset from tasks")
    position = Position(partition, offset)
    assert pulp.positions.has_passed(position)
    name = conninfo_to_dict(database)["dbname"]
    listeners = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pulp-positions' and datname = %s"
    await execute(backend.postgres, f'alter database "{name}" allow_connections false')
    try:
        await execute(backend.postgres, listeners, [name])
        async with asyncio.timeout(10):
            while pulp.positions.is_connected:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.01)
        assert not pulp.positions.has_passed(position)
        with pytest.raises(ReadModelUnavailable):
            await pulp.positions.reach({partition: offset + 1}, 0.1)
    finally:
        await execute(backend.postgres, f'alter database "{name}" allow_connections true')
    await pulp.positions.reach({partition: offset + 1}, 10)
