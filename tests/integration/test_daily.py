"""The daily statistics, compared with an independent calculation over the log's events."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from math import ceil
from random import Random
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from pulp_accounts.users import Role
from pulp_events.events import Access, Event, Outcome, Resource
from pulp_events.ids import new_id
from pulp_events.log import KafkaLog
from pulp_events.reader import Record
from pulp_events.topics import Topics
from pulp_processor.rebuilding import activation, rebuild
from pulp_processor.rebuilding.verify import verify
from pulp_projections.daily.reading import DailyPage, Wanted, read_groups
from pulp_projections.migrations import migrate
from pulp_projections.reading.queries import Condition
from pulp_projections.writing import small_batch
from pulp_projections.writing.projector import Projector

from tests.conftest import PARTITIONS
from tests.support.backends import Backend
from tests.support.events import accepted, attempt_failed, cancel_requested, finished, purged, started
from tests.support.projection import append_all, execute, project, rows, settings_of, stories
from tests.support.records import NOON_MS, record
from tests.support.site import V3, site

RESOURCES = ("repository:zoo", "repository:bar", 'repository:"\\\n\t\x01é€', "worker:1")
SINCE, UNTIL = date(2026, 11, 20), date(2026, 12, 20)
ERROR = 0.032
LAST_MS = 253_402_300_799_000


def lives(random: Random, number: int) -> list[Record]:
    """The records of many tasks, one after the other, at times far apart; some run, some fail, some never end."""
    told: list[tuple[Event, int]] = []
    at_ms = NOON_MS
    for _ in range(number):
        task_id, attempt_id, later_id = new_id(), new_id(), new_id()
        uses = tuple(
            Resource(*_named(name), random.choice(list(Access)))
            for name in random.choices(RESOURCES, k=random.randint(0, 3))
        )
        one: list[Event] = [accepted(task_id, operation=random.choice(["sync", "publish", "o'é"]), resources=uses)]
        if random.random() < 0.8:
            one.append(started(task_id, attempt_id=attempt_id))
            if random.random() < 0.3:
                one += [
                    attempt_failed(task_id, attempt_id=attempt_id),
                    started(task_id, attempt=2, attempt_id=later_id),
                ]
                attempt_id = later_id
            one.append(finished(task_id, attempt_id=attempt_id, outcome=random.choice(list(Outcome))))
        elif random.random() < 0.7:
            one += [cancel_requested(task_id), finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED)]
        if random.random() < 0.2:
            one.append(purged(task_id))
        for event in one:
            at_ms += int(10 ** random.uniform(0, 7))  # up to three hours
            told.append((event, at_ms))
        if random.random() < 0.05:
            at_ms -= 50_000  # a broker's clock was set back
    made = [record(event, offset) for offset, (event, _) in enumerate(told)]
    return [at_time(each, at) for each, (_, at) in zip(made, told, strict=True)]


def _named(resource: str) -> tuple[str, str]:
    kind, _, name = resource.partition(":")
    return kind, name


def at_time(each: Record, timestamp_ms: int) -> Record:
    """The record with another time of the broker."""
    return Record(each.partition, each.offset, timestamp_ms, each.key, each.value)


def plain(records: Iterable[Record]) -> list[dict[str, Any]]:
    """For each ended task: day, operation, resources, outcome, and how long it waited and ran, in seconds."""
    tasks: dict[str, dict[str, Any]] = {}
    for each in records:
        body = json.loads(each.value or b"")
        kind, data, task = body["type"].split(".")[3], body["data"], tasks.get(body["subject"])
        if kind == "accepted":
            uses = {f"{use['type']}:{use['id']}" for use in data["resources"]}
            tasks[body["subject"]] = {
                **{"operation": data["operation"], "resources": uses, "accepted": each.timestamp_ms, "started": None},
                **{"ended": None, "actor": body["actor"]},
            }
            continue
        assert task is not None
        if kind == "started":
            task["started"] = each.timestamp_ms
        elif kind == "attempt-failed":
            task["started"] = None
        elif kind == "finished":
            task["ended"], task["outcome"] = each.timestamp_ms, data["outcome"]
    ended = [task for task in tasks.values() if task["ended"] is not None]
    for task in ended:
        task["day"] = datetime.fromtimestamp(task["ended"] / 1000, UTC).date()
        began = task["ended"] if task["started"] is None else task["started"]
        task["waited"] = max(0, began - task["accepted"]) / 1000
        task["ran"] = None if task["started"] is None else max(0, task["ended"] - task["started"]) / 1000
    return ended


def check(page: DailyPage, tasks: Sequence[dict[str, Any]], keys: Callable[[dict[str, Any]], list[Any]]) -> None:
    """The groups are those of the plain tasks; `keys` says in which groups a task counts."""
    wanted: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for task in tasks:
        for key in keys(task):
            wanted[key].append(task)
    found = {(group.day, group.operation, group.resource): group for group in page.groups}
    assert len(found) == len(page.groups) == page.total
    assert found.keys() == wanted.keys()
    for key, group in found.items():
        of_key = wanted[key]
        assert group.tasks == len(of_key)
        outcomes = {task["outcome"] for task in of_key}
        assert group.states == {each: sum(task["outcome"] == each for task in of_key) for each in outcomes}
        near(group.waited_s, [task["waited"] for task in of_key])
        ran = [task["ran"] for task in of_key if task["ran"] is not None]
        assert (group.ran_s is None) is (not ran)
        if group.ran_s is not None:
            near(group.ran_s, ran)


def near(found: Sequence[float], exact: list[float]) -> None:
    """By nearest rank: the smallest value that this share of the tasks does not exceed."""
    ordered = sorted(exact)
    for value, (numerator, denominator) in zip(found, ((1, 2), (9, 10), (99, 100)), strict=True):
        rank = ceil(len(ordered) * numerator / denominator)
        assert value == pytest.approx(ordered[rank - 1], rel=ERROR, abs=1e-9)


async def read(database: str, *scope: Condition, limit: int = 1000, offset: int = 0, **wanted: Any) -> DailyPage:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        chosen = Wanted(**{"since": SINCE, "until": UNTIL, **wanted})
        return await read_groups(connection, chosen, limit=limit, offset=offset, scope=scope)


async def written(database: str, told: Sequence[Record], size: int) -> None:
    projector = Projector(database, 0)
    await projector.locate()
    for start in range(0, len(told), size):
        await projector.project(told[start : start + size])
    await projector.close()


@pytest.mark.parametrize("size", [7, 1000])
async def test_it_is_what_the_events_say(database: str, size: int) -> None:
    told = lives(Random(size), 300)
    await written(database, told, size)
    ended = plain(told)
    assert len({task["day"] for task in ended}) > 3

    def uses(task: dict[str, Any]) -> list[str | None]:
        return [*task["resources"]] or [None]

    check(await read(database), ended, lambda task: [(task["day"], None, None)])
    check(await read(database, by_day=False), ended, lambda task: [(None, None, None)])
    by_operation = await read(database, by_day=False, by_operation=True)
    check(by_operation, ended, lambda task: [(None, task["operation"], None)])
    by_resource = await read(database, by_day=False, by_resource=True)
    check(by_resource, ended, lambda task: [(None, None, use) for use in uses(task)])
    by_all = await read(database, by_operation=True, by_resource=True)
    check(by_all, ended, lambda task: [(task["day"], task["operation"], use) for use in uses(task)])

    of_zoo = [task for task in ended if RESOURCES[0] in task["resources"] and task["operation"] != "publish"]
    chosen: dict[str, Any] = {"operations": ["sync", "o'é"], "resources": [RESOURCES[0]]}
    check(await read(database, **chosen), of_zoo, lambda task: [(task["day"], None, None)])
    only = await read(database, **chosen, by_day=False, by_resource=True)
    check(only, of_zoo, lambda task: [(None, None, RESOURCES[0])])
    day = sorted(task["day"] for task in ended)[len(ended) // 2]
    of_day = [task for task in ended if task["day"] == day]
    check(await read(database, since=day, until=day), of_day, lambda task: [(day, None, None)])

    pages = [(await read(database, by_operation=True, limit=3, offset=offset)).groups for offset in (0, 3, 6)]
    assert [group for page in pages for group in page] == (await read(database, by_operation=True)).groups[:9]
    assert await read(database, operations=["none"]) == DailyPage([], 0)


async def test_who_sees_own_tasks_only_is_told_of_these(database: str) -> None:
    told = lives(Random(3), 100)
    await written(database, told, 100)
    await execute(database, "update generation_1.tasks set created_by = 'user:jo' where accepted_offset %% 2 = 0")
    found = await execute(database, "select accepted_offset from generation_1.tasks where created_by = 'user:jo'")
    subjects = {json.loads(told[offset].value or b"")["subject"] for (offset,) in found}
    own = plain(each for each in told if json.loads(each.value or b"")["subject"] in subjects)
    scope = Condition("t.created_by = %(scope_actor)s", {"scope_actor": "user:jo"})
    assert 0 < len(own) < len(plain(told))
    check(await read(database, scope), own, lambda task: [(task["day"], None, None)])
    check(await read(database, scope, by_operation=True), own, lambda task: [(task["day"], task["operation"], None)])
    nobody = Condition("t.created_by = %(scope_actor)s", {"scope_actor": "user:kim"})
    assert await read(database, nobody) == DailyPage([], 0)


async def test_a_read_model_from_before_gets_the_same_rows(database: str) -> None:
    told = [*lives(Random(4), 200)]
    last = told[-1].offset + 1
    ends = [record(event, last + number) for number, event in enumerate((accepted(), finished(attempt_id=None)))]
    told += [at_time(each, at) for each, at in zip(ends, (-1, LAST_MS * 2), strict=True)]
    await written(database, told, 50)
    wanted = await rows(database, "task_days")
    assert wanted
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("drop view public.task_days")
        await connection.execute("drop table generation_1.task_days")
        await connection.execute("delete from schema_migrations where name = '0038_daily.sql'")
        assert await migrate(connection) == ["0038_daily.sql"]
    assert await rows(database, "task_days") == wanted


async def test_a_rebuild_fills_it_and_a_comparison_finds_what_differs(
    backend: Backend, database: str, topics: Topics
) -> None:
    settings = settings_of(backend.kafka, database, topics, batch_records=40)
    log = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    await log.start()
    await append_all(log, stories(1, PARTITIONS))
    await project(settings, await log.end_offsets())
    await execute(
        database,
        "update generation_1.task_days set tasks = tasks + 1 where waited = (select max(waited) from task_days)",
    )
    found = await verify(settings)
    assert set(found.differences) == {"task_days.tasks"}
    await rebuild.start(settings)
    await activation.activate(settings, unverified=True)
    assert (await verify(settings)).is_equal
    ended = await execute(database, "select count(*) from tasks where public.is_final(state)")
    assert await execute(database, "select sum(tasks)::int from task_days") == ended
    await append_all(log, stories(2, PARTITIONS))
    await project(settings, await log.end_offsets())
    await log.close()
    assert (await verify(settings)).is_equal


async def test_both_ways_to_write_give_the_same_rows(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = lives(Random(5), 60)
    await written(database, told, 9)
    small = await rows(database, "task_days")
    await execute(
        database,
        "truncate generation_1.tasks, generation_1.task_counts, generation_1.task_days, generation_1.task_resources,"
        " generation_1.task_causes, generation_1.task_events",
    )
    await execute(database, "update generation_1.positions set next_offset = 0")
    monkeypatch.setattr(small_batch, "MOST_RECORDS", 0)
    await written(database, told, 9)
    assert await rows(database, "task_days") == small


async def test_the_api_tells_it_to_whom_it_concerns(database: str) -> None:
    async with site(database, is_scoped=True) as api:
        await api.add_user("jo", Role.SUBMITTER)
        for name in ("jo", "jo", "kim"):
            task_id = new_id()
            event = accepted(task_id, resources=(Resource("repository", "zoo"),))
            await api.add(replace(event, actor=f"user:{name}"))
            await api.add(started(task_id))
            await api.add(finished(task_id, outcome=Outcome.FAILED))
        path = f"{V3}/statistics/days/"
        days = {"since": "2020-01-01", "until": "2029-12-30"}
        [row] = (await api.client.get(path, params={**days, "by": "name,resource"})).json()["results"]
        assert row == {
            **{"day": None, "name": "sync", "resource": "repository:zoo", "tasks": 3, "states": {"failed": 3}},
            **{"waited_seconds": dict.fromkeys(("p50", "p90", "p99"), pytest.approx(1, rel=ERROR))},
            **{"ran_seconds": dict.fromkeys(("p50", "p90", "p99"), pytest.approx(1, rel=ERROR))},
        }
        [own] = (await api.as_user("jo").get(path, params=days)).json()["results"]
        assert (own["tasks"], own["name"]) == (2, None)
        page = (await api.client.get(path, params={**days, "resource": "repository:none"})).json()
        assert (page["count"], page["results"]) == (0, [])
        for wrong, told in (
            ({"since": "yesterday"}, "since=yesterday: a day is expected"),
            ({"since": "2026-11-24", "until": "2026-11-23"}, "since=2026-11-24 is after until=2026-11-23"),
            ({"since": "1026-11-24"}, "at most 3660 days"),
            ({"by": "worker"}, "by=worker: day, name, resource are expected"),
            ({"operation": "sync"}, "operation: no such parameter, there are by,"),
            ({"name": "a\0"}, "null character"),
        ):
            answer = await api.client.get(path, params=wrong)
            assert (answer.status_code, told in answer.text) == (400, True), answer.text
