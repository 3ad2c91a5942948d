"""What async operations do to the worker's process: other operations go on, or the culprit is named."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from pulp_events.events import Resource, Retry
from pulp_events.topics import Topics

from tests.conftest import PARTITIONS
from tests.integration.test_operation_process import TABLE
from tests.support.backends import Backend
from tests.support.pipeline import LIMIT_S, Pipeline, pipeline
from tests.support.processes import gone, is_running
from tests.support.shared_operations import SHARED
from tests.support.worker_process import WorkerProcess, first_of_namespace, logged_worker

OPERATIONS = "tests.support.shared_operations"
REPO = Resource(type="repository", id="demo")

SHARED_TABLE: dict[str, tuple[Any, str]] = {
    # way: (result, or None where it fails; a part of the description)
    "reads-standard-input": ("", ""),
    "runs-cat": ("", ""),
    "prints": ("said", ""),
    "leaves-a-task": ("said", ""),
    "leaves-a-thread": ("said", ""),
    "fills-the-executor": ("said", ""),
    "exits-in-a-task": (None, "SystemExit: 3"),
    "exits-in-a-task-that-nobody-awaits": (None, "SystemExit: from a task"),
    "stops-the-loop": (None, "RuntimeError: stop(): the event loop is the worker's"),
    "shuts-the-executor-down": (None, "RuntimeError: shutdown_default_executor(): the event loop is the worker's"),
    "stops-the-loop-in-a-callback": ("said", ""),
    "cancels-all-tasks": ([True], ""),
    "replaces-the-task-factory": ("said", ""),
    "comes-back-twice": ({"child": 0}, ""),
    "changes-folder": ("said", ""),
}


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


async def does(pulp: Pipeline, way: str, *resources: Resource, operation: str = "shared-ways") -> UUID:
    return await pulp.submit(operation, *resources, arguments={"way": way})


async def test_what_async_operations_do_costs_no_other_task(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS, PULP_WORKER_CONCURRENCY="2") as worker:
        other = await does(pulp, "waits")
        await pulp.running(other)
        tasks = {way: await does(pulp, way, REPO) for way in SHARED_TABLE}
        for way, task_id in tasks.items():
            result, words = SHARED_TABLE[way]
            row = await pulp.end(task_id)
            if result is None:
                assert (row["state"], row["error"]["code"]) == ("failed", "operation-failed"), way
                assert words in row["error"]["description"]
            else:
                assert (row["state"], row["result"]) == ("successful", result), (way, row["error"])
        assert (await pulp.end(await pulp.submit("decorated")))["result"] == "awaited"
        (pulp.storage / "go").touch()
        assert (await pulp.end(other))["result"] == "went"
        printed = worker.lines("printed ")
        assert len(printed) == 3
        assert all(f"task_id={tasks['prints']}" in line for line in printed)
        [left] = worker.lines("left threads behind")
        assert "left-thread" in left
        assert str(tasks["leaves-a-thread"]) in left
        assert worker.process.returncode is None
        worker.process.terminate()  # and the thread that is left does not keep it from ending
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() == 0


async def test_what_an_async_operation_leaves_has_ended_before_the_next_task_has_its_resource(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS):
        processes = await does(pulp, "leaves-a-process", REPO)
        pids = (await pulp.end(processes))["result"]
        assert not any(map(is_running, pids))
        call = await does(pulp, "leaves-a-call-in-a-thread", REPO)
        following = await does(pulp, "tells-its-process", REPO)
        ended, started = await pulp.end(call), await pulp.end(following)
        assert started["started_at"] >= ended["finished_at"]
        assert ended["result"] in map(str, files(pulp))
        left = await does(pulp, "leaves-a-task", REPO)
        await pulp.end(left)
        lines = written(pulp)
        await pulp.end(await does(pulp, "tells-its-process", REPO))
        assert written(pulp) == lines


async def test_who_blocks_the_loop_is_told_while_it_does(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS, PULP_WORKER_LEASE_S="60") as worker:
        task_id = await does(pulp, "blocks-for-a-while")
        told = await worker.says("the event loop is blocked", 2)
        assert all(f"task_id={task_id}" in line and "operation=shared-ways" in line for line in told)
        assert "blocked_s=1.0" in told[0]
        assert "blocked_s=2.0" in told[1]
        assert worker.lines(", in blocks_for_a_while")
        (pulp.storage / "told").touch()
        assert (await pulp.end(task_id))["state"] == "successful"
        assert worker.lines("the event loop turns again")


async def test_who_blocks_the_loop_for_longer_than_the_lease_is_told_to_its_task(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS) as worker:
        other, guilty = await does(pulp, "waits"), await does(pulp, "blocks", REPO)
        await pulp.running(other)
        row = await pulp.end(guilty)
        assert (row["state"], row["error"]["code"]) == ("failed", "loop-blocked")
        assert "time.sleep(600)" in row["error"]["traceback"]
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() == 70
        assert (await pulp.end(other))["error"]["code"] == "worker-lost"


async def test_who_ends_the_loop_from_a_callback_is_told(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS) as worker:
        task_id = await does(pulp, "exits-in-a-callback")
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() == 70
        [line] = worker.lines("has called sys.exit() in a callback")
        assert f"task_id={task_id}" in line


async def test_who_keeps_the_interpreter_is_ended_with_the_lease_and_its_place_is_told(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS) as worker:
        task_id = await does(pulp, "keeps-the-interpreter", REPO)
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() in (-signal.SIGABRT, -signal.SIGKILL)
        assert (await pulp.task(task_id) or {})["state"] == "running"  # nobody has had its resource meanwhile
        assert (await pulp.end(task_id))["error"]["code"] == "worker-lost"
        assert worker.lines("watchdog")
        assert worker.lines("in keeps_the_interpreter")


@pytest.mark.parametrize(
    "way", ["swallows-its-cancellation", "leaves-a-task-that-swallows", "leaves-a-call-that-never-ends"]
)
async def test_a_worker_that_cannot_stop_an_operation_replaces_its_process(pulp: Pipeline, way: str) -> None:
    async with logged_worker(pulp, OPERATIONS, PULP_WORKER_CONCURRENCY="2") as worker:
        other, deaf = await does(pulp, "waits"), await does(pulp, way, REPO)
        await pulp.running(other)
        await pulp.running(deaf)
        await pulp.cancel(deaf)
        [stuck] = await worker.says("goes on although it was stopped")
        assert f"task_id={deaf}" in stuck
        assert "operation=shared-ways" in stuck
        following = await does(pulp, "tells-its-process", REPO)
        (pulp.storage / "go").touch()
        assert (await pulp.end(other))["result"] == "went"  # it got its time
        row = await pulp.end(deaf)
        assert (row["state"], row["error"]["code"]) == ("failed", "operation-stuck")
        row = await pulp.end(following)
        assert row["result"]["pid"] == worker.process.pid
        assert row["started_at"] > (await pulp.end(deaf))["finished_at"]
        worker.process.terminate()
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() == 0


async def test_an_operation_that_outlives_its_time_limit_and_its_worker_is_not_tried_again(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS, PULP_WORKER_CONCURRENCY="2") as worker:
        other = await does(pulp, "waits")
        await pulp.running(other)
        deaf = await pulp.submit(
            "shared-ways",
            REPO,
            arguments={"way": "swallows-its-cancellation"},
            timeout_seconds=1,
            retry=Retry(3, 0.1, 0.1),
        )
        await worker.says("goes on although it was stopped")
        row = await pulp.end(deaf)  # though its worker still lets the other one end
        assert (row["state"], row["error"]["code"], row["failed_attempts"]) == ("failed", "operation-stuck", 1)
        history = [kind for kind, effect in await pulp.history(deaf) if effect == "applied" and kind != "progress"]
        assert history == ["accepted", "started", "attempt-failed", "finished"]
        (pulp.storage / "go").touch()
        assert (await pulp.end(other))["result"] == "went"
        assert (await pulp.end(await does(pulp, "tells-its-process", REPO)))["result"]["pid"] == worker.process.pid


async def test_a_worker_with_an_operation_that_cannot_be_stopped_ends_when_it_is_told_to(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS, PULP_WORKER_DRAIN_S="0.2") as worker:
        await pulp.running(await does(pulp, "swallows-its-cancellation"))
        worker.process.terminate()
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() == 70


async def test_a_worker_that_is_process_one_does_all_of_it_and_leaves_no_zombies(pulp: Pipeline) -> None:
    before = tuple(first_of_namespace())
    async with logged_worker(pulp, OPERATIONS, before=before) as worker:
        plain = {way: await does(pulp, way, operation="ways") for way in TABLE}
        shared = {way: await does(pulp, way) for way in SHARED_TABLE}
        for way, task_id in plain.items():
            result, code, _ = TABLE[way]
            row = await pulp.end(task_id)
            assert (row["result"], (row["error"] or {}).get("code")) == (result, code), (way, row["error"])
        for way, task_id in shared.items():
            row = await pulp.end(task_id)
            assert row["result"] == SHARED_TABLE[way][0], (way, row["error"])
        orphan = await pulp.end(await does(pulp, "leaves-an-orphan", operation="ways"))
        assert orphan["state"] == "successful"
        init = init_of(worker)
        [inner] = init.children()
        assert zombies(init) == []
        deaf = await does(pulp, "swallows-its-cancellation", REPO)
        await pulp.running(deaf)
        await pulp.cancel(deaf)
        following = await does(pulp, "tells-its-process", REPO)
        assert (await pulp.end(following))["result"]["parent"] == 1
        assert inner.is_running()
        init.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() == 0


def init_of(worker: WorkerProcess) -> psutil.Process:
    """Process 1 of the worker's namespace: the child of `unshare`."""
    [init] = psutil.Process(worker.process.pid).children()
    return init


def zombies(init: psutil.Process) -> list[psutil.Process]:
    return [child for child in init.children(recursive=True) if not is_running(child.pid)]


def files(pulp: Pipeline) -> list[Path]:
    return list(pulp.storage.iterdir())


def written(pulp: Pipeline) -> int:
    return len((pulp.storage / "left").read_text().splitlines())


def test_each_shared_way_has_its_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [way for way in SHARED if f'"{way}"' not in text] == []


async def test_a_worker_that_an_operation_kills_takes_its_plain_operations_with_it(pulp: Pipeline) -> None:
    async with logged_worker(pulp, OPERATIONS) as worker:
        plain = await does(pulp, "leaves-an-orphan-and-hangs", operation="ways")
        await pulp.running(plain)
        orphan = int((pulp.storage / f"orphan-{plain}").read_text())
        await does(pulp, "kills-the-worker")
        async with asyncio.timeout(LIMIT_S):
            assert await worker.process.wait() == -signal.SIGKILL
        await gone(orphan)
        assert (await pulp.end(plain))["error"]["code"] == "worker-lost"
