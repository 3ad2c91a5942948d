"""Why a task waits: the API's answer, and its agreement with the rules of dispatch."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from psycopg import AsyncConnection
from pulp_api.v3.waiting import Code, WaitReason, reason_of
from pulp_events.events import Access, Outcome, Resource
from pulp_projections.reading.waiting import BOUNDS, STATEMENT, facts_of
from pulp_runtime.installation import UNSERVED_S

from tests.support.assigned import assign
from tests.support.claim_rows import KNOWN, QUEUES, Placed, Row, rows
from tests.support.events import finished, started
from tests.support.invented import is_passed_over, model_of, place_all
from tests.support.site import V3, Site

ZOO = Resource(type="repository", id="zoo")
BEAR = Resource(type="repository", id="bear")
ORPHANS = Resource(type="content_unit", id="orphans", access=Access.SHARED)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        await connected.execute("update dispatcher set renewed_at = 'infinity'")  # one that never goes away
        yield connected


async def add_worker(
    connection: AsyncConnection, name: str, slots: int, queues: tuple[str, ...], operations: list[str] | None
) -> None:
    await connection.execute(
        "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds)"
        " values (%s, gen_random_uuid(), 'h', 1, %s, %s, %s, '{}', 600)"
        " on conflict (name) do update set queues = excluded.queues, operations = excluded.operations,"
        " concurrency = excluded.concurrency",
        [name, list(queues), operations, slots],
    )


async def reason(connection: AsyncConnection, task_id: UUID) -> WaitReason:
    facts = await facts_of(connection, task_id, unserved_s=UNSERVED_S)
    assert facts is not None
    return reason_of(facts)


def waiting_row(operation: str, partition: int, *uses: tuple[str, bool], depends_on: tuple[int, ...] = ()) -> Row:
    return Row(
        state="waiting",
        operation=operation,
        queue="default",
        priority=0,
        accepted_s=0,
        partition=partition,
        uses=uses,
        depends_on=depends_on,
        claim=None,
    )


@example(invented=[waiting_row("unknown", 0, ("a", False)), waiting_row("sync", 1, ("a", True))])
@example(
    invented=[
        waiting_row("unknown", 0),
        waiting_row("sync", 0, ("a", True), depends_on=(0,)),
        waiting_row("publish", 0, ("a", True)),
    ]
)
@given(invented=rows)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_the_reason_agrees_with_the_rules_of_dispatch(
    database: str, connection: AsyncConnection, invented: list[Row]
) -> None:
    """A task is about to be assigned if and only if the rules, computed from plain lists, allow it to begin."""
    tasks = [Placed(row, uuid4(), offset) for offset, row in enumerate(invented)]
    held = await place_all(connection, tasks)
    await add_worker(connection, "w", 100, QUEUES, KNOWN)
    waiting = [task for task in tasks if task.row.state == "waiting"]
    told = {task.task_id: await reason(connection, task.task_id) for task in waiting}
    model = model_of(tasks, held)
    may_begin = {task.task_id for task in model.waiting.values() if model.may_begin(task)}
    assert {task_id for task_id, found in told.items() if found.code is Code.ABOUT_TO_BE_CLAIMED} == may_begin
    for task in waiting:
        check_reason(task, told[task.task_id], tasks, held)


def check_reason(task: Placed, found: WaitReason, tasks: list[Placed], held: list[Placed]) -> None:
    """The answer names exactly what keeps the task waiting."""
    states = {number: other.row.state for number, other in enumerate(tasks)}
    waiting = [other for other in tasks if other.row.state == "waiting"]
    holders = {other.task_id for other in held if other is not task and task.conflicts(other)}
    earlier = [
        other
        for other in waiting
        if other not in held
        and other.place < task.place
        and task.conflicts(other)
        and not is_passed_over(other, tasks, held)
    ]
    match found.code:
        case Code.CLAIMED:
            assert task in held
        case Code.NO_WORKER_FOR_QUEUE:
            assert task.row.queue not in QUEUES
        case Code.NO_WORKER_FOR_OPERATION:
            assert task.row.operation not in KNOWN
        case Code.DEPENDENCY:
            assert len(found.tasks) == sum(states.get(other) != "successful" for other in task.row.depends_on)
        case Code.RESOURCE_HELD:
            assert set(found.tasks) == holders
            assert found.resource in task.modes
        case Code.EARLIER_TASK:
            assert not holders
            assert list(found.tasks) == [min(earlier, key=lambda other: other.place).task_id]
            assert found.resource in task.modes
        case _:
            assert not holders
            assert not earlier


async def many_tasks(connection: AsyncConnection, *, ended: int, waiting: int) -> list[UUID]:
    """Tasks that all use one resource exclusively; those that wait, in order."""
    await connection.execute(
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           select gen_random_uuid(), case when n > %s then 'waiting' else 'successful' end, 'sync', '{}', '[]',
                  '{repository:zoo}', '{}', '{}', 'default', 0, '{}', 'user:x',
                  timestamptz '2026-11-24T12:00Z' + n * interval '1 ms', now(), 0, n, n, 1, 0, false, 0, '{}', 'null'
             from generate_series(1, %s) n""",
        [ended, ended + waiting],
    )
    await connection.execute(
        "insert into generation_1.task_resources"
        " select 'repository:zoo', 'e', accepted_at, task_id from generation_1.tasks"
    )
    cursor = await connection.execute("select task_id from tasks where state = 'waiting' order by accepted_at")
    return [row[0] for row in await cursor.fetchall()]


