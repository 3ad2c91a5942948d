"""Quotas: what a user may use, through one API and through two, and how more is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from psycopg import AsyncConnection
from pulp_accounts import quota_store
from pulp_accounts.quotas import of_roles
from pulp_accounts.users import Role, add_user
from pulp_events.audit import What
from pulp_events.errors import LogUnavailable
from pulp_events.events import Outcome
from pulp_events.settings import SettingsError
from pulp_events.topics import Topics

from tests.support.api_process import LIMIT_S, ApiProcess, api_process
from tests.support.assigned import assign
from tests.support.backends import Backend
from tests.support.claim_rows import Placed, Row
from tests.support.declared import add_worker
from tests.support.dispatching import assigned_now
from tests.support.events import finished
from tests.support.invented import place_all
from tests.support.site import PASSWORD, V2, V3, Site

BODY = {"operation": "remove-orphans"}
NEVER = "0.001/s"
"""A rate that gives nothing more within a test."""


@pytest.fixture
async def jo(api: Site) -> AsyncIterator[httpx.AsyncClient]:
    await api.add_user("jo", Role.SUBMITTER)
    async with api.as_user("jo") as client:
        yield client


async def limit(api: Site, text: str) -> None:
    """Set jo's own quota. It takes effect when the API next reads quotas."""
    async with api.connect() as connection:
        await quota_store.set_quota(connection, "jo", text)


