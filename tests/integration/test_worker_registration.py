"""What a worker writes when it registers, and which rows of others it removes."""

from pathlib import Path
from typing import Any

from pulp_events.topics import Topics
from pulp_worker.registration import Registration
from pulp_worker.sdk import operation
from pulp_worker.settings import Settings

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


def registration(database: str, **changed: Any) -> Registration:
    known: dict[str, Any] = {"kafka": "", "postgres": database, "topics": Topics.named("t"), "storage": Path()}
    return Registration(Settings(**known, name="new", **changed))


async def names(database: str) -> set[str]:
    return {row[0] for row in await execute(database, "select name from workers")}


async def test_workers_that_have_been_gone_for_long_are_forgotten(database: str) -> None:
    await add_worker(database, "stopped-long-ago", 3 * DAY_S, is_stopped=True)
    await add_worker(database, "lost-long-ago", 3 * DAY_S, is_stopped=False)
    await add_worker(database, "stopped", DAY_S, is_stopped=True)
    await add_worker(database, "lost", DAY_S, is_stopped=False)
    await add_worker(database, "lost-with-a-claim", 3 * DAY_S, is_stopped=False)
    await execute(
        database,
        "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition)"
        " select gen_random_uuid(), 1, gen_random_uuid(), name, instance_id, 0 from workers"
        " where name = 'lost-with-a-claim'",
    )
    new = registration(database, forget_s=2 * DAY_S)
    await new.register([])
    assert await names(database) == {"new", "stopped", "lost", "lost-with-a-claim"}
    await new.close()


async def test_a_week_is_the_default(database: str) -> None:
    await add_worker(database, "six-days", 6 * DAY_S, is_stopped=True)
    await add_worker(database, "eight-days", 8 * DAY_S, is_stopped=True)
    new = registration(database)
    await new.register([])
    assert await names(database) == {"new", "six-days"}
    await new.close()


async def test_a_worker_says_which_operations_it_offers(database: str) -> None:
    new = registration(database)
    sync, publish = (operation(name)(lambda context: None) for name in ("sync", "publish"))
    await new.register([sync, publish])
    await new.register([sync])
    assert await execute(database, "select operations from workers") == [(["sync"],)]
    await new.close()
