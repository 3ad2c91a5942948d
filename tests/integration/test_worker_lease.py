"""Leases: a worker that loses its lease stops; one that is killed or frozen is replaced; never do two run a task."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from pulp_events.events import Access, Resource
from pulp_events.topics import Topics
from pulp_projections.channels import ASSIGNED
from pulp_worker.claims import Claim, Look
from pulp_worker.registration import NameInUse

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.pipeline import LIMIT_S, OPERATIONS, Pipeline, pipeline
from tests.support.processes import gone, is_running

REPO = Resource(type="repository", id="demo")


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with pipeline(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        yield made


@asynccontextmanager
async def worker_process(pulp: Pipeline, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a separate process; killed at the end."""
    environment = {
        **os.environ,
        "PULP_KAFKA": pulp.kafka,
        "PULP_POSTGRES": pulp.database,
        "PULP_TOPIC_PREFIX": pulp.topics.events.removesuffix(".events"),
        "PULP_STORAGE": str(pulp.storage),
        "PULP_WORKER_MODULES": OPERATIONS,
        "PULP_WORKER_LEASE_S": "2",
        **env,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "pulp_deploy", "worker", env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_second_worker_of_the_same_name_is_refused(pulp: Pipeline) -> None:
    async with pulp.worker("twin", lease_s=1):
        with pytest.raises(NameInUse, match=f"twin is in use by process {os.getpid()}"):
            async with pulp.worker("twin", lease_s=1):
                pass
    async with pulp.worker("twin"):
        assert (await pulp.end(await pulp.submit("echo")))["worker"] == "twin"


async def test_a_worker_takes_the_name_of_one_that_was_killed(pulp: Pipeline) -> None:
    async with worker_process(pulp, PULP_WORKER_NAME="twin") as process:
        await pulp.end(await pulp.submit("echo"))
        process.kill()
        await process.wait()
        async with pulp.worker("twin", lease_s=1):
            assert (await pulp.end(await pulp.submit("echo")))["state"] == "successful"


@pytest.mark.parametrize("operation", ["until-file", "deaf"])
async def test_a_worker_that_loses_its_lease_stops_its_tasks_and_goes_on(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker(lease_s=5):  # so that it does not lose the lease earlier on a busy machine
        task_id = await pulp.submit(operation, REPO)
        await pulp.running(task_id)
        await pulp.query("update workers set stopped_at = now()")  # somebody has taken its registration away
        row = await pulp.end(task_id)
        assert row["state"] == "failed"
        assert row["error"]["code"] in ("lease-lost", "worker-lost")
        assert (await pulp.end(await pulp.submit("echo", REPO)))["state"] == "successful"
        await pulp.nothing_is_held()


@pytest.mark.parametrize("operation", ["until-file", "deaf"])
async def test_a_worker_that_cannot_reach_postgres_stops_its_tasks_in_time(pulp: Pipeline, operation: str) -> None:
    async with pulp.worker(lease_s=5) as worker:
        task_id = await pulp.submit(operation, REPO)
        await pulp.running(task_id)
        registration = worker.worker._registration
        cut_off = asyncio.Event()

        async def no_answer(*_: object) -> str:
            cut_off.set()
            raise psycopg.OperationalError("cut off")

        heartbeat, register = registration.heartbeat, registration.register
        registration.heartbeat = no_answer  # type: ignore[method-assign]  # a line that is cut
        registration.register = no_answer  # type: ignore[assignment,method-assign]
        await cut_off.wait()
        row = await pulp.end(task_id)
        assert (row["state"], row["error"]["code"]) == ("failed", "lease-lost")
        registration.heartbeat, registration.register = heartbeat, register  # type: ignore[method-assign]
        assert (await pulp.end(await pulp.submit("echo", REPO)))["state"] == "successful"
        await pulp.nothing_is_held()


async def test_what_was_assigned_without_an_answer_is_run_all_the_same(pulp: Pipeline) -> None:
    """The connection breaks after Postgres has notified an assignment: it is notified again."""
    async with pulp.worker() as worker:
        claims = worker.worker._claims
        look = claims.look
        is_lost = asyncio.Event()

        async def look_without_an_answer(
            instance_id: UUID, asked: Collection[Claim], holds: Iterable[UUID] | None = None
        ) -> Look:
            found = await look(instance_id, asked, holds)
            if found.assigned and not is_lost.is_set():
                is_lost.set()
                raise psycopg.OperationalError("the connection broke")
            return found

        claims.look = look_without_an_answer  # type: ignore[method-assign]  # a line that is cut
        task_id = await pulp.submit("echo", REPO)
        row = await pulp.end(task_id)
        assert is_lost.is_set()
        assert (row["state"], row["attempt"]) == ("successful", 1)
        await pulp.nothing_is_held()


async def test_an_assignment_of_which_no_notification_was_heard_is_seen_at_the_next_look(pulp: Pipeline) -> None:
    async with pulp.worker() as worker:
        claims = worker.worker._claims
        heard, is_deaf = claims._hear, asyncio.Event()

        def hear_nothing_of_assignments(_channel: str, payload: str) -> None:
            if payload == ASSIGNED:
                is_deaf.set()
            else:
                heard(_channel, payload)

        claims._hear = hear_nothing_of_assignments  # type: ignore[method-assign]  # a notification that is lost
        await claims.close()
        while claims._notices is None:  # noqa: ASYNC110  # until it listens anew
            await asyncio.sleep(0.01)
        assert (await pulp.end(await pulp.submit("echo", REPO)))["state"] == "successful"
        assert is_deaf.is_set()


async def test_the_tasks_of_a_killed_worker_fail_and_their_processes_die(pulp: Pipeline) -> None:
    async with worker_process(pulp, PULP_WORKER_NAME="doomed") as process:
        lost = await pulp.submit("deaf", REPO)
        await pulp.running(lost)
        next_one = await pulp.submit("echo", REPO)
        pid, _ = map(int, (pulp.storage / f"pids-{lost}").read_text().split())
        process.kill()
        await process.wait()
        await gone(pid)
        async with pulp.worker("successor"):
            row = await pulp.end(lost)
            assert (row["state"], row["error"]["code"]) == ("failed", "worker-lost")
            ended = await pulp.end(next_one)
            assert (ended["state"], ended["worker"]) == ("successful", "successor")
            assert ended["started_at"] > row["finished_at"]
            await pulp.nothing_is_held()


async def test_the_processes_of_a_frozen_worker_end_with_its_lease(pulp: Pipeline) -> None:
    async with worker_process(pulp, PULP_WORKER_NAME="frozen") as process:
        lost = await pulp.submit("deaf", REPO)
        await pulp.running(lost)
        pids = [int(word) for word in (pulp.storage / f"pids-{lost}").read_text().split()]
        process.send_signal(signal.SIGSTOP)
        assert all(map(is_running, pids))
        async with pulp.worker("successor"):
            next_one = await pulp.submit("echo", REPO)
            ended = await pulp.end(next_one)
            assert ended["worker"] == "successor"
            assert not any(map(is_running, pids))  # they had ended before the resource was given away
            process.send_signal(signal.SIGCONT)
            assert (await pulp.end(lost))["error"]["code"] == "worker-lost"
            # The frozen one comes back, and works again.
            tasks = [await pulp.submit("echo") for _ in range(20)]
            assert {(await pulp.end(task_id))["state"] for task_id in tasks} == {"successful"}


async def test_a_worker_process_drains_on_sigterm(pulp: Pipeline) -> None:
    async with worker_process(pulp, PULP_WORKER_DRAIN_S="60") as process:
        task_id = await pulp.submit("until-file")
        await pulp.running(task_id)
        process.terminate()
        (pulp.storage / "go").touch()
        async with asyncio.timeout(LIMIT_S):
            assert await process.wait() == 0
        assert (await pulp.end(task_id))["state"] == "successful"
    assert await pulp.query("select task_id from claims") == []


async def test_conflicting_tasks_never_run_at_once(pulp: Pipeline) -> None:
    """Each operation holds a file lock for each of its resources, and fails if another operation holds it."""
    async with pulp.worker("w1", concurrency=5), worker_process(pulp, PULP_WORKER_NAME="w2"):
        tasks = []
        for number in range(60):
            access = Access.SHARED if number % 3 else Access.EXCLUSIVE
            first = Resource(type="repository", id=f"r{number % 4}")
            second = Resource(type="pool", id=f"p{number % 2}", access=access)
            shared = [second.key] if access is Access.SHARED else []
            task_id = await pulp.submit(
                "locked", first, second, arguments={"shared": shared}, partition=number % PARTITIONS
            )
            tasks.append(task_id)
        rows = [await pulp.end(task_id) for task_id in tasks]
        assert [row["error"] for row in rows if row["state"] != "successful"] == []
        assert {row["attempt"] for row in rows} == {1}
        begun = [len((pulp.storage / f"begun-{task_id}").read_text().splitlines()) for task_id in tasks]
        assert begun == [1] * len(tasks)
        await pulp.nothing_is_held()
