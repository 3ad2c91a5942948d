"""The rows that a worker writes when it registers, and the rows of others that it removes."""

from uuid import uuid4

from psycopg import AsyncConnection
from pulp_projections.channels import DISPATCH, WORKERS
from pulp_worker.sdk import operation

from tests.support.assigned import assign
from tests.support.declared import registration
from tests.support.projection import execute

DAY_S = 86_400


async def add_worker(database: str, name: str, gone_s: float, *, is_stopped: bool) -> None:
    await execute(
        database,
        "insert into workers (name, instance_id, host, pid, queues, concurrency, versions, lease_seconds, started_at,"
        " heartbeat_at, stopped_at) values (%s, gen_random_uuid(), 'h', 1, '{default}', 1, '{}', 6,"
        " now() - interval '1 year', now() - make_interval(secs => %s),"
        " case when %s then now() - make_interval(secs => %s) end)",
        [name, gone_s, is_stopped, gone_s],
    )


async def names(database: str) -> set[str]:
    return {row[0] for row in await execute(database, "select name from workers")}


async def test_workers_that_have_been_gone_for_long_are_forgotten(database: str) -> None:
    await add_worker(database, "stopped-long-ago", 3 * DAY_S, is_stopped=True)
    await add_worker(database, "lost-long-ago", 3 * DAY_S, is_stopped=False)
    await add_worker(database, "stopped", DAY_S, is_stopped=True)
    await add_worker(database, "lost", DAY_S, is_stopped=False)
    await add_worker(database, "lost-with-a-claim", 3 * DAY_S, is_stopped=False)
    [(instance_id,)] = await execute(database, "select instance_id from workers where name = 'lost-with-a-claim'")
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await assign(connection, uuid4(), worker="lost-with-a-claim", instance_id=instance_id)
    async with registration(database, "new", forget_s=2 * DAY_S) as new:
        await new.register([])
    assert await names(database) == {"new", "stopped", "lost", "lost-with-a-claim"}


async def test_a_week_is_the_default(database: str) -> None:
    await add_worker(database, "six-days", 6 * DAY_S, is_stopped=True)
    await add_worker(database, "eight-days", 8 * DAY_S, is_stopped=True)
    async with registration(database, "new") as new:
        await new.register([])
    assert await names(database) == {"new", "six-days"}


async def test_a_worker_says_which_operations_it_offers(database: str) -> None:
    sync, publish = (operation(name)(lambda context: None) for name in ("sync", "publish"))
    async with registration(database) as new:
        await new.register([sync, publish])
        await new.register([sync])
    assert await execute(database, "select operations from workers") == [(["sync"],)]


async def test_the_dispatcher_is_told_who_comes_drains_and_goes(database: str) -> None:
    async with (
        await AsyncConnection.connect(database, autocommit=True) as listening,
        registration(database) as worker,
    ):
        await listening.execute(f"listen {DISPATCH}")

        async def told() -> list[str]:
            return [notice.payload async for notice in listening.notifies(timeout=30, stop_after=1)]

        row = "select draining, stopped_at is not null from workers"
        await worker.register([])
        assert (await told(), await execute(database, row)) == ([WORKERS], [(False, False)])
        await worker.drain()
        assert (await told(), await execute(database, row)) == ([WORKERS], [(True, False)])
        await worker.unregister()
        assert (await told(), await execute(database, row)) == ([WORKERS], [(True, True)])
        await worker.register([])  # like one that was stopped in the middle of its shutdown
        assert (await told(), await execute(database, row)) == ([WORKERS], [(True, False)])