async def submit(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post(f"{V3}/tasks/", json={**BODY, **body})


def refused(answer: httpx.Response, quota: str) -> str:
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    words = str(answer.json()["detail"])
    assert f"the quota {quota!r}" in words
    assert f"pulp-tasks quotas set jo {quota}=" in words
    return words


async def test_submissions_beyond_the_rate_are_refused_until_later(api: Site, jo: httpx.AsyncClient) -> None:
    await limit(api, f"rate={NEVER} burst=3")
    assert [(await submit(jo)).status_code for _ in range(3)] == [202] * 3
    words = refused(await submit(jo), "rate")
    assert "3 at once" in words
    assert len(api.log.events) == 3
    assert (await submit(api.client)).status_code == 202  # others are not concerned


async def test_bytes_of_submissions_are_limited(api: Site, jo: httpx.AsyncClient) -> None:
    await limit(api, "bytes=10K/min")
    large = {"x": "x" * 6000}
    assert (await submit(jo, arguments=large)).status_code == 202
    refused(await submit(jo, arguments=large), "bytes")
    assert (await submit(jo)).status_code == 202


async def test_what_a_quota_never_allows_is_forbidden(api: Site, jo: httpx.AsyncClient) -> None:
    await limit(api, "priority=7 size=1K")
    assert (await submit(jo, priority=7)).status_code == 202
    for body, words in (
        ({"priority": 8}, "priority 8 is above 7, the highest, by the quota 'priority' of user jo"),
        ({"arguments": {"x": "x" * 2000}}, "at most 1024 are taken, by the quota 'size' of user jo"),
    ):
        answer = await submit(jo, **body)
        assert (answer.status_code, words in answer.json()["detail"]) == (403, True), answer.text
    assert (await submit(api.client, priority=1000)).status_code == 202
    # Running a task again with the priority that an admin gave it requires the same right.
    first = await api.task("remove-orphans", priority=9)
    await api.add(finished(first, attempt_id=None, outcome=Outcome.CANCELLED), api.partition_of(first))
    assert (await jo.post(f"{V3}/tasks/{first}/rerun/")).status_code == 403
    assert (await jo.post(f"{V3}/tasks/{first}/rerun/", json={"priority": 1})).status_code == 202


async def test_a_submitter_has_a_highest_priority_by_default(api: Site, jo: httpx.AsyncClient) -> None:
    assert (await submit(jo, priority=100)).status_code == 202
    assert (await submit(jo, priority=1000)).status_code == 403


async def test_unfinished_tasks_are_counted_as_they_come_and_end(api: Site, jo: httpx.AsyncClient) -> None:
    await limit(api, "unfinished=5")
    answers = await asyncio.gather(*(submit(jo) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 7
    refused(await submit(jo), "unfinished")
    task = next(answer.json()["task"] for answer in answers if answer.status_code == 202)
    task_id = UUID(task.rstrip("/").rsplit("/", 1)[-1])
    await api.add(finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED), api.partition_of(task_id))
    answer = await until_taken(jo)
    assert answer.status_code == 202
    refused(await submit(jo), "unfinished")


async def until_taken(client: httpx.AsyncClient) -> httpx.Response:
    """The first answer other than 429: a count is some tenths of a second old."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            answer = await submit(client)
            if answer.status_code != 429:
                return answer
            await asyncio.sleep(0.05)


async def test_a_refused_write_does_not_count(api: Site, jo: httpx.AsyncClient) -> None:
    await limit(api, "unfinished=1")
    api.log.fault = LogUnavailable("Kafka is away")
    assert (await submit(jo)).status_code == 503
    assert (await submit(jo)).status_code == 202
    refused(await submit(jo), "unfinished")


async def test_cancels_and_searches_have_a_rate_too(api: Site, jo: httpx.AsyncClient) -> None:
    await limit(api, f"actions={NEVER} searches={NEVER}")
    task = (await submit(jo)).json()["task"]
    assert (await jo.patch(task, json={"state": "canceled"})).status_code == 200
    refused(await jo.patch(task, json={"state": "canceled"}), "actions")
    answer = await jo.delete(f"{V2}/tasks/{task.rstrip('/').rsplit('/', 1)[-1]}/")
    assert (answer.status_code, answer.json()["http_status"]) == (429, 429)
    assert (await jo.get(f"{V2}/tasks/")).status_code == 200
    refused(await jo.get(f"{V3}/tasks/", params={"q": "state=waiting"}), "searches")
    assert (await jo.get(f"{V2}/tasks/search/")).status_code == 429
    assert (await jo.get(f"{V3}/tasks/")).status_code == 200  # a page is not a stream


@pytest.mark.parametrize("path", [f"{V2}/task_groups/{{}}/", f"{V3}/task-groups/{{}}/"])
async def test_the_cancel_of_a_group_is_one_action_however_many_tasks_it_has(
    api: Site, jo: httpx.AsyncClient, path: str
) -> None:
    await limit(api, f"actions={NEVER}")
    group = str(uuid4())
    tasks = [(await submit(jo, group_id=group)).json()["task"] for _ in range(3)]
    body = {"state": "canceled"}
    request = jo.delete(path.format(group)) if path.startswith(V2) else jo.patch(path.format(group), json=body)
    assert (await request).status_code in (200, 202)
    assert {(await jo.get(task)).json()["state"] for task in tasks} <= {"canceled", "canceling"}
    refused(await jo.patch(tasks[0], json=body), "actions")


async def test_refusals_are_audited(api: Site, jo: httpx.AsyncClient) -> None:
    await limit(api, "priority=1")
    await submit(jo, priority=2)
    found = [record for record in api.audited if record.what is What.QUOTA_REFUSED]
    assert [(record.actor, "'priority'" in record.detail) for record in found] == [("user:jo", True)]


def test_settings_that_are_no_quota_are_told_by_name() -> None:
    assert of_roles({"PULP_QUOTA_SUBMITTER": " rate=20/s,unfinished=none "}) == {
        Role.SUBMITTER: "rate=20/s unfinished=none"
    }
    for text, words in (
        ("rat=20/s", "unknown quota 'rat', did you mean 'rate'?"),
        ("rate=20", "rate=20: a number a s, min or h"),
        ("rate=0/s", "more than 0 is expected"),
        ("unfinished=-1", "a whole number"),
        ("bytes=10X/min", "a number of bytes"),
        ("rate=1/s rate=2/s", "given twice"),
        ("priority", "has no value"),
    ):
        with pytest.raises(SettingsError) as caught:
            of_roles({"PULP_QUOTA_SUBMITTER": text})
        assert str(caught.value).startswith("PULP_QUOTA_SUBMITTER: "), text
        assert words in str(caught.value), text


@pytest.fixture
async def two(backend: Backend, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[list[ApiProcess]]:
    """Two API processes of one installation; `jo` may submit little."""
    async with AsyncExitStack() as stack:
        settings = {"PULP_QUOTA_SUBMITTER": f"rate={NEVER} burst=7 streams=2"}
        made = [
            await stack.enter_async_context(api_process(backend.kafka, database, topics, tmp_path, settings=settings))
            for _ in range(2)
        ]
        async with await AsyncConnection.connect(database, autocommit=True) as connection:
            await add_user(connection, "jo", PASSWORD, Role.SUBMITTER)
            await connection.execute(
                "insert into operations (name, cancellable, description, resources, registered_by)"
                " values ('remove-orphans', true, '', '[]', 'w1')"
            )
        yield made


def as_jo(api: ApiProcess) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=api.url, auth=("jo", PASSWORD), timeout=LIMIT_S, trust_env=False)


async def test_the_rate_holds_over_all_api_processes(two: list[ApiProcess]) -> None:
    async with as_jo(two[0]) as one, as_jo(two[1]) as other:
        answers = await asyncio.gather(*(submit(client) for client in (one, other) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] * 7 + [429] * 33


async def test_event_streams_of_a_user_are_limited(two: list[ApiProcess]) -> None:
    async with as_jo(two[0]) as client, AsyncExitStack() as stack:
        for _ in range(2):
            answer = await stack.enter_async_context(client.stream("GET", f"{V3}/events/"))
            assert answer.status_code == 200
        refused(await client.get(f"{V3}/events/"), "streams")
        await stack.aclose()
        async with asyncio.timeout(LIMIT_S):  # until the server has noticed that they are gone
            while True:
                async with client.stream("GET", f"{V3}/events/") as again:
                    if again.status_code == 200:
                        return
                await asyncio.sleep(0.05)


async def test_a_setting_that_is_no_quota_ends_the_start(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    settings = {"PULP_QUOTA_OPERATOR": "action=1/s"}
    async with api_process(backend.kafka, database, topics, tmp_path, ready=False, settings=settings) as api:
        assert await api.ended() == 78
        assert "PULP_QUOTA_OPERATOR: unknown quota 'action', did you mean 'actions'?" in api.output()


async def test_one_user_cannot_take_all_slots(database: str) -> None:
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("insert into users (name, password_hash, role) values ('x', '-', 'submitter')")
        await add_worker(database, "sync", slots=10)
        mine = [
            Placed(
                Row("waiting", "sync", "default", 5, 0, 0, ((f"r{n}", True),) if n % 2 else (), (), None), uuid4(), n
            )
            for n in range(8)
        ]
        others = [Placed(Row("waiting", "sync", "default", 0, 1, 0, (), (), None), uuid4(), 8 + n) for n in range(2)]
        await place_all(connection, [*mine, *others])
        other_ids = [task.task_id for task in others]
        await connection.execute(
            "update generation_1.tasks set created_by = 'user:y' where task_id = any (%s)", [other_ids]
        )
        await quota_store.set_quota(connection, "x", "running=3")
        assert await assigned_now(connection) == [
            *([task.task_id] for task in mine[:3]),
            *([task_id] for task_id in other_ids),
        ]
        assert await assigned_now(connection) == []
        await connection.execute(
            "with gone as (delete from claims where task_id = %s returning hold_id)"
            " delete from holds where hold_id in (select hold_id from gone)",
            [mine[0].task_id],
        )
        await connection.execute(
            "update generation_1.tasks set state = 'successful' where task_id = %s", [mine[0].task_id]
        )
        assert await assigned_now(connection) == [[mine[3].task_id]]


async def test_the_limit_of_a_role_holds_for_all_its_users(database: str) -> None:
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("insert into users (name, password_hash, role) values ('x', '-', 'submitter')")
        await add_worker(database, "sync", slots=10)
        mine = [Placed(Row("waiting", "sync", "default", 0, 0, 0, (), (), None), uuid4(), n) for n in range(3)]
        await place_all(connection, mine)
        found = await assigned_now(connection, quotas={Role.SUBMITTER: "running=2"})
        assert found == [[task.task_id] for task in mine[:2]]


async def test_a_task_that_waits_for_the_quota_of_its_user_says_so(api: Site, jo: httpx.AsyncClient) -> None:
    await add_worker(api.database, "remove-orphans")
    await limit(api, "running=1")
    running, waiting = [UUID((await submit(jo)).json()["task"].rstrip("/").rsplit("/", 1)[-1]) for _ in range(2)]
    await api.until(waiting, "waiting")
    async with api.connect() as connection:
        await assign(connection, running)
    told = (await api.client.get(f"{V3}/tasks/{waiting}/")).json()["waiting_for"]
    assert (told["reason"], told["message"]) == (
        "quota",
        "User jo may run 1 task at once (quota 'running'), and 1 is running.",
    )