async def tasks_read(connection: AsyncConnection, task_id: UUID) -> int:
    """How many rows of `tasks` the statement reads."""
    values = {**BOUNDS, "task_id": task_id, "unserved_s": 300}
    explain = b"explain (analyze, format json) " + STATEMENT
    [(plan,)] = await (await connection.execute(explain, values)).fetchall()

    def read(node: dict[str, Any]) -> int:
        mine = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if node.get("Relation Name") == "tasks" else 0
        )
        return int(mine * node["Actual Loops"]) + sum(map(read, node.get("Plans", ())))

    return read(plan[0]["Plan"])


@pytest.mark.parametrize("is_analyzed", [True, False])
async def test_a_task_behind_thousands_finds_the_first_of_them_and_reads_few(
    connection: AsyncConnection, is_analyzed: bool
) -> None:
    waiting = await many_tasks(connection, ended=20_000, waiting=16_000)
    await connection.execute("analyze") if is_analyzed else None
    await add_worker(connection, "w", 1, QUEUES, KNOWN)
    found = await reason(connection, waiting[-1])
    assert (found.code, list(found.tasks)) == (Code.EARLIER_TASK, [waiting[0]])
    assert await tasks_read(connection, waiting[-1]) < 1_500
    assert (await reason(connection, waiting[0])).code is Code.ABOUT_TO_BE_CLAIMED
    assert await tasks_read(connection, waiting[0]) < 1_500


