"""When a task became runnable: computed step by step from the rules of dispatch, and from the rows in Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from pulp_accounts.users import Role
from pulp_events.events import Access, Outcome, Resource, Retry
from pulp_processor.dispatching.dispatch import Hold
from pulp_processor.dispatching.waiting import Offer, Order, WaitingTask
from pulp_projections.migrations import migrate
from pulp_projections.reading.unblocked import longest_unblocked_s, unblocked_at

from tests.support.assigned import assign
from tests.support.dispatch_rules import Model
from tests.support.events import attempt_failed, cancel_requested, finished, started
from tests.support.site import START_MS, V3, Site, site

EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC)
UNSERVED_S = 1e9
PARTITIONS = 2


@pytest.fixture
async def connection(database: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(database, autocommit=True) as connected:
        yield connected


class History:
    """A random history: one thing happens at a time, and nothing begins that the rules do not allow to begin."""

    def __init__(self, random: Random, tasks: int) -> None:
        self.random = random
        self.left = tasks
        self.model = Model()
        self.rows: dict[UUID, dict[str, Any]] = {}
        self.depends_on: dict[UUID, list[UUID]] = {}
        self.runnable_at: dict[UUID, datetime] = {}
        self.now = EPOCH
        self.last_partition = 0
        """The partition orders tasks accepted in the same millisecond."""

    def run(self, steps: int) -> None:
        for _ in range(steps):
            what = self.random.choice([self.accept] * 3 + [self.start] * 3 + [self.finish] * 2 + [self.give_up])
            if what != self.accept or self.random.random() < 0.5:  # or else in the same millisecond as the one before
                self.now += timedelta(milliseconds=1)
                self.last_partition = 0
            what()
            for task_id, task in self.model.waiting.items():
                if task_id not in self.runnable_at and self.model.may_begin(task):
                    self.runnable_at[task_id] = self.now

    def accept(self) -> None:
        if not self.left:
            return
        self.left -= 1
        task_id, partition = (
            UUID(int=self.random.getrandbits(128)),
            self.random.randrange(self.last_partition, PARTITIONS),
        )
        self.last_partition = partition
        kinds = {resource: self.random.choice("es") for resource in "abc" if self.random.random() < 0.4}
        task = WaitingTask(
            task_id=task_id,
            order=Order(self.now, partition, len(self.rows)),
            offer=Offer("default", "sync"),
            exclusive=frozenset(key for key, kind in kinds.items() if kind == "e"),
            shared=frozenset(key for key, kind in kinds.items() if kind == "s"),
        )
        known = list(self.rows)
        others = self.random.sample(known, 1) if known and self.random.random() < 0.25 else []
        self.model.unmet[task_id] = {other for other in others if self.rows[other]["state"] != "successful"}
        self.depends_on[task_id] = others
        self.model.waiting[task_id] = task
        self.rows[task_id] = {"task": task, "state": "waiting", "started_at": None, "finished_at": None}
        self.rows[task_id]["cancel_requested_at"] = None

    def start(self) -> None:
        able = [task for task in self.model.waiting.values() if self.model.may_begin(task)]
        if able:
            task = self.random.choice(able)
            del self.model.waiting[task.task_id]
            self.model.holds[task.task_id] = Hold(task.task_id, "w", "x", task.exclusive, task.shared)
            self.rows[task.task_id] |= {"state": "running", "started_at": self.now}

    def finish(self) -> None:
        if self.model.holds:
            task_id = self.random.choice(list(self.model.holds))
            del self.model.holds[task_id]
            self.end(task_id, self.random.choice(["successful", "successful", "failed"]))

    def give_up(self) -> None:
        """Cancel a waiting task, which takes a while in half of all cases, or skip it."""
        if self.model.waiting:
            task_id = self.random.choice(list(self.model.waiting))
            del self.model.waiting[task_id]
            if self.random.random() < 0.5:
                self.rows[task_id] |= {"state": "cancelling", "cancel_requested_at": self.now}
            else:
                self.end(task_id, "cancelled")

    def end(self, task_id: UUID, state: str) -> None:
        self.rows[task_id] |= {"state": state, "finished_at": self.now}
        if state == "successful":
            for unmet in self.model.unmet.values():
                unmet.discard(task_id)


async def write(connection: AsyncConnection, history: History) -> None:
    await connection.execute("truncate generation_1.tasks, generation_1.task_resources")
    for task_id, row in history.rows.items():
        task: WaitingTask = row["task"]
        await connection.execute(
            """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
                   shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
                   accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result, started_at,
                   finished_at, cancel_requested_at)
               values (%s, %s, 'sync', '{}', '[]', %s, %s, '{}', 'default', 0, %s, 'user:x', %s, now(), %s, %s, 0, 1, 0,
                   false, 0, '{}', 'null', %s, %s, %s)""",
            [
                *(task_id, row["state"], sorted(task.exclusive), sorted(task.shared), history.depends_on[task_id]),
                *(task.order.accepted_at, task.order.partition, task.order.offset),
                *(row["started_at"], row["finished_at"], row["cancel_requested_at"]),
            ],
        )
        for resource in (*task.exclusive, *task.shared):
            access = "e" if resource in task.exclusive else "s"
            await connection.execute(
                "insert into generation_1.task_resources (resource, access, accepted_at, task_id) values (%s, %s, %s, %s)",
                [resource, access, task.order.accepted_at, task_id],
            )


@given(seed=st.integers(0, 10**9), steps=st.integers(5, 120))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_it_is_the_moment_at_which_the_rules_let_the_task_begin(
    connection: AsyncConnection, seed: int, steps: int
) -> None:
    history = History(Random(seed), tasks=20)
    history.run(steps)
    await write(connection, history)
    found = await unblocked_at(connection, history.rows, unserved_s=UNSERVED_S)
    assert found == {task_id: history.runnable_at.get(task_id) for task_id in history.rows}
    waiting = [at for task_id, at in history.runnable_at.items() if task_id in history.model.waiting]
    async with connection.transaction():
        [(now,)] = await (await connection.execute("select now()")).fetchall()
        longest_s = await longest_unblocked_s(connection, unserved_s=UNSERVED_S)
    assert longest_s == (pytest.approx((now - min(waiting)).total_seconds()) if waiting else None)


ZOO = Resource("repository", "zoo")
SHARED_ZOO = Resource("repository", "zoo", Access.SHARED)


def time_of(seconds: int) -> str:
    """The broker's time of the n-th record."""
    return datetime.fromtimestamp(START_MS / 1000 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def get(api: Site, path: str, **params: Any) -> Any:
    answer = await api.client.get(f"{V3}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def names(api: Site, **params: Any) -> list[str]:
    return [row["name"] for row in (await get(api, "tasks/", ordering="name", **params))["results"]]


async def line(api: Site) -> list[UUID]:
    """Four on the zoo: the first ran from 2 to 6, the second has been free since then, the third and fourth wait behind
    it."""
    tasks = [await api.task("a", resources=(ZOO,))]
    partition, attempt_id = api.partition_of(tasks[0], ZOO), uuid4()
    await api.add(started(tasks[0], attempt_id=attempt_id), partition)
    tasks += [
        await api.task(name, resources=(use,)) for name, use in (("b", ZOO), ("c", SHARED_ZOO), ("d", SHARED_ZOO))
    ]
    await api.add(finished(tasks[0], attempt_id=attempt_id, outcome=Outcome.SUCCESSFUL), partition)
    return tasks


async def test_the_api_tells_when_each_task_became_runnable(api: Site) -> None:
    tasks = await line(api)
    rows = (await get(api, "tasks/", ordering="name"))["results"]
    assert [row["unblocked_at"] for row in rows] == [time_of(1), time_of(6), None, None]
    assert [row["unblocked_at"] for row in (await get(api, "tasks/", ordering="name", minimal="true"))["results"]] == [
        *(time_of(1), time_of(6), None, None)
    ]
    partition, attempt_id = api.partition_of(tasks[1], ZOO), uuid4()
    await api.add(started(tasks[1], attempt_id=attempt_id), partition)
    await api.add(finished(tasks[1], attempt_id=attempt_id), partition)
    told = [(await get(api, f"tasks/{task_id}/"))["unblocked_at"] for task_id in tasks]
    assert told == [time_of(1), time_of(6), time_of(8), time_of(8)]
    assert "unblocked_at" not in (await get(api, f"tasks/{tasks[0]}/", fields="name"))


async def test_what_was_cancelled_behind_another_task_never_was_runnable(api: Site) -> None:
    tasks = await line(api)
    answer = await api.client.patch(f"{V3}/tasks/{tasks[2]}/", json={"state": "canceled"})
    assert answer.json()["unblocked_at"] is None
    await api.add(cancel_requested(tasks[1]), api.partition_of(tasks[1], ZOO))
    assert (await get(api, f"tasks/{tasks[1]}/"))["unblocked_at"] == time_of(6)
    assert (await get(api, f"tasks/{tasks[2]}/"))["unblocked_at"] is None
    assert (await get(api, f"tasks/{tasks[3]}/"))["unblocked_at"] == time_of(8)


async def test_a_task_waits_as_long_as_the_operation_before_it_goes_on(api: Site) -> None:
    """For example, the worker of that operation was lost: its task has ended, and its hold has not."""
    tasks = await line(api)
    async with api.connect() as connection:
        await assign(connection, tasks[0], uses={"repository:zoo": True})
    assert (await get(api, f"tasks/{tasks[1]}/"))["unblocked_at"] is None


async def test_lists_are_filtered_and_ordered_by_it(api: Site) -> None:
    await line(api)
    assert await names(api, unblocked_at__isnull="true") == ["c", "d"]
    assert await names(api, unblocked_at__isnull="false") == ["a", "b"]
    assert await names(api, unblocked_at__isnull="false", state="waiting") == ["b"]  # tasks that more workers could run
    assert await names(api, unblocked_at=time_of(6)) == ["b"]
    assert await names(api, unblocked_at__gt=time_of(1)) == ["b"]
    assert await names(api, unblocked_at__gte=time_of(1)) == ["a", "b"]
    assert await names(api, unblocked_at__lt=time_of(6)) == ["a"]
    assert await names(api, unblocked_at__lte=time_of(6)) == ["a", "b"]
    assert await names(api, unblocked_at__range=f"{time_of(2)},{time_of(9)}") == ["b"]
    assert await names(api, q="NOT unblocked_at__isnull=true AND state=waiting") == ["b"]
    assert await names(api, unblocked_at__isnull="false", reserved_resources="repository:zoo") == ["a", "b"]
    falling = await get(api, "tasks/", ordering="-unblocked_at,name", reserved_resources="repository:zoo")
    assert [row["name"] for row in falling["results"]] == ["c", "d", "b", "a"]  # as Postgres orders
    rising = await get(api, "tasks/", ordering="unblocked_at,name", offset=1)
    assert [row["name"] for row in rising["results"]] == ["b", "c", "d"]


async def test_as_of_a_time_it_is_told_only_if_it_had_come(api: Site) -> None:
    tasks = await line(api)
    assert (await get(api, f"tasks/{tasks[1]}/", as_of=time_of(5)))["unblocked_at"] is None
    assert (await get(api, f"tasks/{tasks[1]}/", as_of=time_of(6)))["unblocked_at"] == time_of(6)


async def test_behind_a_task_that_nobody_could_run_it_is_no_earlier_than_that_was_passed_over(database: str) -> None:
    async with site(database, unserved_s=300) as api:
        await api.task("of-no-worker", resources=(ZOO,))
        behind, partition, attempt_id = await api.task("b", resources=(ZOO,)), api.partition_of(uuid4(), ZOO), uuid4()
        assert await told(api, behind) == time_of(301)  # the first was accepted at 1
        assert await told(api, await api.task("c", resources=(Resource("repository", "bear"),))) == time_of(3)
        api.log.next_at(START_MS + 400_000)
        await api.add(started(behind, attempt_id=attempt_id), partition)
        assert await told(api, behind) == time_of(301)
        started_at = datetime.fromisoformat((await get(api, f"tasks/{behind}/"))["started_at"])
        async with api.connect() as connection:  # as if it had been passed over later: not after the start
            assert await unblocked_at(connection, [behind], unserved_s=1_000) == {behind: started_at}


async def test_tasks_above_the_limit_of_their_user_are_not_those_that_are_runnable_longest(api: Site) -> None:
    def running_of(_: str, own: str) -> int | None:
        return int(own.removeprefix("running=")) if own else None

    async def longest_since() -> datetime | None:
        async with api.connect() as connection, connection.transaction():
            [(now,)] = await (await connection.execute("select now()")).fetchall()
            found_s = await longest_unblocked_s(connection, unserved_s=UNSERVED_S, running_of=running_of)
        return None if found_s is None else now - timedelta(seconds=found_s)

    def at(second: int) -> Any:
        return pytest.approx(datetime.fromtimestamp(START_MS / 1000 + second, UTC), abs=timedelta(milliseconds=1))

    await api.add_user("jo", Role.SUBMITTER)
    await api.execute("insert into quotas values ('jo', 'running=1')")
    first, urgent, _ = [await api.task(name) for name in "abc"]
    await api.execute("update generation_1.tasks set created_by = 'user:jo'")
    assert await longest_since() == at(1)
    await api.execute(f"update generation_1.tasks set priority = 5 where task_id = '{urgent}'")
    assert await longest_since() == at(2)  # the next one
    async with api.connect() as connection:
        await assign(connection, first)
    assert await longest_since() is None
    await api.task("of another user")
    assert await longest_since() == at(4)


SECOND_TRY = datetime.fromtimestamp(START_MS / 1000 + 3.5, UTC)
RETRY = Retry(2, 10, 10)


async def tried(api: Site, *resources: Resource) -> tuple[UUID, int]:
    """A task whose first attempt failed at 3, and whose second may begin half a second later; with its partition."""
    task_id, attempt_id = await api.task("flaky", retry=RETRY, resources=resources), uuid4()
    partition = api.partition_of(task_id, *resources)
    await api.add(started(task_id, attempt_id=attempt_id), partition)
    await api.add(attempt_failed(task_id, attempt_id=attempt_id, retry_at=SECOND_TRY), partition)
    return task_id, partition


async def told(api: Site, task_id: UUID) -> str | None:
    found = (await get(api, f"tasks/{task_id}/"))["unblocked_at"]
    assert found is None or isinstance(found, str)
    return found


async def backs_off(api: Site, task_id: UUID) -> None:
    await api.execute(f"update generation_1.tasks set retry_at = now() + interval '1 hour' where task_id = '{task_id}'")


@pytest.mark.parametrize("resources", [(), (ZOO,)], ids=["alone", "with a resource"])
async def test_a_further_attempt_was_not_runnable_before_it_could_begin(
    api: Site, resources: tuple[Resource, ...]
) -> None:
    second_try = SECOND_TRY.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    task_id, partition = await tried(api, *resources)
    assert await told(api, task_id) == second_try
    attempt_id = uuid4()
    await api.add(started(task_id, attempt=2, attempt_id=attempt_id), partition)
    assert await told(api, task_id) == second_try
    await api.add(finished(task_id, attempt_id=attempt_id), partition)
    assert await told(api, task_id) == second_try


async def test_a_task_that_waits_for_its_next_attempt_is_not_runnable_for_the_metric_either(api: Site) -> None:
    task_id, _ = await tried(api)

    async def runnable() -> list[tuple[str, int, int]]:
        return [(row["name"], row["runnable"], row["blocked"]) for row in (await get(api, "queues/"))["results"]]

    assert await runnable() == [("default", 1, 0)]
    assert await names(api, unblocked_at__isnull="false") == ["flaky"]
    await backs_off(api, task_id)
    assert await told(api, task_id) is None
    assert await runnable() == [("default", 0, 1)]
    assert await names(api, unblocked_at__isnull="true") == ["flaky"]


async def test_the_author_of_a_failed_attempt_cannot_move_the_next_one_beyond_the_longest_wait(api: Site) -> None:
    task_id, attempt_id = await api.task("flaky", retry=RETRY), uuid4()
    await api.add(started(task_id, attempt_id=attempt_id), api.partition_of(task_id))
    far = datetime(2999, 1, 1, tzinfo=UTC)
    await api.add(attempt_failed(task_id, attempt_id=attempt_id, retry_at=far), api.partition_of(task_id))
    await api.add(started(task_id, attempt=2), api.partition_of(task_id))
    await api.execute("update generation_1.tasks set started_at = started_at + interval '1 minute'")
    assert await told(api, task_id) == time_of(3 + 10)


async def test_one_that_is_cancelled_while_it_waits_for_its_next_attempt_never_was_runnable_again(api: Site) -> None:
    task_id, attempt_id = await api.task("flaky", retry=RETRY), uuid4()
    partition = api.partition_of(task_id)
    await api.add(started(task_id, attempt_id=attempt_id), partition)
    late = datetime.fromtimestamp(START_MS / 1000 + 9, UTC)
    await api.add(attempt_failed(task_id, attempt_id=attempt_id, retry_at=late), partition)
    await api.add(cancel_requested(task_id), partition)
    await api.add(finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED), partition)
    assert await told(api, task_id) is None


async def test_a_task_behind_one_that_waits_for_its_next_attempt_is_free_since_the_failure(api: Site) -> None:
    first, _ = await tried(api, ZOO)
    behind = await api.task("behind", resources=(ZOO,))
    assert await told(api, behind) is None  # the first may begin again
    await backs_off(api, first)
    await api.execute(
        f"update generation_1.tasks set accepted_at = accepted_at - interval '2 s' where task_id = '{behind}'"
    )
    await api.execute(
        "update generation_1.task_resources r set accepted_at = t.accepted_at from generation_1.tasks t"
        " where t.task_id = r.task_id"
    )
    assert await told(api, behind) == time_of(3)


async def test_a_shared_use_behind_thousands_of_others_sees_the_exclusive_one(connection: AsyncConnection) -> None:
    """An exclusive task waits, and 3,000 shared ones wait behind it; another exclusive one waits behind these."""
    await connection.execute(
        """insert into generation_1.tasks (task_id, state, operation, arguments, resources, exclusive_resources,
               shared_resources, tags, queue, priority, depends_on, created_by, accepted_at, updated_at, partition,
               accepted_offset, last_offset, version, attempt, cancellable, sequence, progress, result)
           select gen_random_uuid(), 'waiting', 'sync', '{}', '[]',
                  case when n in (1, 3002) then array['orphans'] else '{}' end,
                  case when n in (1, 3002) then '{}' else array['orphans'] end, '{}', 'default', 0, '{}', 'user:x',
                  timestamptz '2026-11-24T12:00Z' + n * interval '1 ms', now(), 0, n, n, 1, 0, false, 0, '{}', 'null'
             from generate_series(1, 3002) n"""
    )
    await connection.execute(
        "insert into generation_1.task_resources"
        " select 'orphans', case when exclusive_resources = '{}' then 's' else 'e' end::\"char\", accepted_at, task_id"
        "   from generation_1.tasks"
    )
    cursor = await connection.execute("select task_id, accepted_at from tasks order by accepted_at")
    rows = await cursor.fetchall()
    found = await unblocked_at(connection, [task_id for task_id, _ in rows], unserved_s=UNSERVED_S)
    assert found == {task_id: accepted_at if place == 0 else None for place, (task_id, accepted_at) in enumerate(rows)}


async def test_an_existing_generation_gets_the_index_that_it_is_found_by(connection: AsyncConnection) -> None:
    exists = "select to_regclass('generation_1.task_resources_exclusive') is not null"
    assert await (await connection.execute(exists)).fetchall() == [(True,)]  # a new one has it
    await connection.execute("drop index generation_1.task_resources_exclusive")
    await connection.execute("delete from schema_migrations where name = '0018_exclusive_uses.sql'")
    assert await migrate(connection) == ["0018_exclusive_uses.sql"]
    assert await (await connection.execute(exists)).fetchall() == [(True,)]
