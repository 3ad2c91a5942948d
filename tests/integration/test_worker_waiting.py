"""Why tasks wait, while a real worker runs: what it holds, what follows it, and when its slots are taken."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from pulp_api.v3.waiting import Code, WaitReason, reason_of
from pulp_events.events import Resource
from pulp_events.topics import Topics
from pulp_projections.reading.waiting import facts_of
from pulp_projections.workers import slots
from pulp_runtime.installation import UNSERVED_S

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import Pipeline, pipeline

ZOO, BEAR = Resource(type="repository", id="zoo"), Resource(type="repository", id="bear")


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def reason(pulp: Pipeline, task_id: UUID) -> WaitReason:
    async with await psycopg.AsyncConnection.connect(pulp.database) as connection:
        facts = await facts_of(connection, task_id, unserved_s=UNSERVED_S)
    assert facts is not None
    return reason_of(facts)


async def free_slots(pulp: Pipeline) -> int:
    async with await psycopg.AsyncConnection.connect(pulp.database) as connection:
        return (await slots(connection)).free


async def test_what_waits_for_a_worker_that_runs(pulp: Pipeline) -> None:
    async with pulp.worker(concurrency=2):
        assert await free_slots(pulp) == 2
        # Both together: the second may be claimed in a chain with the first, which takes no slot, and still waits for
        # it.
        holder, follower = await pulp.submit("patient", ZOO), await pulp.submit("patient", ZOO)
        await pulp.running(holder)
        assert await free_slots(pulp) == 1
        found = await reason(pulp, follower)
        assert (found.code, list(found.tasks), found.resource) == (Code.RESOURCE_HELD, [holder], ZOO.key)

        other = await pulp.submit("patient", BEAR)
        await pulp.running(other)
        assert await free_slots(pulp) == 0
        late = await pulp.submit("echo")
        await pulp.until(late, lambda row: row["state"] == "waiting")
        assert (await reason(pulp, late)).code is Code.NO_FREE_SLOT

        unknown = await pulp.submit("of-a-plugin-that-is-gone")
        await pulp.until(unknown, lambda row: True)
        assert (await reason(pulp, unknown)).code is Code.NO_WORKER_FOR_OPERATION
        elsewhere = await pulp.submit("echo", queue="elsewhere")
        await pulp.until(elsewhere, lambda row: True)
        assert (await reason(pulp, elsewhere)).code is Code.NO_WORKER_FOR_QUEUE

        for task_id in (other, holder):
            await pulp.cancel(task_id)
        await pulp.running(follower)  # the awaited task has ended, and it runs
        await pulp.end(late)
        await pulp.cancel(follower)
        await pulp.end(follower)
        await pulp.nothing_is_held()
        assert await free_slots(pulp) == 2
    stopped = await pulp.submit("echo")
    await pulp.until(stopped, lambda row: True)
    told = (await reason(pulp, stopped)).message
    assert told.startswith("No worker is live, so none serves the queue default. Worker w1 did, until 20")