async def get(api: Site, task_id: UUID, **params: Any) -> Any:
    answer = await api.client.get(f"{V3}/tasks/{task_id}/", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def href(task_id: UUID) -> str:
    return f"{V3}/tasks/{task_id}/"


async def test_a_task_in_a_queue_that_nobody_serves_says_so_and_so_does_what_waits_behind_it(api: Site) -> None:
    async with api.connect() as connection:
        await add_worker(connection, "w1", 4, ("default",), ["sync"])
    stuck = await api.task(queue="nobody-serves-this", resources=(ZOO,))
    behind = await api.task(resources=(ZOO, ORPHANS))
    assert (await get(api, stuck))["waiting_for"] == {
        "reason": "no-worker-for-queue",
        "message": "No live worker serves the queue nobody-serves-this.",
        "tasks": [],
        "resource": None,
        "access": None,
        "root_cause": None,
    }
    told = (await get(api, behind))["waiting_for"]
    assert (told["reason"], told["tasks"], told["resource"]) == ("earlier-task", [href(stuck)], "repository:zoo")
    assert told["root_cause"]["task"] == href(stuck)
    assert told["root_cause"]["message"] == "No live worker serves the queue nobody-serves-this."


async def test_a_task_whose_plugin_is_gone_says_so(api: Site) -> None:
    task_id = await api.task("sync")
    async with api.connect() as connection:
        await add_worker(connection, "w1", 4, ("default",), ["publish"])
        told = (await get(api, task_id))["waiting_for"]
        assert told["reason"] == "no-worker-for-operation"
        assert told["message"] == "No live worker that serves the queue default offers the operation sync."
        await add_worker(connection, "w2", 4, ("default",), None)  # from a release that does not say what it offers
        assert (await get(api, task_id))["waiting_for"]["reason"] == "about-to-be-claimed"


async def test_a_task_waits_for_what_it_depends_on(api: Site) -> None:
    async with api.connect() as connection:
        await add_worker(connection, "w1", 4, ("default",), ["sync"])
    first, attempt_id = await api.task(), uuid4()
    second = await api.task(depends_on=(first,))
    told = (await get(api, second))["waiting_for"]
    assert (told["reason"], told["tasks"]) == ("dependency", [href(first)])
    assert told["root_cause"]["reason"] == "about-to-be-claimed"
    await api.add(started(first, attempt_id=attempt_id), api.partition_of(first))
    told = (await get(api, second))["waiting_for"]
    assert (told["message"], told["root_cause"]) == (f"It depends on task {first}, which is running.", None)
    ended = finished(first, attempt_id=attempt_id, outcome=Outcome.SUCCESSFUL)
    await api.add(ended, api.partition_of(first))
    assert (await get(api, second))["waiting_for"]["reason"] == "about-to-be-claimed"


async def test_a_task_waits_for_the_task_that_holds_its_resource_and_then_for_a_slot(api: Site) -> None:
    async with api.connect() as connection:
        await add_worker(connection, "w1", 1, ("default",), ["sync"])
    holder = await api.task(resources=(ZOO,))
    waiting, other = await api.task(resources=(ZOO,)), await api.task(resources=(BEAR,))
    [(instance_id,)] = await api.execute("select instance_id from workers")
    async with api.connect() as connection:
        await assign(connection, holder, instance_id=instance_id, uses={"repository:zoo": True})
    assert (await get(api, holder))["waiting_for"]["message"] == "Worker w1 has claimed it, and is about to start it."
    await api.add(started(holder, worker="w1"), api.partition_of(holder, ZOO))
    told = (await get(api, waiting))["waiting_for"]
    assert (told["reason"], told["tasks"], told["resource"], told["access"]) == (
        "resource-held",
        [href(holder)],
        "repository:zoo",
        "exclusive",
    )
    assert told["message"] == f"Task {holder}, which is running, holds repository:zoo."
    told = (await get(api, other))["waiting_for"]
    assert told["message"] == "The only slot of the live worker that can run it is taken."
    assert (await get(api, holder))["waiting_for"] is None


async def test_the_reason_is_told_of_one_task_as_it_is_now_and_only_where_it_is_asked_for(api: Site) -> None:
    task_id = await api.task()
    assert (await get(api, task_id, fields="waiting_for"))["waiting_for"]["reason"] == "no-worker-for-queue"
    assert "waiting_for" not in await get(api, task_id, exclude_fields="waiting_for")
    assert "waiting_for" not in await get(api, task_id, minimal="true")
    now = datetime.now(UTC).isoformat()
    assert (await get(api, task_id, as_of=now))["waiting_for"] is None
    [row] = (await api.client.get(f"{V3}/tasks/")).json()["results"]
    assert "waiting_for" not in row
