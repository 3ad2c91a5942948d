"""`purge-tasks` hides matching tasks, a few at a time, and leaves unfinished ones."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from pulp_events.events import Outcome, Retry
from pulp_events.topics import Topics
from pulp_worker import purging

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted, finished, purged, started
from tests.support.pipeline import Pipeline, pipeline


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def ended(pulp: Pipeline, outcome: Outcome = Outcome.SUCCESSFUL, partition: int = 0) -> UUID:
    task_id, attempt_id = uuid4(), uuid4()
    for event in (
        accepted(task_id),
        started(task_id, attempt_id=attempt_id),
        finished(task_id, attempt_id=attempt_id, outcome=outcome),
    ):
        await pulp.log.append(event, partition)
    return task_id


async def shown(pulp: Pipeline) -> set[UUID]:
    return {row[0] for row in await pulp.query("select task_id from tasks where purged_at is null")}


async def test_it_hides_what_matches_page_by_page_and_nothing_else(
    pulp: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "MOST_AT_ONCE", 3)
    gone = {await ended(pulp, partition=number % PARTITIONS) for number in range(8)}
    failed = await ended(pulp, Outcome.FAILED)
    waiting = await pulp.submit("until-file", queue="nobody's")
    for task_id in (*gone, failed):
        await pulp.end(task_id)
    async with pulp.worker():
        task_id = await pulp.submit("purge-tasks", arguments={"states": ["successful", "skipped"]})
        row = await pulp.end(task_id)
        assert (row["state"], row["result"], row["error"]) == ("successful", {"purged": 8}, None)
        assert row["progress"] == {"purge_tasks": {"items_total": 8, "items_left": 0}}
        assert await shown(pulp) == {failed, waiting, task_id}
        rows = await pulp.query("select task_id, state, purged_by from tasks where purged_at is not null")
        assert {(each[0], *each[1:]) for each in rows} == {(each, "successful", "user:admin") for each in gone}
        assert await pulp.history(next(iter(gone))) == [
            *[("accepted", "applied"), ("started", "applied"), ("finished", "applied"), ("purged", "applied")]
        ]
        counts = await pulp.query("select state, operation, sum(tasks)::int from task_counts group by 1, 2")
        assert {(state, operation): tasks for state, operation, tasks in counts if tasks} == {
            ("failed", "sync"): 1,
            ("waiting", "until-file"): 1,
            ("successful", "purge-tasks"): 1,
        }


async def test_it_keeps_to_the_time_and_the_author(pulp: Pipeline) -> None:
    task_id = await ended(pulp)
    await pulp.end(task_id)
    long_ago = datetime.now(UTC) - timedelta(days=30)
    async with pulp.worker():
        for filter_ in (
            {"finished_before": long_ago.isoformat()},
            {"created_by": "user:eve"},
        ):
            purge = await pulp.submit("purge-tasks", arguments={"states": ["successful"], **filter_})
            assert (await pulp.end(purge))["result"] == {"purged": 0}
            assert task_id in await shown(pulp)
        purge = await pulp.submit("purge-tasks", arguments={"states": ["successful"], "created_by": "user:admin"})
        assert (await pulp.end(purge))["result"] == {"purged": 3}
        assert await shown(pulp) == {purge}


async def test_what_was_purged_already_is_passed_over(pulp: Pipeline) -> None:
    first, second = await ended(pulp), await ended(pulp)
    await pulp.end(second)
    await pulp.log.append(purged(first, by="user:eve"), 0)
    await pulp.until(first, lambda row: row["purged_at"] is not None)
    async with pulp.worker():
        purge = await pulp.submit("purge-tasks", arguments={"states": ["successful"]})
        assert (await pulp.end(purge))["result"] == {"purged": 1}
    rows = await pulp.query("select task_id, purged_by from tasks where purged_at is not null")
    assert dict(rows) == {first: "user:eve", second: "user:admin"}


async def test_the_event_names_the_purge_and_its_filter(pulp: Pipeline) -> None:
    task_id = await ended(pulp)
    await pulp.end(task_id)
    async with pulp.worker("w1"):
        purge = await pulp.submit("purge-tasks", arguments={"states": ["successful"]})
        await pulp.end(purge)
    [(actor, cause, by, states)] = await pulp.query(
        "select actor, e ->> 'causationid', e -> 'data' ->> 'requested_by', e -> 'data' -> 'filter' -> 'states'"
        " from (select actor, convert_from(event, 'UTF8')::json as e from task_events"
        f" where task_id = '{task_id}' and type like '%.purged.%') p"
    )
    assert (actor, cause, by, states) == ("worker:w1", str(purge), "user:admin", ["successful"])


async def test_it_can_be_cancelled_between_two_pages(pulp: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "MOST_AT_ONCE", 1)
    tasks = [await ended(pulp) for _ in range(200)]
    await pulp.end(tasks[-1])
    async with pulp.worker(grace_s=20):
        purge = await pulp.submit("purge-tasks", arguments={"states": ["successful"]})
        await pulp.running(purge)
        await pulp.cancel(purge)
        row = await pulp.end(purge)
        assert row["state"] == "cancelled"
        left = len(await shown(pulp)) - 1
        assert 0 < left < 200
        monkeypatch.undo()
        again = await pulp.submit("purge-tasks", arguments={"states": ["successful"]})
        assert (await pulp.end(again))["result"] == {"purged": left}


async def test_the_next_attempt_goes_on_and_tells_what_all_have_purged(
    pulp: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(purging, "MOST_COUNTED", 2)
    earlier = await ended(pulp)
    await pulp.end(earlier)
    await pulp.log.append(purged(earlier), 0)
    await pulp.until(earlier, lambda row: row["purged_at"] is not None)
    tasks = [await ended(pulp) for _ in range(8)]
    await pulp.end(tasks[-1])
    whole, pages = purging.Purge._append, []

    async def interrupted(self: purging.Purge, page: Sequence[Any], *rest: Any) -> Any:
        pages.append(len(page))
        positions = await whole(self, page, *rest)
        if len(pages) == 2:  # its events are in the log, but it can no longer say so
            raise ConnectionError("the log is away")
        return positions

    monkeypatch.setattr(purging.Purge, "_append", interrupted)
    async with pulp.worker():
        retry = Retry(retries=1, backoff_seconds=0.0)
        purge = await pulp.submit("purge-tasks", arguments={"states": ["successful"]}, retry=retry)
        row = await pulp.end(purge)
    assert (row["state"], row["failed_attempts"], row["result"]) == ("successful", 1, {"purged": 8})
    assert row["progress"] == {"purge_tasks": {"items_total": 8, "items_left": 0}}
    assert pages == [3, 3, 2]
    assert await shown(pulp) == {purge}


async def test_pages_are_full_however_far_apart_the_tasks_are(pulp: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "MOST_AT_ONCE", 2)
    whole, pages = purging.Purge._append, []

    async def noted(self: purging.Purge, page: Sequence[Any], *rest: Any) -> Any:
        pages.append(len(page))
        return await whole(self, page, *rest)

    monkeypatch.setattr(purging.Purge, "_append", noted)
    eves = []
    for number in range(12):
        task_id = uuid4()
        event = accepted(task_id)
        await pulp.log.append(replace(event, actor="user:eve") if number % 4 == 0 else event, 0)
        await pulp.log.append(finished(task_id, attempt_id=None), 0)
        eves += [task_id] if number % 4 == 0 else []
    await pulp.end(task_id)
    async with pulp.worker():
        arguments = {"states": ["successful"], "created_by": "user:eve"}
        purge = await pulp.submit("purge-tasks", arguments=arguments)
        assert (await pulp.end(purge))["result"] == {"purged": 3}
    assert pages == [2, 1]
    assert not await shown(pulp) & set(eves)


async def test_two_purges_at_once_tell_each_task_once(pulp: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "MOST_AT_ONCE", 5)
    tasks = [await ended(pulp) for _ in range(200)]
    await pulp.end(tasks[-1])
    async with pulp.worker():
        purges = [await pulp.submit("purge-tasks", arguments={"states": ["successful"]}) for _ in range(2)]
        results = [(await pulp.end(purge))["result"]["purged"] for purge in purges]
    assert not await shown(pulp) & set(tasks)
    assert sum(results) == await _purged_in_all(pulp)


async def _purged_in_all(pulp: Pipeline) -> int:
    [(count,)] = await pulp.query(
        "select count(*) from task_events where type like '%.purged.%' and effect = 'applied'"
    )
    return int(count)
