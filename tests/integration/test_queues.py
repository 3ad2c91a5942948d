"""A queue must be known, and a task that no worker can run holds others back only for a time."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from psycopg import AsyncConnection
from pulp_events.events import Outcome
from pulp_projections.reading.waiting import facts_of

from tests.support.claim_rows import Placed, Row
from tests.support.declared import add_worker
from tests.support.dispatching import assigned_now
from tests.support.events import finished
from tests.support.invented import place_all
from tests.support.site import V3, Site, site

ON_A = (("a", True),)
BRIEF = 60.0
LONG = 1e9


async def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["detail"])


async def submit(api: Site, **body: Any) -> httpx.Response:
    return await api.client.post(f"{V3}/tasks/", json={"operation": "remove-orphans", **body})


async def test_a_queue_that_nobody_serves_is_refused_with_those_that_there_are(api: Site) -> None:
    await add_worker(api.database, "remove-orphans", "sync", name="w1", queues=["default", "night"])
    assert await refused(await submit(api, queue="nigth")) == (
        "unknown queue 'nigth', did you mean 'night'?; known are: default, elsewhere, night, slow. A queue is known once a"
        " worker serves it, or if the API's setting PULP_QUEUES lists it"
    )
    assert api.log.events == []
    assert (await submit(api, queue="night")).status_code == 202


async def test_a_queue_of_the_settings_or_of_a_worker_that_was_there_is_taken_with_a_warning(api: Site) -> None:
    await add_worker(api.database, "remove-orphans", name="w1", queues=["night"])
    await api.execute("update workers set stopped_at = now()")
    for queue in ("night", "slow", "default"):
        answer = await submit(api, queue=queue)
        assert (answer.status_code, bool(answer.json()["warnings"])) == (202, True), queue


async def test_an_operation_that_no_worker_of_the_queue_offers_is_refused(api: Site) -> None:
    await add_worker(api.database, "sync", name="w1", queues=["default"])
    await add_worker(api.database, "remove-orphans", name="w2", queues=["night"])
    told = await refused(await submit(api))
    assert told.startswith(
        "no worker that serves queue 'default' offers operation 'remove-orphans', so the task could not run; it is"
        " offered in: night."
    )
    await add_worker(api.database, "remove-orphans", name="w3", queues=["default"])  # it counts immediately
    assert (await submit(api)).status_code == 202


async def test_a_rerun_needs_a_queue_that_is_known_too(api: Site) -> None:
    task_id = await api.task("remove-orphans", queue="gone")
    await api.client.patch(f"{V3}/tasks/{task_id}/", json={"state": "canceled"})
    await api.add(finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED), api.partition_of(task_id))
    told = await refused(await api.client.post(f"{V3}/tasks/{task_id}/rerun/"))
    assert told.startswith("unknown queue 'gone'")
    answer = await api.client.post(f"{V3}/tasks/{task_id}/rerun/", json={"queue": "default"})
    assert answer.status_code == 202


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        yield connected


def row(*, queue: str = "default", operation: str = "sync", depends_on: tuple[int, ...] = (), on: Any = ON_A) -> Row:
    return Row("waiting", operation, queue, 0, 0, 0, on, depends_on, None)


async def assigned(connection: AsyncConnection, unserved_s: float) -> list[UUID]:
    """The tasks that are assigned now; here each slot has one task."""
    return [task_id for [task_id] in await assigned_now(connection, unserved_s=unserved_s)]


async def release(connection: AsyncConnection) -> None:
    await connection.execute("truncate claims, holds cascade")


async def test_what_nobody_can_run_stops_others_only_for_a_time(database: str, connection: AsyncConnection) -> None:
    """The rules for assigning tasks and for explaining why one waits agree."""
    await add_worker(database, "sync")
    for first in (row(queue="typo"), row(operation="of-a-plugin-that-is-gone")):
        stuck, behind = (Placed(each, uuid4(), number) for number, each in enumerate((first, row())))
        await place_all(connection, [stuck, behind])
        assert await assigned(connection, LONG) == []
        told = await facts_of(connection, behind.task_id, unserved_s=LONG)
        assert told is not None
        assert told.ahead is not None
        assert told.ahead.task_id == stuck.task_id
        told = await facts_of(connection, behind.task_id, unserved_s=BRIEF)
        assert told is not None
        assert told.ahead is None
        of_stuck = await facts_of(connection, stuck.task_id, unserved_s=BRIEF)
        assert of_stuck is not None
        assert of_stuck.is_passed_over
        assert await assigned(connection, BRIEF) == [behind.task_id]
        await release(connection)


async def test_what_waits_in_vain_for_another_task_stops_nobody_either(
    database: str, connection: AsyncConnection
) -> None:
    await add_worker(database, "sync")
    made = [row(queue="typo", on=()), row(depends_on=(0,), on=()), row(depends_on=(1,)), row()]
    root, _, held, behind = tasks = [Placed(each, uuid4(), number) for number, each in enumerate(made)]
    await place_all(connection, tasks)
    assert await assigned(connection, LONG) == []
    told = await facts_of(connection, behind.task_id, unserved_s=BRIEF)
    assert told is not None
    assert told.ahead is None
    of_held = await facts_of(connection, held.task_id, unserved_s=BRIEF)
    assert of_held is not None
    assert of_held.is_passed_over
    assert await assigned(connection, BRIEF) == [behind.task_id]
    await release(connection)
    # Its dependency could run again, so it is ahead of the other one again.
    await add_worker(database, "sync", name="w2", queues=["typo"])
    assert await assigned(connection, BRIEF) == [root.task_id]
    told = await facts_of(connection, behind.task_id, unserved_s=BRIEF)
    assert told is not None
    assert told.ahead is not None
    assert told.ahead.task_id == held.task_id
    assert root.row.queue == "typo"


async def test_a_worker_that_was_there_a_moment_ago_keeps_the_order(database: str, connection: AsyncConnection) -> None:
    await add_worker(database, "sync")
    await add_worker(database, "sync", name="w2", queues=["typo"])
    await connection.execute("update workers set stopped_at = now() where name = 'w2'")
    stuck, behind = (Placed(each, uuid4(), number) for number, each in enumerate((row(queue="typo"), row())))
    await place_all(connection, [stuck, behind])
    assert await assigned(connection, BRIEF) == []
    await connection.execute("update workers set stopped_at = now() - interval '1 hour' where name = 'w2'")
    assert await assigned(connection, BRIEF) == [behind.task_id]


async def test_a_passed_over_task_says_so(database: str) -> None:
    async with site(database, unserved_s=BRIEF) as api:
        await add_worker(database, "sync")
        stuck = await api.task("sync", queue="typo")
        told = (await api.client.get(f"{V3}/tasks/{stuck}/")).json()["waiting_for"]
    assert told["reason"] == "no-worker-for-queue"
    assert told["message"] == (
        "No live worker serves the queue typo. Later tasks do not wait for it any more, until a worker can run it."
    )
