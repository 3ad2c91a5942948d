"""Tasks that follow each other on the same resources: claimed together, run one after another, handed on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics
from pulp_worker.claims import Claims, LetGo, Parted

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import LIMIT_S, Pipeline, pipeline

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


async def test_a_task_that_fails_hands_on_as_well(pulp: Pipeline) -> None:
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


async def two_claims(pulp: Pipeline) -> tuple[Claims, list[LetGo]]:
    """A claim of two tasks on one resource, and the first one's parting in favour of the second."""
    for _ in range(2):
        await pulp.submit("echo", REPO, POOL)
    await projected(pulp)
    claims = Claims(pulp.settings())
    [[head, follower]] = await claims.claim(["echo"], 5, uuid4())
    assert set(head.tokens) == {"repository:demo", "pool:p"}
    return claims, [LetGo(head, is_over=False, heir=follower)]


async def ended(pulp: Pipeline, item: LetGo) -> LetGo:
    """The same, as of a task that is final."""
    await pulp.query(f"update tasks set state = 'successful' where task_id = '{item.claim.task_id}'")
    return item._replace(is_over=True)


@pytest.mark.parametrize("is_over", [False, True])
async def test_reservations_are_handed_on_with_higher_tokens(pulp: Pipeline, is_over: bool) -> None:
    claims, parting = await two_claims(pulp)
    if is_over:
        parting = [await ended(pulp, parting[0])]
    head, heir = parting[0].claim, parting[0].heir
    assert heir is not None
    tokens = (await claims.let_go(parting)).tokens[heir.task_id]
    assert all(tokens[resource] > head.tokens[resource] for resource in ("repository:demo", "pool:p"))
    again = (await claims.let_go(parting)).tokens[heir.task_id]  # the answer was lost
    assert again == tokens
    assert await pulp.query("select distinct task_id from reservations") == [(heir.task_id,)]
    await claims.close()


@pytest.mark.parametrize("is_over", [False, True])
async def test_an_heir_whose_claim_was_swept_away_inherits_nothing(pulp: Pipeline, is_over: bool) -> None:
    claims, parting = await two_claims(pulp)
    if is_over:
        parting = [await ended(pulp, parting[0])]
    heir = parting[0].heir
    assert heir is not None
    await pulp.query(f"update claims set released_at = now() where task_id = '{heir.task_id}'")
    assert (await claims.let_go(parting)).tokens == {}
    assert await pulp.query("select task_id from reservations") == []
    await claims.close()


async def test_those_that_have_ended_and_those_that_have_not_part_together(pulp: Pipeline) -> None:
    claims, [first] = await two_claims(pulp)
    await pulp.submit("echo", Resource(type="repository", id="other"))
    await pulp.submit("echo", Resource(type="repository", id="other"))
    await projected(pulp)
    [[head, follower]] = await claims.claim(["echo"], 5, uuid4())
    parted = await claims.let_go([await ended(pulp, first), LetGo(head, is_over=False, heir=follower)])
    assert first.heir is not None
    assert {task_id: set(tokens) for task_id, tokens in parted.tokens.items()} == {
        first.heir.task_id: {"repository:demo", "pool:p"},
        follower.task_id: {"repository:other"},
    }
    assert await pulp.query("select task_id from claims where released_at is not null") == [(head.task_id,)]
    await claims.close()


async def test_only_what_nobody_inherits_is_told_to_others(pulp: Pipeline, database: str) -> None:
    claims, [parting] = await two_claims(pulp)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listening:
        await listening.execute("listen pulp_claims")
        parted = await claims.let_go([await ended(pulp, parting)])
        assert [notice async for notice in listening.notifies(timeout=0.2)] == []
        assert parting.heir is not None
        heir = parting.heir._replace(tokens=parted.tokens[parting.heir.task_id])
        assert await claims.let_go([await ended(pulp, LetGo(heir, is_over=True))]) == Parted({}, frozenset())
        assert len([notice async for notice in listening.notifies(timeout=LIMIT_S, stop_after=1)]) == 1
    await claims.close()


async def test_what_is_not_final_is_not_let_go_of_as_ended(pulp: Pipeline) -> None:
    claims, [parting] = await two_claims(pulp)
    over = parting._replace(is_over=True)
    held = "select task_id, resource, token from reservations order by resource"
    before = await pulp.query(held)
    for item in (over, over._replace(heir=None)):
        assert await claims.let_go([item]) == Parted({}, frozenset({parting.claim.task_id}))
        assert await pulp.query(held) == before
    assert await pulp.query("select count(*) from claims where released_at is null") == [(2,)]
    await claims.close()
