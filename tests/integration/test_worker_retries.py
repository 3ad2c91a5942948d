"""Tasks that are tried again: by a worker, a reactor and a dispatcher on a real log and a real database."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pulp_events.events import Resource, Retry
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import OPERATIONS, Pipeline, pipeline

REPO = Resource(type="repository", id="demo")
SOON = Retry(retries=3, backoff_seconds=0.1, max_backoff_seconds=0.3)
LATE = Retry(retries=3, backoff_seconds=3600, max_backoff_seconds=3600)


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS, margin_s=0.5) as made:
        yield made


async def flaky(pulp: Pipeline, retry: Retry, *, fails: int, operation: str = "flaky", **data: Any) -> UUID:
    return await pulp.submit(operation, REPO, arguments={"fails": fails}, retry=retry, **data)


async def effective(pulp: Pipeline, task_id: UUID) -> list[str]:
    """The kinds of the task's events that had an effect, without progress."""
    history = await pulp.history(task_id)
    return [kind for kind, effect in history if effect == "applied" and kind != "progress"]


async def between_attempts(pulp: Pipeline, task_id: UUID) -> dict[str, Any]:
    return await pulp.until(task_id, lambda row: row["state"] == "waiting" and row["failed_attempts"] == 1)


@pytest.mark.parametrize("operation", ["flaky", "flaky-plain"])
async def test_a_task_that_fails_is_tried_again_until_it_succeeds(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker():
        task_id = await flaky(pulp, SOON, fails=2, operation=operation)
        row = await pulp.end(task_id)
        assert (row["state"], row["attempt"], row["failed_attempts"], row["error"]) == ("successful", 3, 2, None)
        assert row["result"]["attempt"] == 3
        once = ["started", "attempt-failed"]
        assert await effective(pulp, task_id) == ["accepted", *once, *once, "started", "finished"]
        await pulp.nothing_is_held()


async def test_a_task_without_a_retry_left_has_failed(pulp: Pipeline) -> None:
    async with pulp.worker():
        row = await pulp.end(await flaky(pulp, Retry(1, 0.1, 0.1), fails=9))
        assert (row["state"], row["attempt"], row["failed_attempts"]) == ("failed", 2, 1)
        assert (row["error"]["code"], row["error"]["description"]) == ("flaky", "attempt 2 fails")
        await pulp.nothing_is_held()


@pytest.mark.parametrize("operation", ["flaky", "flaky-plain"])
async def test_an_error_that_is_final_ends_the_task(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker():
        arguments = {"fails": 1, "is_final": True}
        row = await pulp.end(await pulp.submit(operation, arguments=arguments, retry=SOON))
        assert (row["state"], row["attempt"], row["failed_attempts"]) == ("failed", 1, 0)


async def test_between_two_attempts_it_holds_nothing_and_stops_nobody(pulp: Pipeline) -> None:
    async with pulp.worker(concurrency=1):
        first = await flaky(pulp, LATE, fails=1)
        row = await between_attempts(pulp, first)
        assert (row["attempt"], row["attempt_id"], row["started_at"]) == (1, None, None)
        assert row["error"]["code"] == "flaky"
        assert 1800 <= (row["retry_at"] - row["updated_at"]).total_seconds() <= 3600
        second = await pulp.end(await pulp.submit("echo", REPO))
        assert second["state"] == "successful"
        assert (await between_attempts(pulp, first))["version"] == row["version"]


async def test_a_cancel_between_two_attempts_ends_the_task(pulp: Pipeline) -> None:
    async with pulp.worker():
        task_id = await flaky(pulp, LATE, fails=1)
        await between_attempts(pulp, task_id)
        await pulp.cancel(task_id)
        row = await pulp.end(task_id)
        assert (row["state"], row["retry_at"], row["error"]) == ("cancelled", None, None)
        await pulp.nothing_is_held()


async def test_another_worker_makes_the_next_attempt_if_the_first_has_stopped(pulp: Pipeline) -> None:
    async with pulp.worker("first"):
        task_id = await flaky(pulp, Retry(1, 4, 4), fails=1)
        await between_attempts(pulp, task_id)
    async with pulp.worker("second"):
        row = await pulp.end(task_id)
        assert (row["state"], row["worker"], row["attempt"]) == ("successful", "second", 2)
        await pulp.nothing_is_held()


@pytest.mark.parametrize("retries", [0, 1])
async def test_a_task_whose_worker_is_killed_is_tried_again_by_another_one(pulp: Pipeline, retries: int) -> None:
    environment = {
        **os.environ,
        **{"PULP_KAFKA": pulp.kafka, "PULP_POSTGRES": pulp.database, "PULP_STORAGE": str(pulp.storage)},
        **{"PULP_TOPIC_PREFIX": pulp.topics.events.removesuffix(".events"), "PULP_WORKER_MODULES": OPERATIONS},
        **{"PULP_WORKER_LEASE_S": "1", "PULP_WORKER_NAME": "killed"},
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "pulp_deploy", "worker", env=environment)
    try:
        task_id = await pulp.submit("until-file", REPO, retry=Retry(retries, 0.1, 0.1) if retries else None)
        await pulp.running(task_id)
    finally:
        process.kill()
        await process.wait()
    (pulp.storage / "go").touch()
    async with pulp.worker("other"):
        row = await pulp.end(task_id)
        if retries:
            assert (row["state"], row["worker"], row["attempt"]) == ("successful", "other", 2)
        else:
            assert (row["state"], row["error"]["code"], row["attempt"]) == ("failed", "worker-lost", 1)
        await pulp.nothing_is_held()


async def test_a_time_limit_is_that_of_one_attempt(pulp: Pipeline) -> None:
    async with pulp.worker():
        task_id = await pulp.submit("deaf", REPO, retry=Retry(1, 0.1, 0.1), timeout_seconds=1)
        row = await pulp.end(task_id)
        assert (row["state"], row["error"]["code"], row["attempt"]) == ("failed", "timeout", 2)
        assert await effective(pulp, task_id) == ["accepted", "started", "attempt-failed", "started", "finished"]
        await pulp.nothing_is_held()


async def test_a_deadline_ends_a_task_that_waits_for_its_first_attempt(pulp: Pipeline) -> None:
    task_id = await pulp.submit("echo", deadline_seconds=1)  # nobody can run it
    row = await pulp.end(task_id)
    assert (row["state"], row["error"]["code"], row["started_at"]) == ("failed", "deadline-exceeded", None)


async def test_a_deadline_ends_a_task_that_runs(pulp: Pipeline) -> None:
    async with pulp.worker():
        row = await pulp.end(await pulp.submit("deaf", retry=SOON, deadline_seconds=2))
        assert (row["state"], row["error"]["code"], row["attempt"]) == ("failed", "deadline-exceeded", 1)
        await pulp.nothing_is_held()


async def test_no_attempt_follows_that_could_not_begin_before_the_deadline(pulp: Pipeline) -> None:
    async with pulp.worker():
        row = await pulp.end(await flaky(pulp, LATE, fails=1, deadline_seconds=900))
        assert (row["state"], row["error"]["code"], row["failed_attempts"]) == ("failed", "flaky", 0)


async def test_a_worker_that_is_told_to_stop_leaves_its_task_to_another_one(pulp: Pipeline) -> None:
    async with pulp.worker("stopped", drain_s=0) as worker:
        task_id = await pulp.submit("until-file", REPO, retry=SOON)
        await pulp.running(task_id)
        await worker.stop()
    (pulp.storage / "go").touch()
    async with pulp.worker("other"):
        row = await pulp.end(task_id)
        assert (row["state"], row["worker"], row["failed_attempts"]) == ("successful", "other", 1)
