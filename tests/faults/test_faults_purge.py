"""A purge whose worker, processor and API are killed half-way goes on, and purges no task twice."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pulp_events.codec import encode, key_of
from pulp_events.events import Event
from pulp_events.topics import Topics
from pulp_processor.consuming import internals
from pulp_processor.dead_letters.raw_producer import RawRecord
from pulp_processor.rebuilding import rebuild

from tests.conftest import PARTITIONS
from tests.support.api_process import ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.events import accepted, finished
from tests.support.processor_process import Installation, installation
from tests.support.projection import execute, settings_of
from tests.support.site import V3

TASKS = 6000
"""A dozen pages."""
LIMIT_S = 150
PURGED_TWICE = (
    "select task_id from task_events where type = 'org.pulpproject.task.purged.v1' and effect = 'applied'"
    " group by task_id having count(*) > 1"
)


@pytest.fixture
def chance(pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> Random:
    """Decides where the purge is when something is killed."""
    seed = pytestconfig.getoption("purge_seed")
    with capsys.disabled():
        print(f"kills of --purge-seed {seed}")
    return Random(seed)


@pytest.fixture
async def pulp(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation with many tasks that have ended, whose one processor has projected them."""
    await add_admin(database)
    with installation(backend.kafka, database, topics, tmp_path, partitions=PARTITIONS) as made:
        await made.start().up()
        task_ids = [uuid4() for _ in range(TASKS)]
        events = [make(task_id) for task_id in task_ids for make in (accepted, _succeeded)]
        await made.reached(await made.append(*map(_record, events)))
        yield made


def _succeeded(task_id: UUID) -> Event:
    return finished(task_id, attempt_id=None)


def _record(event: Event) -> RawRecord:
    return RawRecord(key_of(event.task_id), encode(event), (), event.task_id.int % PARTITIONS)


class Worker:
    """A worker process that can be killed and started again."""

    def __init__(self, pulp: Installation) -> None:
        self._pulp = pulp
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {
            **self._pulp.environment(),
            "PULP_STORAGE": str(self._pulp.folder / "storage"),
            "PULP_WORKER_NAME": "w1",
            "PULP_WORKER_LEASE_S": "4",
        }
        with (self._pulp.folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pulp_deploy", "worker"],
                env=environment(self._pulp.folder, **settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def worker_of(pulp: Installation) -> Iterator[Worker]:
    """A worker that runs, and is killed at the end."""
    made = Worker(pulp)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@asynccontextmanager
async def api_of(pulp: Installation) -> AsyncIterator[ApiProcess]:
    """An API that knows the operation."""
    async with api_process(pulp.kafka, pulp.database, pulp.topics, pulp.folder) as api:
        async with asyncio.timeout(LIMIT_S):
            while not await execute(pulp.database, "select 1 from operations where name = 'purge-tasks'"):  # noqa: ASYNC110  # rows
                await asyncio.sleep(0.05)
        yield api


async def submit(client: httpx.AsyncClient, **more: Any) -> UUID:
    """Submit a purge of all tasks that have succeeded."""
    body = {"operation": "purge-tasks", "arguments": {"states": ["successful"]}, **more}
    answer = await client.post(f"{V3}/tasks/", json=body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["task"].split("/")[-2])


async def ended(pulp: Installation, task_id: UUID) -> tuple[str, Any, Any, Any]:
    """State, result, error and progress of a task that has ended."""
    statement = "select state, result, error, progress from tasks where task_id = %s and is_final(state)"
    async with asyncio.timeout(LIMIT_S):
        while not (found := await execute(pulp.database, statement, [task_id])):  # noqa: ASYNC110  # rows
            await asyncio.sleep(0.05)
    [(state, result, error, progress)] = found
    return state, result, error, progress


async def gone(pulp: Installation) -> int:
    """How many of the tasks are purged."""
    [(count,)] = await execute(
        pulp.database, "select count(*) from tasks where operation = 'sync' and purged_at is not null"
    )
    return int(count)


async def purged_at_least(pulp: Installation, number: int) -> None:
    """Returns once this many of the tasks are purged."""
    async with asyncio.timeout(LIMIT_S):
        while await gone(pulp) < number:  # noqa: ASYNC110  # rows
            await asyncio.sleep(0.005)


async def listed(client: httpx.AsyncClient, **params: str) -> int:
    """How many of the tasks a list counts."""
    answer = await client.get(f"{V3}/tasks/", params={"name": "sync", "limit": "1", **params})
    assert answer.status_code == 200, answer.text
    assert "Pulp-Count" not in answer.headers
    return int(answer.json()["count"])


@pytest.mark.timeout(600)
async def test_a_purge_goes_on_whatever_is_killed(pulp: Installation, chance: Random) -> None:
    victims = ["worker", "processor", "api"]
    chance.shuffle(victims)
    places = sorted(chance.sample(range(1, TASKS * 3 // 4), len(victims)))
    with worker_of(pulp) as worker:
        async with api_of(pulp) as api, api.client() as client:
            purge = await submit(client)
            for victim, place in zip(victims, places, strict=True):
                await purged_at_least(pulp, place)
                if victim == "worker":
                    worker.kill()
                    worker.start()
                elif victim == "processor":
                    pulp.processors[-1].kill()
                    await pulp.start().up()
                else:
                    api.process.kill()
                    api.process.wait()
        state, result, error, progress = await ended(pulp, purge)
        assert (state, result, error) == ("successful", {"purged": TASKS}, None), (victims, places)
        assert progress == {"purge_tasks": {"items_total": TASKS, "items_left": 0}}
        async with api_of(pulp) as api, api.client() as client:
            assert (await listed(client), await listed(client, purged="true")) == (0, TASKS)
            again = await submit(client)
            assert (await ended(pulp, again))[:2] == ("successful", {"purged": 1})  # the purge before
    assert await execute(pulp.database, PURGED_TWICE) == []
    await same_as_a_rebuild(pulp)


@pytest.mark.timeout(600)
async def test_a_purge_that_is_lost_for_good_is_ended_by_another_one(pulp: Installation, chance: Random) -> None:
    with worker_of(pulp) as worker:
        async with api_of(pulp) as api, api.client() as client:
            purge = await submit(client, retry=None)
            await purged_at_least(pulp, chance.randrange(1, TASKS * 3 // 4))
            worker.kill()
            state, result, error, progress = await ended(pulp, purge)
            assert (state, result, error["code"]) == ("failed", None, "worker-lost")
            done = await gone(pulp)
            assert 0 < done < TASKS
            told = progress["purge_tasks"]
            assert TASKS - told["items_left"] <= done  # what it was about to report is lost
            assert (await listed(client), await listed(client, purged="true")) == (TASKS - done, done)
            worker.start()
            again = await submit(client)
            assert (await ended(pulp, again))[:2] == ("successful", {"purged": TASKS - done})
            assert (await listed(client), await listed(client, purged="true")) == (0, TASKS)
    assert await execute(pulp.database, PURGED_TWICE) == []
    await same_as_a_rebuild(pulp)


async def same_as_a_rebuild(pulp: Installation) -> None:
    """The read model equals an independent fold of the log, and a rebuild."""
    await pulp.reached(pulp.ends())
    internals.install()  # as a process does when it starts
    settings = settings_of(pulp.kafka, pulp.database, pulp.topics)
    await rebuild.start(settings)
    assert (await rebuild.verify(settings)).is_equal
    pulp.processors[-1].kill()
    await pulp.rows_are_right(pulp.ends())
