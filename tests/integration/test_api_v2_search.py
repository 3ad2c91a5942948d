"""Pulp 2's search language over a real Postgres, compared with MongoDB's rules on the reports that are shown."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import pytest
from pulp_accounts import quota_store
from pulp_accounts.users import Role
from pulp_api.v2.patterns import for_postgres
from pulp_events.events import Outcome, Retry, TaskError

from tests.support.events import accepted, attempt_failed, cancel_requested, finished, started
from tests.support.mongo import flags_of, matches
from tests.support.site import V2, Site

GROUP = UUID("99999999-9999-4999-8999-999999999999")
SORTED_BY = ("task_type", "state", "worker_name", "start_time", "finish_time", "queue", "group_id")
IDS = ("_id", "_href", "_ns", "id", "task_id")
"""What a search shows of a task whatever fields it asks for."""
STATES = ("accepted", "suspended", "waiting", "running", "finished", "error", "canceled", "skipped")


async def make_tasks(api: Site) -> None:
    """Tasks of every state, with and without workers, groups, tags and errors."""
    for number in range(24):
        task_id = uuid4()
        tags = ("pulp:repository:zoo", f"pulp:action:{'sync' if number % 2 else 'publish'}", "nightly")[: number % 4]
        group = GROUP if number % 5 == 0 else None
        retry = Retry(1, 3600, 3600) if number == 23 else None
        await api.add(
            accepted(task_id, operation=f"op{number % 3}", tags=tags, group_id=group, retry=retry), number % 4
        )
        if number % 8 != 0:
            await api.add(started(task_id, worker=f"W{number % 2}"), number % 4)
        if number % 8 == 2:
            await api.add(cancel_requested(task_id), number % 4)
        if (outcome := {3: "successful", 4: "failed", 5: "cancelled", 6: "failed"}.get(number % 8)) is not None:
            error = TaskError("operation-failed", f"no route {number}", "Traceback:\nOSError: x")
            told = error if outcome == "failed" else None
            await api.add(finished(task_id, outcome=Outcome(outcome), error=told), number % 4)
        if number == 15:
            await api.add(finished(task_id, outcome=Outcome.SUCCESSFUL), number % 4)
        if number == 23:  # between two attempts: its report shows neither the error nor the worker of the last one
            await api.add(attempt_failed(task_id), number % 4)


async def documents(api: Site) -> list[dict[str, Any]]:
    """The reports as MongoDB would hold them: with the `group_id`, which no report shows."""
    answer = await api.client.get(f"{V2}/tasks/", params={"state": STATES})
    found: list[dict[str, Any]] = answer.json()
    assert len(found) == 24
    for each in found:
        alone = each["call_request_group_id"] == each["task_id"]
        each["group_id"] = None if alone else each["call_request_group_id"]
    return found


async def search(api: Site, **criteria: Any) -> list[str]:
    answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": criteria})
    assert answer.status_code == 200, answer.text
    return [report["task_id"] for report in answer.json()]


def bodies(task_id: str, time: str) -> list[dict[str, Any]]:
    """The kinds of filters that clients send, or that the guides of Pulp show."""
    return [
        {},
        {"state": {"$nin": ["finished", "error", "canceled", "skipped"]}, "tags": {"$all": ["pulp:repository:zoo"]}},
        {"state": {"$in": ["running", "waiting"]}, "group_id": None},
        {"state": {"$eq": "error"}},
        {"state": {"$ne": "finished"}},
        {"state": "suspended"},
        {"$and": [{"state": "finished"}, {"worker_name": "W1"}]},
        {"$or": [{"state": "waiting"}, {"task_type": "op1"}]},
        {"$nor": [{"state": "waiting"}, {"task_type": "op1"}]},
        {"state": {"$not": {"$in": ["waiting", "running"]}}},
        {"task_type": {"$not": "^op[01]$"}},
        {"worker_name": {"$exists": True}},
        {"worker_name": {"$exists": False}},
        {"worker_name": None},
        {"worker_name": {"$in": [None, "W1"]}},
        {"worker_name": {"$ne": "W1"}},
        {"finish_time": None, "start_time": {"$ne": None}},
        {"tags": {"$regex": "repository:z.o$"}},
        {"task_type": {"$regex": "^OP1", "$options": "i"}},
        {"start_time": {"$gt": time}},
        {"start_time": {"$gte": time}},
        {"start_time": {"$lt": time}},
        {"start_time": {"$lte": time}},
        {"start_time": time},
        {"start_time": {"$gt": time[:10]}},
        {"start_time": {"$lte": time[:10]}},
        {"start_time": {"$regex": "^2023-11-14T22:13:4"}},
        {"task_id": {"$in": [task_id, "nonsense"]}},
        {"task_id": {"$regex": f"^{task_id[:9]}"}},
        {"tags": ["pulp:repository:zoo", "pulp:action:sync"]},
        {"tags": {"$gt": "pulp:r"}},
        {"error": None},
        {"error": {"$exists": True}},
        {"exception": {"$ne": None}},
        {"traceback": {"$regex": "OSError"}},
        {"traceback": None},
        {"traceback": {"$regex": r"^osERROR:\sx$", "$options": "im"}},
        {"traceback": {"$regex": "Traceback.*x", "$options": "s"}},
        {"traceback": {"$regex": "Traceback.*x"}},
        {"task_type": {"$regex": r"\bop1\b"}},
        {"task_type": {"$regex": "(?i)^OP1$"}},
        {"task_type": {"$regex": ""}},
        {"task_type": {"$regex": "^ o p 2 # two", "$options": "x"}},
        {"state": {"$nin": ["finished", "error", "canceled", "timed out", "skipped"]}},
        {"queue": "default", "principal_login": "admin"},
        {"state": {"$gt": "f", "$lt": "w"}},
        {"task_type": {"$all": ["op1"]}},
    ]


async def test_each_kind_of_filter_finds_what_mongodb_would(api: Site) -> None:
    await make_tasks(api)
    shown = await documents(api)
    times = sorted(each["start_time"] for each in shown if each["start_time"])
    for filters in bodies(shown[3]["task_id"], times[len(times) // 2]):
        expected = [each["task_id"] for each in shown if matches(each, filters)]
        assert await search(api, filters=filters) == expected, filters
        query = await api.client.get(f"{V2}/tasks/search/", params={"filters": json.dumps(filters)})
        assert [each["task_id"] for each in query.json()] == expected, filters


@pytest.mark.timeout(1800)  # for the whole number
async def test_random_searches_find_what_mongodb_would(api: Site, pytestconfig: pytest.Config) -> None:
    """Filters with sort, limit, skip and fields; `--list-requests 2500` makes 2,500 of them, CI fewer."""
    await make_tasks(api)
    shown = await documents(api)
    seed, count = pytestconfig.getoption("list_seed"), pytestconfig.getoption("list_requests")
    print(f"{count} searches, to be repeated by --list-requests {count} --list-seed {seed}")
    chance = random.Random(seed)
    names = ("state", "task_type", "worker_name", "tags", "start_time", "finish_time", "task_id", "queue", "group_id")

    def value_of(name: str) -> Any:
        found = [each[name] for each in shown]
        values = [item for each in found for item in (each if isinstance(each, list) else [each])]
        return chance.choice([each for each in values if each is not None])

    def clause(name: str) -> Any:
        value, other = value_of(name), value_of(name)
        comparisons = ("$gt", "$gte", "$lt", "$lte")
        return chance.choice(
            [
                value,
                {chance.choice(("$eq", "$ne", *comparisons)): value},
                {chance.choice(("$in", "$nin")): [value, other, chance.choice([None, value])]},
                {"$regex": value[: chance.randint(1, 6)]},
                {"$not": {chance.choice(("$in", "$nin")): [value]}},
                {"$gte": min(value, other), "$lt": max(value, other)},
                {"$exists": chance.choice([True, False])},
            ]
        )

    def filters(depth: int) -> dict[str, Any]:
        found = {name: clause(name) for name in chance.sample(names, chance.randint(0, 2))}
        if depth and chance.random() < 0.6:
            found[chance.choice(("$and", "$or", "$nor"))] = [filters(depth - 1) for _ in range(chance.randint(1, 3))]
        return found

    for _ in range(count):
        criteria: dict[str, Any] = {"filters": filters(2)}
        if chance.random() < 0.6:
            keys = chance.sample(SORTED_BY, chance.randint(1, 3))
            criteria["sort"] = [[key, chance.choice(("ascending", "DESCENDING", 1, -1))] for key in keys]
        if chance.random() < 0.5:
            criteria["limit"] = chance.choice((1, 2, 5, 100))
        if chance.random() < 0.4:
            criteria["skip"] = chance.choice((0, 1, 3, 30))
        if chance.random() < 0.3:
            criteria["fields"] = chance.sample(sorted(shown[0].keys() - {"group_id"}), 3)
        expected = [wanted(each, criteria.get("fields")) for each in chosen(shown, criteria)]
        answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": criteria})
        assert answer.status_code == 200, (criteria, answer.text)
        found = answer.json()
        assert [each["task_id"] for each in found] == [each["task_id"] for each in expected], (criteria, seed)
        for one, other in zip(found, expected, strict=True):
            assert one == other, (criteria, seed, {key: one[key] for key in one if one[key] != other[key]})


def chosen(shown: list[dict[str, Any]], criteria: dict[str, Any]) -> list[dict[str, Any]]:
    """What MongoDB finds: nulls before all values, and equal tasks in the order of submission."""
    found = [each for each in shown if matches(each, criteria["filters"])]
    for key, direction in reversed(criteria.get("sort", [])):
        found.sort(key=partial(sort_key, key), reverse=str(direction).lower() in ("descending", "-1"))
        # Python keeps equal items in order in a reversed sort as well, as is wanted here.
    skip = criteria.get("skip", 0)
    return found[skip : skip + criteria.get("limit", len(found))]


def sort_key(name: str, report: dict[str, Any]) -> tuple[bool, Any]:
    value = report[name]
    return value is not None, "" if value is None else value


def wanted(report: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    """The report as a search shows it: fields that were not requested are null, except the ids."""
    known = {key: value for key, value in report.items() if key != "group_id"}
    return known if fields is None else {key: value if key in (*fields, *IDS) else None for key, value in known.items()}


async def test_ids_of_mongodbs_form_are_found(api: Site) -> None:
    await make_tasks(api)
    for report in (await documents(api))[:3]:
        assert len(report["_id"]["$oid"]) == 24
        for wanted in (report["_id"], report["_id"]["$oid"], {"$in": [report["_id"]["$oid"]]}):
            assert await search(api, filters={"_id": wanted}) == [report["task_id"]]
        assert await search(api, filters={"id": report["id"]}) == [report["task_id"]]


@pytest.mark.parametrize("up", ["ascending", "Ascending", "ASCENDING", "1", 1])
@pytest.mark.parametrize("down", ["descending", "DESCENDING", "-1", -1])
async def test_a_sort_names_its_direction_in_any_way(api: Site, up: Any, down: Any) -> None:
    await make_tasks(api)
    shown = await documents(api)
    for name in ("task_type", "state", "worker_name", "start_time", "finish_time", "queue"):
        # Null comes first, as in MongoDB; equal values stay in the order of submission.
        rising = sorted(shown, key=lambda each: (each[name] is not None, each[name] or ""))
        falling = sorted(shown, key=lambda each: (each[name] is not None, each[name] or ""), reverse=True)
        assert [each[name] for each in rising] == [
            next(one[name] for one in shown if one["task_id"] == found)
            for found in await search(api, sort=[[name, up], ["id", up]])
        ]
        found = await search(api, sort=[[name, down]])
        by_id = {each["task_id"]: each[name] for each in shown}
        assert [by_id[task_id] for task_id in found] == [each[name] for each in falling]


async def test_numbers_are_read_as_pulp_reads_them(api: Site) -> None:
    made = [str(await api.task()) for _ in range(4)]
    for limit, skip in ((2, 1), ("2", "1"), (2.0, 1.0), (" 2 ", "+1")):
        assert await search(api, limit=limit, skip=skip) == made[1:3]
    assert await search(api, limit=None, skip=None, filters=None, sort=None, fields=None) == made
    wrongs: list[Any] = [True, "two", "1.5", 0, -1, [], {}, "1_0"]
    for wrong in wrongs:
        answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": {"limit": wrong}})
        assert (answer.status_code, answer.json()["property_names"]) == (400, ["limit"]), wrong


async def test_searches_are_bounded(api: Site) -> None:
    deep: dict[str, Any] = {"state": "error"}
    for _ in range(12):
        deep = {"$and": [deep]}
    many = {"$or": [{"state": "error"}] * 300}
    lists = {"$or": [{"queue": {"$in": ["x"] * 1000}} for _ in range(5)]}
    ids = {"$or": [{"_id": {"$in": [f"{number:024x}" for number in range(1000)]}} for _ in range(3)]}
    for filters in (deep, many, lists, ids, {"tags": {"$regex": "x" * 501}}, {"task_id": {"$in": ["x"] * 1001}}):
        answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": {"filters": filters}})
        assert (answer.status_code, answer.json()["property_names"]) == (400, ["filters"])


async def test_a_search_takes_as_many_values_as_one_filter_may_have(api: Site) -> None:
    await make_tasks(api)
    shown = await documents(api)
    others = [f"{number:024x}" for number in range(1000 - len(shown))]
    wanted = [*(each["_id"]["$oid"] for each in shown), *others]
    assert await search(api, filters={"_id": {"$in": wanted}}) == [each["task_id"] for each in shown]


@pytest.mark.parametrize("kind", ["tasks", "repositories"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_search_that_is_refused_counts_as_one(api: Site, kind: str, method: str) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    async with api.connect() as connection:
        await quota_store.set_quota(connection, "jo", "searches=0.001/s")
    wrong = {"colour": "red"}
    given: dict[str, Any] = {"params": {"filters": json.dumps(wrong)}}
    if method == "POST":
        given = {"json": {"criteria": {"filters": wrong}}}
    answers = [await api.as_user("jo").request(method, f"{V2}/{kind}/search/", **given) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 429]


SEARCHES = [("tasks", "tags", "generation_1.tasks"), ("repositories", "notes.x", "repositories")]
"""What is searched, a field with texts, and the table."""


@asynccontextmanager
async def locked(api: Site, table: LiteralString) -> AsyncIterator[None]:
    """Meanwhile queries of the table wait, like slow ones."""
    async with api.connect() as connection, connection.transaction():
        await connection.execute("lock table " + table + " in access exclusive mode")
        yield


async def search_for(api: Site, kind: str, field: str, pattern: str) -> httpx.Response:
    body = {"criteria": {"filters": {field: {"$regex": pattern}}}}
    return await api.client.post(f"{V2}/{kind}/search/", json=body)


@pytest.mark.parametrize(("kind", "field", "table"), SEARCHES)
async def test_a_regular_expression_that_takes_too_long_is_refused(
    api: Site, monkeypatch: pytest.MonkeyPatch, kind: str, field: str, table: LiteralString
) -> None:
    monkeypatch.setattr("pulp_api.pattern_searches.LIMIT_S", 0.2)
    assert (await search_for(api, kind, field, "a")).status_code == 200
    async with locked(api, table):
        answer = await search_for(api, kind, field, "a")
    assert answer.status_code == 400, answer.text
    assert "Make the regular expression simpler" in answer.json()["error_message"]
    assert (await search_for(api, kind, field, "a")).status_code == 200  # the connection is as before


@pytest.mark.parametrize(("kind", "field", "table"), SEARCHES)
async def test_a_back_reference_is_refused(api: Site, kind: str, field: str, table: LiteralString) -> None:
    async with locked(api, table):  # it is not even tried
        answer = await search_for(api, kind, field, r"(.*)(.*)(.*)(.*)\1\2\3\4b")
    assert answer.status_code == 400, answer.text
    assert f"{field}: $regex: back references are not taken" in answer.json()["error_message"]


TEXTS = ("run", "rerun", "run\n", "a\nrun b", "", "x.y", "x\\1", "Run", "a[b", "***=run", "r\x41n", "é run", "run\n\n")
PATTERNS = (
    *(
        r"\brun",
        r"run\b",
        r"\Bun",
        r"^run$",
        r"run\Z",
        r"\Arun",
        "a.run",
        "r.n",
        "[^x]run",
        "[]b]",
        "[.]",
        r"x\.y",
        "",
        "a$",
    ),
    *(
        r"x\\1",
        r"\x41",
        r"[\x41-\x42]",
        "run(?= b)",
        "run(?! b)",
        "(?:r|e)u",
        r"[\d\w]+ \S",
        "(?i)RUN",
        "(?ms)^run.b$",
        "$",
        "^",
    ),
)


async def test_a_regular_expression_means_what_it_means_to_mongodb(api: Site) -> None:
    async with api.connect() as connection:
        for pattern, options in product(PATTERNS, ("", "i", "m", "s", "x", "im", "ms", "imsx")):
            ours = for_postgres(pattern, options)
            rows = await connection.execute("select t from unnest(%s::text[]) t where t ~ %s", (list(TEXTS), ours))
            # Python's \Z is the very end; PCRE's also matches before the last line end.
            python = re.compile(pattern.replace(r"\Z", r"(?=\n?\Z)"), flags_of(options))
            found = {text for (text,) in await rows.fetchall()}
            assert found == {text for text in TEXTS if python.search(text)}, (pattern, options, ours)


async def test_a_regular_expression_that_would_mean_something_else_is_refused(api: Site) -> None:
    odd = ("***=run", "(", "a(?i)b", "(?c)run", r"\mrun", r"\Qx\E", r"[\D\K]", "x" * 501, r"\g{1}", None, 5)
    options: list[Any] = [{"$regex": "run", "$options": "g"}, {"$regex": "run", "$options": 1}, {"$options": "i"}]
    for wanted in [*({"$regex": each} for each in odd), *options]:
        answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": {"filters": {"state": wanted}}})
        assert answer.status_code == 400, (wanted, answer.text)


async def test_slow_searches_leave_connections_to_others(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await search_for(api, "repositories", "notes.x", "a")).status_code == 200
    waiting = "select count(*) from pg_locks l where not granted and l.relation = 'repositories'::regclass"
    async with asyncio.TaskGroup() as group, locked(api, "repositories"):
        slow = [group.create_task(search_for(api, "repositories", "notes.x", "a")) for _ in range(8)]
        while await api.execute(waiting) != [(2,)]:  # noqa: ASYNC110  # Postgres tells nobody
            await asyncio.sleep(0.01)
        assert (await api.client.get(f"{V2}/tasks/")).status_code == 200
        assert not any(each.done() for each in slow)
        monkeypatch.setattr("pulp_api.pattern_searches.WAIT_S", 0.01)
        late = await search_for(api, "repositories", "notes.x", "a")
        assert (late.status_code, "try again later" in late.text) == (503, True)
    assert {each.result().status_code for each in slow} == {200}


async def test_a_search_shows_what_its_caller_has_just_submitted(api: Site) -> None:
    """A client that does not find a task that it waits for believes it lost."""
    for number in range(20):
        task_id = str(await api.submit({"operation": "publish", "arguments": {"repo_id": f"r{number}"}}))
        assert await search(api, filters={"task_id": {"$in": [task_id]}}) == [task_id]
    api.may_project.clear()
    await api.submit({"operation": "publish", "arguments": {"repo_id": "zoo"}})
    late = await api.client.get(f"{V2}/tasks/")
    assert (late.status_code, len(late.json()), late.headers["pulp-lag"]) == (200, 20, "1")
    api.may_project.set()
