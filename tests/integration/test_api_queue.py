"""Waiting tasks by queue and by resource, as the API reports them; the reports agree with the rules of dispatch."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from psycopg import AsyncConnection
from pulp_accounts.users import Role
from pulp_events.events import Access, Outcome, Resource
from pulp_projections.reading.queue import before, busiest, line_of, queues
from pulp_runtime.installation import UNSERVED_S

from tests.support.assigned import assign
from tests.support.claim_rows import KNOWN, QUEUES, Placed, Row, rows
from tests.support.events import finished, started
from tests.support.invented import is_passed_over, model_of, place_all
from tests.support.site import V3, Site

ZOO = Resource(type="repository", id="zoo")
ORPHANS = Resource(type="content_unit", id="orphans", access=Access.SHARED)
EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC)
_patient = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        yield connected


async def add_worker(
    connection: AsyncConnection,
    name: str,
    *,
    slots: int = 4,
    queues: tuple[str, ...] = ("default",),
    operations: list[str] | None = None,
) -> UUID:
    instance_id = uuid4()
    await connection.execute(
        "insert into workers (name, instance_id, host, pid, queues, operations, concurrency, versions, lease_seconds)"
        " values (%s, %s, 'h', 1, %s, %s, %s, '{}', 600) on conflict (name) do nothing",
        [name, instance_id, list(queues), operations, slots],
    )
    return instance_id


@given(invented=rows)
@_patient
async def test_the_numbers_of_a_queue_agree_with_the_rules_of_dispatch(
    connection: AsyncConnection, invented: list[Row]
) -> None:
    """A task is runnable if the rules, computed from plain lists, allow it to begin, whether or not a worker exists for
    it."""
    tasks = [Placed(row, uuid4(), offset) for offset, row in enumerate(invented)]
    held = await place_all(connection, tasks)
    await add_worker(connection, "w", slots=100, queues=QUEUES, operations=KNOWN)
    model = model_of(tasks, held)
    passed_over, model.passed_over = model.passed_over, set()
    runnable, blocked, running, unserved = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for task in tasks:
        queue, waiting = task.row.queue, model.waiting.get(task.task_id)
        if task.row.state in ("running", "cancelling") or (task in held and task.row.state == "waiting"):
            running[queue] += 1
        if waiting is None:
            continue
        model.passed_over = passed_over - {task.task_id}  # it is not behind those tasks, and they do not stop it
        (runnable if model.may_begin(waiting) else blocked)[queue] += 1
        unserved[queue] += queue not in QUEUES or task.row.operation not in KNOWN
    told = {row.name: row for row in await queues(connection, unserved_s=UNSERVED_S)}
    assert {name: row.runnable for name, row in told.items() if row.runnable} == runnable
    assert {name: row.blocked for name, row in told.items() if row.blocked} == blocked
    assert {name: row.running for name, row in told.items() if row.running} == running
    assert {name: row.unserved for name, row in told.items() if row.unserved} == +unserved
    for name, row in told.items():
        since = [task.row.accepted_s for task in tasks if task.row.queue == name and task.row.state == "waiting"]
        assert row.oldest_at == (EPOCH + timedelta(seconds=min(since)) if since else None)
        assert (row.workers, row.slots) == ((1, 100) if name in QUEUES else (0, 0))


@given(invented=rows)
@_patient
async def test_lines_name_who_holds_and_who_waits_in_the_order_of_acceptance(
    connection: AsyncConnection, invented: list[Row]
) -> None:
    tasks = [Placed(row, uuid4(), offset) for offset, row in enumerate(invented)]
    held = await place_all(connection, tasks)
    await add_worker(connection, "w", slots=100, queues=QUEUES, operations=KNOWN)
    in_line = sorted(
        (task for task in tasks if task.row.state == "waiting" and task not in held), key=lambda t: t.place
    )
    expected = {}
    for resource in "abc":
        line = await line_of(connection, resource, limit=100, unserved_s=UNSERVED_S)
        waiting = [task for task in in_line if resource in task.modes]
        assert [(each.task_id, each.is_exclusive) for each in line.tasks] == [
            (task.task_id, task.modes[resource]) for task in waiting
        ]
        holders = {(task.task_id, task.modes[resource]) for task in held if resource in task.modes}
        assert {(each.task_id, each.is_exclusive) for each in line.held_by} == holders
        assert line.waiting == len(waiting)
        if waiting or holders:
            expected[resource] = (len(waiting), {task_id for task_id, _ in holders})
    page = await busiest(connection, limit=100)
    assert {row.resource: (row.waiting, {each.task_id for each in row.held_by}) for row in page.rows} == expected
    assert [row.waiting for row in page.rows] == sorted((row.waiting for row in page.rows), reverse=True)
    for task in in_line:
        for each in await before(connection, task.task_id, unserved_s=UNSERVED_S):
            ahead = [
                other
                for other in in_line
                if other.place < task.place
                and each.resource in other.modes
                and (other.modes[each.resource] or task.modes[each.resource])
                and not is_passed_over(other, tasks, held)
            ]
            assert (each.is_exclusive, each.waiting) == (task.modes[each.resource], len(ahead))
            assert each.tasks == [other.task_id for other in ahead[:10]]


async def get(api: Site, path: str, **params: Any) -> Any:
    answer = await api.client.get(f"{V3}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def href(task_id: UUID) -> str:
    return f"{V3}/tasks/{task_id}/"


async def scene(api: Site) -> list[UUID]:
    """The zoo, held and wanted twice; two tasks that need nothing; one in a queue that nobody serves."""
    async with api.connect() as connection:
        instance_id = await add_worker(connection, "w1", slots=4)
    tasks = [await api.task(resources=(ZOO, ORPHANS)) for _ in range(3)]
    async with api.connect() as connection:
        uses = {"repository:zoo": True, "content_unit:orphans": False}
        await assign(connection, tasks[0], instance_id=instance_id, uses=uses)
    await api.add(started(tasks[0], worker="w1"), api.partition_of(tasks[0], ZOO))
    return [*tasks, await api.task(), await api.task(), await api.task(queue="typo")]


async def test_queues_tell_what_more_workers_could_run(api: Site) -> None:
    await scene(api)
    page = await get(api, "queues/")
    told = {row["name"]: row for row in page["results"]}
    assert page["count"] == 2
    assert all(row.pop("oldest_wait_seconds") > 0 for row in told.values())
    assert told == {
        "default": {
            **{"name": "default", "waiting": 4, "runnable": 2, "blocked": 2, "parked": 0, "running": 1, "unserved": 0},
            **{"wanted_slots": 3, "workers": 1, "slots": 4, "free_slots": 3},
        },
        "typo": {
            **{"name": "typo", "waiting": 1, "runnable": 1, "blocked": 0, "parked": 0, "running": 0, "unserved": 1},
            **{"wanted_slots": 1, "workers": 0, "slots": 0, "free_slots": 0},
        },
    }
    assert [row["name"] for row in (await get(api, "queues/", name="typo"))["results"]] == ["typo"]
    [empty] = (await get(api, "queues/", name="of-a-scaler"))["results"]
    assert (empty["runnable"], empty["oldest_wait_seconds"]) == (0, None)


async def test_tasks_above_the_limit_of_their_user_are_blocked(api: Site) -> None:
    """More workers would not help them."""
    await api.add_user("jo", Role.SUBMITTER)
    await api.execute("insert into quotas values ('jo', 'running=3')")
    async with api.connect() as connection:
        instance_id = await add_worker(connection, "w1", slots=2)
    async with api.as_user("jo") as jo:
        for number in range(5):
            await jo.post(f"{V3}/tasks/", json={"operation": "publish", "arguments": {"repo_id": str(number)}})
    await api.task()  # of another user
    [first, *_] = (await get(api, "tasks/", ordering="pulp_created"))["results"]
    async with api.connect() as connection:
        await assign(connection, UUID(first["pulp_href"].split("/")[-2]), instance_id=instance_id)
    [row] = (await get(api, "queues/"))["results"]
    assert (row["running"], row["runnable"], row["blocked"]) == (1, 2 + 1, 2)


async def test_a_limit_leaves_room_for_tasks_that_a_worker_can_run_before_others(api: Site) -> None:
    """The dispatcher assigns these, whatever was accepted earlier or is more urgent."""
    await api.add_user("jo", Role.SUBMITTER)
    await api.execute("insert into quotas values ('jo', 'running=2')")
    async with api.connect() as connection:
        await add_worker(connection, "w1", slots=2)
    tasks = [await api.task(queue="typo"), await api.task(queue="typo"), await api.task(), await api.task()]
    await api.execute("update generation_1.tasks set created_by = 'user:jo'")
    await api.execute(f"update generation_1.tasks set priority = 5 where task_id = '{tasks[1]}'")
    told = {row["name"]: row for row in (await get(api, "queues/"))["results"]}
    assert (told["default"]["runnable"], told["default"]["blocked"]) == (2, 0)
    assert (told["typo"]["runnable"], told["typo"]["blocked"], told["typo"]["unserved"]) == (0, 2, 2)


async def test_the_line_of_a_resource_has_who_holds_it_and_who_waits(api: Site) -> None:
    holder, second, third, *_ = await scene(api)
    line = await get(api, "resources/line/", resource="repository:zoo")
    assert line["held_by"] == [
        {
            **{"task": href(holder), "state": "running", "worker_name": "w1", "access": "exclusive"},
            **{key: line["held_by"][0][key] for key in ("since", "seconds")},
        }
    ]
    assert line["waiting"] == 2
    assert [(row["place"], row["task"], row["access"]) for row in line["tasks"]] == [
        (1, href(second), "exclusive"),
        (2, href(third), "exclusive"),
    ]
    assert [
        row["task"] for row in (await get(api, "resources/line/", resource="repository:zoo", limit=1))["tasks"]
    ] == [href(second)]
    nothing = await get(api, "resources/line/", resource="repository:with/a:slash")
    assert (nothing["held_by"], nothing["waiting"], nothing["tasks"]) == ([], 0, [])
    assert (await api.client.get(f"{V3}/resources/line/")).status_code == 400


async def test_the_busiest_resources_come_first_a_page_at_a_time(api: Site) -> None:
    holder, *_ = await scene(api)
    extra = await api.task(resources=(ZOO,))
    page = await get(api, "resources/")
    told = [(row["resource"], row["waiting"], [each["task"] for each in row["held_by"]]) for row in page["results"]]
    assert told == [("repository:zoo", 3, [href(holder)]), ("content_unit:orphans", 2, [href(holder)])]
    first = await get(api, "resources/", limit=1)
    assert (first["count"], len(first["results"])) == (2, 1)
    [last] = (await api.client.get(first["next"])).json()["results"]
    assert last["resource"] == "content_unit:orphans"
    assert (await get(api, f"tasks/{extra}/why/"))["resources"][0]["before"] == 2


async def test_why_names_every_reason_and_who_is_before_it(api: Site) -> None:
    holder, second, third, *_ = await scene(api)
    told = await get(api, f"tasks/{third}/why/")
    assert (told["state"], [each["reason"] for each in told["reasons"]]) == (
        "waiting",
        ["resource-held", "earlier-task"],
    )
    assert told["message"] == told["reasons"][0]["message"] == f"Task {holder}, which is running, holds repository:zoo."
    assert told["reasons"][0]["advice"] == "Wait for those tasks, or cancel them."
    orphans, zoo = told["resources"]
    assert (orphans["resource"], orphans["access"], orphans["before"]) == ("content_unit:orphans", "shared", 0)
    assert orphans["held_by"] == []  # the holder shares it
    assert (zoo["resource"], zoo["access"], zoo["before"], zoo["tasks"]) == (
        *("repository:zoo", "exclusive", 1),
        [href(second)],
    )
    assert [each["task"] for each in zoo["held_by"]] == [href(holder)]


async def test_why_a_task_does_not_wait(api: Site) -> None:
    running, *_ = await scene(api)
    told = await get(api, f"tasks/{running}/why/")
    assert told["message"].startswith("It does not wait: it is running on worker w1 since 20")
    assert (told["reasons"], told["root_cause"], told["resources"]) == ([], None, [])
    await api.add(finished(running, outcome=Outcome.SUCCESSFUL), api.partition_of(running, ZOO))
    assert (await get(api, f"tasks/{running}/why/"))["message"] == "It does not wait: it has succeeded."
    assert (await api.client.get(f"{V3}/tasks/{uuid4()}/why/")).status_code == 404


async def test_what_only_a_stopped_worker_could_run_names_that_worker(api: Site) -> None:
    async with api.connect() as connection:
        await add_worker(connection, "w1", operations=["publish"])
        await add_worker(connection, "w2", operations=["sync"])
        await add_worker(connection, "w3", queues=("slow",), operations=["sync"])
    await api.execute("update workers set stopped_at = '2026-11-24T12:00:00Z' where name in ('w2', 'w3')")
    told = await get(api, f"tasks/{await api.task()}/why/")
    assert [each["reason"] for each in told["reasons"]] == ["no-worker-for-operation"]
    assert told["message"] == (
        "No live worker that serves the queue default offers the operation sync."
        " Worker w2 did, until 2026-11-24T12:00:00Z."
    )
    told = await get(api, f"tasks/{await api.task(queue='slow')}/why/")
    assert told["message"] == "No live worker serves the queue slow. Worker w3 did, until 2026-11-24T12:00:00Z."


async def test_nothing_runs_while_no_processor_dispatches(api: Site) -> None:
    async with api.connect() as connection:
        await add_worker(connection, "w1")
    task_id = await api.task()
    await api.execute("update dispatcher set renewed_at = now() - interval '1 minute'")
    told = await get(api, f"tasks/{task_id}/why/")
    assert (told["reasons"][0]["reason"], told["reasons"][0]["advice"]) == ("no-dispatcher", "Start a processor.")
    await api.execute("update dispatcher set renewed_at = 'infinity', settling_epoch = epoch")
    told = await get(api, f"tasks/{task_id}/why/")
    assert [each["reason"] for each in told["reasons"]] == ["dispatcher-settles"]
    assert (await get(api, f"tasks/{task_id}/"))["waiting_for"]["reason"] == "dispatcher-settles"
