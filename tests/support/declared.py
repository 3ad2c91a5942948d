"""Operations and workers in a database, as workers register them."""

from collections.abc import Sequence
from pathlib import Path

from pulp_events.topics import Topics
from pulp_worker.registration import Registration
from pulp_worker.sdk import Operation
from pulp_worker.settings import Settings

from tests.support.projection import execute


async def declare(
    database: str, *operations: Operation, worker: str = "w1", queues: Sequence[str] = ("default",)
) -> None:
    """A worker that lives and offers these operations."""
    settings = Settings(
        kafka="",
        postgres=database,
        topics=Topics.named("t"),
        storage=Path(),
        name=worker,
        queues=tuple(queues),
        lease_s=600,
    )
    registration = Registration(settings)
    try:
        await registration.register(operations)
    finally:
        await registration.close()


async def add_worker(database: str, *operations: str, name: str = "w1", queues: Sequence[str] = ("default",)) -> None:
    """A worker that lives and offers operations of these names."""
    await execute(
        database,
        "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds)"
        " values (%s, gen_random_uuid(), 'h', 1, %s, %s, 1, '{}', 600)",
        [name, list(queues), list(operations)],
    )
