"""When another Postgres takes over that lacks the last transactions: nothing runs twice, and nothing stays held."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import Pipeline, pipeline

REPO = Resource("repository", "demo")
SHARED = Resource("content_unit", "orphans", Access.SHARED)
CLAIM = "select task_id, attempt, attempt_id, worker, instance_id, partition, released_at from claims"
RESERVATIONS = "select task_id, resource, exclusive, token from reservations order by resource"


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def take_over(pulp: Pipeline, *lost: str) -> None:
    """Another server takes over, with another timeline; `lost` undoes what it lacks. All of it at once."""
    timeline = "create or replace function timeline() returns text language sql as $$select '000000FF'$$"
    await pulp.query(f"begin; {timeline}; {'; '.join(lost)}; commit")


async def settled(pulp: Pipeline) -> None:
    """Returns when a task that needs nothing has run: something is claimed again."""
    assert (await pulp.end(await pulp.submit("echo")))["state"] == "successful"


async def test_a_running_task_keeps_what_it_holds(pulp: Pipeline) -> None:
    async with pulp.worker(lease_s=1.5):
        running = await pulp.submit("patient", REPO, SHARED)
        await pulp.running(running)
        before = await pulp.query(CLAIM), await pulp.query(RESERVATIONS)
        await take_over(pulp, "delete from claims")
        behind = await pulp.submit("echo", REPO)
        await settled(pulp)
        assert [row for row in await pulp.query(CLAIM) if row[0] == running] == before[0]
        assert await pulp.query(RESERVATIONS) == before[1]
        assert (await pulp.task(behind) or {})["state"] == "waiting"  # its resource was never free
        await pulp.cancel(running)
        assert (await pulp.end(running))["state"] == "cancelled"
        assert (await pulp.end(behind))["state"] == "successful"
        await pulp.nothing_is_held()


async def test_nobody_takes_what_another_worker_has_yet_to_put_back(pulp: Pipeline) -> None:
    """Both notice at their next heartbeat; neither claims before every lease has passed."""
    async with pulp.worker("w1", lease_s=3), pulp.worker("w2", lease_s=1):
        running = await pulp.submit("patient", REPO)
        await pulp.running(running)
        await take_over(pulp, "delete from claims")
        behind = await pulp.submit("echo", REPO)
        await settled(pulp)
        row = await pulp.query("select now() - seen_at > interval '3 s' from timelines where timeline = timeline()")
        assert row == [(True,)]
        assert (await pulp.task(behind) or {})["state"] == "waiting"
        await pulp.cancel(running)
        assert (await pulp.end(behind))["state"] == "successful"
        assert (pulp.storage / f"begun-{running}").read_text().count("\n") == 1
        await pulp.nothing_is_held()


async def test_what_had_been_let_go_is_let_go_again(pulp: Pipeline) -> None:
    async with pulp.worker(lease_s=1.5):
        ended = await pulp.submit("echo", REPO)
        await pulp.end(ended)
        await pulp.nothing_is_held()
        await take_over(
            pulp,
            "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition)"
            " select t.task_id, t.attempt, t.attempt_id, w.name, w.instance_id, t.partition from tasks t, workers w",
            "insert into reservations (task_id, resource, exclusive, slot)"
            " select task_id, 'repository:demo', true, int8range(null, null) from claims",
        )
        assert (await pulp.end(await pulp.submit("echo", REPO)))["state"] == "successful"
        await pulp.nothing_is_held()


async def test_nothing_is_claimed_before_the_projection_is_complete_again(pulp: Pipeline) -> None:
    async with pulp.worker(lease_s=1):
        await settled(pulp)
        await take_over(pulp, "update positions set next_offset = next_offset - 1 where partition = 0")
        lost = await pulp.submit("echo", partition=1)
        rows = (
            "select t.state from tasks t join timelines l on l.timeline = timeline()"
            " where l.seen_at + interval '2 s' < now()"
            f" and t.task_id = '{lost}'"
        )
        while not (found := await pulp.query(rows)):
            await pulp.positions.changed(0, 0.1)
        assert found == [("waiting",)]
        await pulp.query("update positions set next_offset = next_offset + 1 where partition = 0")
        assert (await pulp.end(lost))["state"] == "successful"


async def test_a_worker_that_was_never_cut_off_claims_at_once(pulp: Pipeline) -> None:
    async with pulp.worker(lease_s=60):
        await settled(pulp)
        assert await pulp.query("select count(*) from timelines") == [(1,)]
