"""Tasks that follow each other on the same resources: assigned together, and run one after another in one slot."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics
from pulp_projections.channels import DISPATCH
from pulp_worker.claims import Claims

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import LIMIT_S, Pipeline, pipeline
from tests.support.projection import execute
from tests.support.worker_claims import chain, worker_claims

REPO = Resource(type="repository", id="demo")
POOL = Resource(type="pool", id="p", access=Access.SHARED)


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def projected(pulp: Pipeline) -> None:
    await pulp.positions.reach(await pulp.log.end_offsets(), LIMIT_S)


async def test_tasks_on_one_resource_run_one_after_another_in_order(pulp: Pipeline) -> None:
    tasks = [await pulp.submit("locked", REPO) for _ in range(40)]
    await projected(pulp)
    async with pulp.worker("w1", concurrency=8), pulp.worker("w2", concurrency=8):
        rows = [await pulp.end(task_id) for task_id in tasks]
        assert [row["error"] for row in rows] == [None] * 40
        tokens = [row["result"]["repository:demo"] for row in rows]
        assert tokens == sorted(set(tokens))
        order = await pulp.query(
            "select task_id, split_part(type, '.', 4) from task_events where effect = 'applied' and type !~ 'accepted'"
            " order by record_offset"
        )
        assert order == [(task_id, kind) for task_id in tasks for kind in ("started", "finished")]
        await pulp.nothing_is_held()


async def test_what_waits_behind_a_long_task_is_given_back_for_others(pulp: Pipeline) -> None:
    tasks = [await pulp.submit("until-file", REPO), await pulp.submit("echo", REPO)]
    await projected(pulp)
    async with pulp.worker():
        await pulp.running(tasks[0])
        async with asyncio.timeout(LIMIT_S):
            while len(await pulp.query("select task_id from claims where released_at is null")) > 1:  # noqa: ASYNC110  # rows
                await asyncio.sleep(0.02)
        (pulp.storage / "go").touch()
        assert [(await pulp.end(task_id))["attempt"] for task_id in tasks] == [1, 2]
        await pulp.nothing_is_held()


async def test_behind_a_task_that_fails_the_next_one_runs_as_well(pulp: Pipeline) -> None:
    tasks = [await pulp.submit("misbehave", REPO, arguments={"how": how}) for how in ("raise", "code", "fine")]
    await projected(pulp)
    async with pulp.worker():
        rows = [await pulp.end(task_id) for task_id in tasks]
        assert [row["state"] for row in rows] == ["failed", "failed", "successful"]
        assert {row["attempt"] for row in rows} == {1}
        await pulp.nothing_is_held()


async def test_a_cancelled_task_in_between_is_passed_over(pulp: Pipeline) -> None:
    first, cancelled, last = [await pulp.submit("until-file", REPO) for _ in range(3)]
    await projected(pulp)
    async with pulp.worker():
        await pulp.running(first)
        await pulp.cancel(cancelled)
        assert (await pulp.end(cancelled))["state"] == "cancelled"
        (pulp.storage / "go").touch()
        assert [(await pulp.end(task_id))["state"] for task_id in (first, last)] == ["successful"] * 2
        assert not (pulp.storage / f"begun-{cancelled}").exists()
        await pulp.nothing_is_held()


@pytest.mark.parametrize("cancelled", [1, 2, 3])
async def test_wherever_a_cancel_comes_in_a_chain_the_others_run_in_order(pulp: Pipeline, cancelled: int) -> None:
    tasks = [await pulp.submit("locked", REPO) for _ in range(5)]
    await pulp.cancel(tasks[cancelled])
    await projected(pulp)
    async with pulp.worker():
        rows = [await pulp.end(task_id) for task_id in tasks]
        await pulp.nothing_is_held()
    assert [row["state"] for row in rows] == [
        "cancelled" if number == cancelled else "successful" for number in range(len(tasks))
    ]
    begun = [row["started_at"] for row in rows if row["state"] == "successful"]
    assert begun == sorted(begun)
    assert not (pulp.storage / f"begun-{tasks[cancelled]}").exists()


async def test_a_chain_keeps_its_resources_until_its_last_task_has_ended(pulp: Pipeline) -> None:
    """No task that waits for one of them comes in between, not even one with a higher priority."""
    tasks = [await pulp.submit("until-file", REPO, POOL), await pulp.submit("echo", REPO, POOL)]
    await projected(pulp)
    async with pulp.worker(concurrency=4):
        await pulp.running(tasks[0])
        behind = await pulp.submit("echo", REPO, priority=9)
        await projected(pulp)
        (pulp.storage / "go").touch()
        ended = [await pulp.end(task_id) for task_id in (*tasks, behind)]
        assert [row["state"] for row in ended] == ["successful"] * 3
        assert [row["started_at"] for row in ended] == sorted(row["started_at"] for row in ended)
        await pulp.nothing_is_held()
    assert await pulp.query("select hold_id from holds") == []


@pytest.fixture
async def claims(database: str) -> AsyncIterator[Claims]:
    async with worker_claims(database) as made:
        yield made


async def test_the_tasks_of_a_chain_have_rising_tokens_by_the_names_of_their_resources(
    pulp: Pipeline, claims: Claims
) -> None:
    tasks = [await pulp.submit("echo", REPO, POOL) for _ in range(3)]
    await projected(pulp)
    instance_id = uuid4()
    await pulp.query(
        "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds)"
        f" values ('w1', '{instance_id}', 'h', 1, '{{default}}', '{{echo}}', 1, '{{}}', 600)"
    )
    async with asyncio.timeout(LIMIT_S):
        while not (found := (await claims.look(instance_id, [])).assigned):
            await claims.heard(0.1)
    assert [claim.task_id for claim in found] == tasks
    assert len({claim.hold_id for claim in found}) == 1
    assert [claim.place for claim in found] == [0, 1, 2]
    assert {claim.exclusive for claim in found} == {frozenset({"repository:demo"})}
    for resource in ("repository:demo", "pool:p"):
        tokens = [claim.tokens[resource] for claim in found]
        assert tokens == sorted(set(tokens))
    assert await pulp.query("select resource, exclusive from reservations order by 1") == [
        ("pool:p", False),
        ("repository:demo", True),
    ]


async def test_what_is_not_final_is_not_ended(database: str, claims: Claims) -> None:
    instance_id, tasks = await chain(database, ["failed", "running", "waiting"], uses={"a": True})
    assigned = (await claims.look(instance_id, [])).assigned
    attempts = {claim.task_id: claim.attempt_id for claim in assigned}
    kept = frozenset(attempts[task_id] for task_id in tasks[1:])
    for _ in range(2):  # the answer may be lost
        assert await claims.end(assigned) == kept
        left = (await claims.look(instance_id, [])).assigned
        assert [claim.task_id for claim in left] == tasks[1:]
    assert await execute(database, "select resource from reservations") == [("a",)]


async def test_what_is_released_is_so_for_the_worker_as_well(database: str, claims: Claims) -> None:
    instance_id, tasks = await chain(database, ["running", "waiting"], uses={"a": True})
    first, second = (await claims.look(instance_id, [])).assigned
    for _ in range(2):
        await claims.release([second])
    look = await claims.look(instance_id, [first, second])
    assert (look.assigned, look.statuses[first.attempt_id].is_held, look.statuses[second.attempt_id].is_held) == (
        [],
        True,
        False,
    )
    assert await execute(database, "select attempt from claims where task_id = %s", [tasks[1]]) == [(1,)]


@pytest.mark.parametrize("how", ["end", "release"])
async def test_the_dispatcher_is_told_of_the_holds_of_what_was_ended_or_released(
    database: str, claims: Claims, how: str
) -> None:
    state = "failed" if how == "end" else "waiting"
    chains = [await chain(database, [state] * 3, uses={resource: True}) for resource in "ab"]
    found = [claim for instance_id, _ in chains for claim in (await claims.look(instance_id, [])).assigned]
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listening:
        await listening.execute(f"listen {DISPATCH}")
        await (claims.end(found) if how == "end" else claims.release(found))
        told = [notice.payload async for notice in listening.notifies(timeout=LIMIT_S, stop_after=1)]
    assert len(told[0].split()) == 2
    assert set(told[0].split()) == {str(claim.hold_id) for claim in found}
