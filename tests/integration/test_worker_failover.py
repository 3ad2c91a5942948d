"""When a Postgres that lacks the last transactions takes over, nothing runs twice, and nothing stays held."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics
from pulp_worker.claims import Claims

from tests.conftest import PARTITIONS
from tests.support.assigned import assign, hold
from tests.support.backends import Backend
from tests.support.pipeline import Pipeline, pipeline
from tests.support.projection import execute
from tests.support.worker_claims import chain, worker_claims

REPO = Resource("repository", "demo")
SHARED = Resource("content_unit", "orphans", Access.SHARED)
CLAIM = "select task_id, attempt, attempt_id, worker, instance_id, partition, hold_id, place, tokens, released_at from claims"
RESERVATIONS = "select hold_id, resource, exclusive from reservations order by resource"


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


@pytest.fixture
async def claims(database: str) -> AsyncIterator[Claims]:
    async with worker_claims(database) as made:
        yield made


async def take_over(pulp: Pipeline, *lost: str) -> None:
    """Another server takes over, with another timeline; `lost` undoes what it lacks. All in one transaction.

    The connections of the dispatcher and of workers break, and the dispatcher finds nothing before everything is done.
    """
    timeline = "create or replace function timeline() returns text language sql as $$select '000000FF'$$"
    broken = (
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        " and (starts_with(application_name, 'pulp-dispatcher') or starts_with(application_name, 'pulp-worker'))"
    )
    await pulp.query(f"begin; lock table dispatcher; {timeline}; {'; '.join(lost)}; {broken}; commit")


async def settled(pulp: Pipeline) -> None:
    """Wait until a task that needs nothing has run: tasks are assigned again."""
    assert (await pulp.end(await pulp.submit("echo")))["state"] == "successful"


async def test_a_running_task_keeps_what_it_holds(pulp: Pipeline) -> None:
    async with pulp.worker(lease_s=1.5):
        running = await pulp.submit("patient", REPO, SHARED)
        await pulp.running(running)
        before = await pulp.query(CLAIM), await pulp.query(RESERVATIONS)
        await take_over(pulp, "delete from claims", "delete from holds")
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
    """Both notice at their next heartbeat; nothing is assigned before every lease has passed."""
    async with pulp.worker("w1", lease_s=3), pulp.worker("w2", lease_s=1):
        running = await pulp.submit("patient", REPO)
        await pulp.running(running)
        await take_over(pulp, "delete from claims", "delete from holds")
        behind = await pulp.submit("echo", REPO)
        await settled(pulp)
        row = await pulp.query("select now() - seen_at > interval '3 s' from timelines where timeline = timeline()")
        assert row == [(True,)]
        assert (await pulp.task(behind) or {})["state"] == "waiting"
        await pulp.cancel(running)
        assert (await pulp.end(behind))["state"] == "successful"
        assert (pulp.storage / f"begun-{running}").read_text().count("\n") == 1
        await pulp.nothing_is_held()


async def test_what_had_ended_ends_again(pulp: Pipeline) -> None:
    async with pulp.worker(lease_s=1.5):
        ended = await pulp.submit("echo", REPO)
        await pulp.end(ended)
        await pulp.nothing_is_held()
        await take_over(
            pulp,
            "insert into holds (hold_id, worker, instance_id) select gen_random_uuid(), name, instance_id from workers",
            "insert into claims (task_id, attempt, attempt_id, worker, instance_id, partition, hold_id, tokens)"
            " select t.task_id, t.attempt, t.attempt_id, h.worker, h.instance_id, t.partition, h.hold_id, '{1}'"
            " from tasks t, holds h",
            "insert into reservations (hold_id, resource, exclusive, slot)"
            " select hold_id, 'repository:demo', true, int8range(null, null) from holds",
        )
        after = await pulp.end(await pulp.submit("echo", REPO))
        assert after["state"] == "successful"
        assert (pulp.storage / f"begun-{ended}").read_text().count("\n") == 1
        await pulp.nothing_is_held()


async def test_nothing_is_assigned_before_the_projection_is_complete_again(pulp: Pipeline) -> None:
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


async def test_to_a_worker_that_was_never_cut_off_something_is_assigned_at_once(pulp: Pipeline) -> None:
    async with pulp.worker(lease_s=60):
        await settled(pulp)
        assert await pulp.query("select count(*) from timelines") == [(1,)]


async def test_a_chain_is_put_back_as_it_was(database: str, claims: Claims) -> None:
    instance_id, _ = await chain(database, ["running", "waiting", "waiting"], uses={"a": True, "b": False})
    held = (await claims.look(instance_id, [])).assigned
    before = await execute(database, f"{CLAIM} order by place"), await execute(database, RESERVATIONS)
    await execute(database, "delete from claims")
    await execute(database, "delete from holds")
    for _ in range(2):  # the answer may get lost
        assert await claims.put_back(instance_id, held) == {claim.attempt_id for claim in held}
        assert await execute(database, f"{CLAIM} order by place") == before[0]
        assert await execute(database, RESERVATIONS) == before[1]
    assert (await claims.look(instance_id, [])).assigned == held


async def test_a_claim_is_not_held_while_another_hold_has_its_resource(database: str, claims: Claims) -> None:
    """It came back with that server, and its worker will soon give it up."""
    instance_id, _ = await chain(database, ["running"], uses={"a": True})
    held = (await claims.look(instance_id, [])).assigned
    await execute(database, "delete from claims")
    await execute(database, "delete from holds")
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await hold(connection, "w2", uses={"a": True})
    assert await claims.put_back(instance_id, held) == frozenset()
    await execute(database, "delete from holds where worker = 'w2'")
    assert await claims.put_back(instance_id, held) == {held[0].attempt_id}


async def test_a_later_attempt_is_not_replaced_by_what_is_put_back(database: str, claims: Claims) -> None:
    instance_id, tasks = await chain(database, ["running"], uses={"a": True})
    held = (await claims.look(instance_id, [])).assigned
    await execute(database, "delete from claims")
    await execute(database, "delete from holds")
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await assign(connection, *tasks, worker="w2", uses={"a": True}, attempt=2)
    later = await execute(database, CLAIM)
    assert await claims.put_back(instance_id, held) == frozenset()
    assert await execute(database, CLAIM) == later
