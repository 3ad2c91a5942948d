"""Running a task again: what is appended, who may do it, what is refused, and how each of the two tasks shows the
other."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec import Raw
from pulp_accounts.users import Role
from pulp_events.errors import AppendOutcomeUnknown
from pulp_events.events import Accepted, Access, Event, Outcome, Resource
from pulp_operations import sync
from pulp_projections.writing import small_batch

from tests.support.declared import declare
from tests.support.events import finished, started
from tests.support.site import ASKED, V2, V3, Site

ZOO, BAR = Resource("repository", "zoo"), Resource("repository", "bar")
ORPHANS = Resource("content_unit", "orphans", Access.SHARED)
SYNC = {"operation": "sync", "arguments": {"repo_id": "zoo", "feed": "http://a/"}, "queue": "slow", "priority": 5}
CID = "6f0ee21f-4a0c-4cf0-8d8b-2a8a46d9e3a1"


async def ended(api: Site, body: dict[str, Any] | None = None) -> UUID:
    """A task that was submitted and has failed."""
    task_id = await api.submit(body or SYNC)
    await end(api, task_id)
    return task_id


async def end(api: Site, task_id: UUID) -> None:
    partition = api.partition_of(task_id, *data_of(api, task_id).resources)
    await api.add(finished(task_id, outcome=Outcome.FAILED, attempt_id=None), partition)
    await api.until(task_id, "failed")


async def rerun(
    api: Site, task_id: object, body: dict[str, Any] | None = None, *, key: str | None = None
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.client.post(f"{V3}/tasks/{task_id}/rerun/", json=body, headers=headers)


async def again(api: Site, task_id: UUID, body: dict[str, Any] | None = None, *, key: str | None = None) -> UUID:
    """The id of the new task."""
    answer = await rerun(api, task_id, body, key=key)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["task"].rstrip("/").rsplit("/", 1)[-1])


async def read(api: Site, task_id: UUID, **params: str) -> dict[str, Any]:
    answer = await api.client.get(f"{V3}/tasks/{task_id}/", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(api: Site, **params: str) -> list[str]:
    """The ids of a list, oldest first."""
    answer = await api.client.get(f"{V3}/tasks/", params={**params, "ordering": "pulp_created"})
    assert answer.status_code == 200, answer.text
    return [task["pulp_href"].rstrip("/").rsplit("/", 1)[-1] for task in answer.json()["results"]]


def event_of(api: Site, task_id: UUID) -> Event:
    """The event that created the task."""
    [event] = [event for event in api.log.events if event.task_id == task_id and isinstance(event.data, Accepted)]
    return event


def data_of(api: Site, task_id: UUID) -> Accepted:
    data = event_of(api, task_id).data
    assert isinstance(data, Accepted)
    return data


def href(task_id: UUID) -> str:
    return f"{V3}/tasks/{task_id}/"


async def test_it_is_a_new_task_that_names_the_first(api: Site) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    first = await ended(api, {**SYNC, "timeout_seconds": 60})
    answer = await api.as_user("jo").post(f"{href(first)}rerun/", headers={"Correlation-ID": CID})
    second = UUID(answer.json()["task"].split("/")[-2])
    partition = api.partition_of(second, ZOO)
    event = event_of(api, second)
    assert (answer.status_code, answer.headers["location"]) == (202, href(second))
    assert answer.headers["pulp-position"].startswith(f"{partition}:")
    assert (event.actor, event.correlation_id, event.causation_id) == ("user:jo", CID, str(first))
    assert event.data == Accepted(
        operation="sync",
        arguments=Raw(b'{"repo_id":"zoo","feed":"http://a/"}'),
        resources=(ZOO, ORPHANS),
        tags=("pulp:repository:zoo", "pulp:action:sync"),
        queue="slow",
        priority=5,
        timeout_seconds=60,
        request=ASKED,
    )
    assert (await read(api, second))["state"] == "waiting"
    assert (await read(api, first))["state"] == "failed"


@pytest.mark.parametrize("most_records", [100, 0], ids=["a small batch", "by COPY"])
async def test_each_of_the_two_shows_the_other(api: Site, most_records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_batch, "MOST_RECORDS", most_records)
    first, other = await ended(api), await ended(api)
    second = await again(api, first)
    third = await again(api, first)
    await end(api, second)
    fourth = await again(api, second)
    links = {task_id: (task["rerun_of"], task["reruns"]) for task_id in (first, second, third, fourth, other)
             if (task := await read(api, task_id))}  # fmt: skip
    assert links == {
        first: (None, [href(second), href(third)]),
        second: (href(first), [href(fourth)]),
        third: (href(first), []),
        fourth: (href(second), []),
        other: (None, []),
    }
    report = (await api.client.get(f"{V2}/tasks/{second}/")).json()
    assert (report["rerun_of"], report["reruns"]) == (str(first), [str(fourth)])
    history = (await api.client.get(f"{href(second)}history/")).json()["results"]
    assert history[0]["event"]["causationid"] == str(first)
    picked = (await api.client.get(href(second), params={"fields": "rerun_of"})).json()
    assert picked == {"rerun_of": href(first)}


async def test_a_list_takes_both_ways_as_filters(api: Site) -> None:
    first, other = await ended(api), await ended(api)
    second = await again(api, first)
    await api.until(second, "waiting")
    ids = [str(task_id) for task_id in (first, other, second)]
    assert await listed(api, rerun_of=href(first)) == [str(second)]
    assert await listed(api, rerun_of=str(other)) == []
    assert await listed(api, rerun_of__isnull="true") == ids[:2]
    assert await listed(api, rerun_of__isnull="false") == ids[2:]
    assert await listed(api, reruns__isnull="true") == ids[1:]
    assert await listed(api, reruns__isnull="0", state="failed") == ids[:1]
    assert await listed(api, q=f"reruns__isnull=true AND NOT rerun_of={first}") == [str(other)]


async def test_the_list_of_pulp_2_leaves_out_what_was_run_again(api: Site) -> None:
    first, other = await ended(api), await ended(api)
    await api.until(await again(api, first), "waiting")

    async def ids(**params: str) -> list[str]:
        answer = await api.client.get(f"{V2}/tasks/", params={"state": "error", **params})
        return [task["task_id"] for task in answer.json()]

    assert await ids() == [str(first), str(other)]
    assert await ids(has_reruns="false") == [str(other)]
    assert await ids(has_reruns="true") == [str(first)]


async def test_tags_are_a_filter_all_of_which_match(api: Site) -> None:
    task_id = await api.submit({**SYNC, "tags": ["a", "b"]})
    await api.until(task_id, "waiting")
    assert await listed(api, tags="a") == await listed(api, tags="b,a") == [str(task_id)]
    assert await listed(api, tags="a,c") == await listed(api, tags="ab") == []


async def test_as_it_was_before_it_was_run_again(api: Site) -> None:
    first = await ended(api)
    before = await read(api, first)
    second = await again(api, first)
    await api.until(second, "waiting")
    assert (await read(api, first))["reruns"] == [href(second)]
    now = datetime.now(UTC).isoformat()
    for as_of, reruns in (
        (before["finished_at"], []),
        (before["position"], []),
        (now, [href(second)]),
    ):
        assert (await read(api, first, as_of=as_of))["reruns"] == reruns
    assert (await read(api, second, as_of=now))["rerun_of"] == href(first)


async def test_resources_and_partition_follow_the_arguments(api: Site) -> None:
    second = await again(api, await ended(api), {"arguments": {"repo_id": "bar"}, "priority": -1, "queue": "default"})
    event = event_of(api, second)
    assert event.data == Accepted(
        operation="sync",
        arguments=Raw(b'{"repo_id":"bar","feed":"http://a/"}'),
        resources=(BAR, ORPHANS),
        tags=("pulp:repository:bar", "pulp:action:sync"),
        priority=-1,
        request=ASKED,
    )
    await api.until(second, "waiting")
    assert (await read(api, second))["position"].split(":")[0] == str(api.partition_of(second, BAR))


async def test_a_task_that_has_not_ended_is_not_run_again(api: Site) -> None:
    waiting = await api.submit(SYNC)
    answer = await rerun(api, waiting)
    assert (answer.status_code, answer.json()) == (
        409,
        {"detail": f"task {waiting} has not ended: wait for its end, or cancel it, before you run it again"},
    )
    await api.add(started(waiting), api.partition_of(waiting, ZOO))
    assert (await rerun(api, waiting)).status_code == 409
    assert len([event for event in api.log.events if isinstance(event.data, Accepted)]) == 1


async def test_who_may_not(api: Site) -> None:
    for name, role in (("vi", Role.VIEWER), ("op", Role.OPERATOR)):
        await api.add_user(name, role)
        assert (await api.as_user(name).post(f"{href(uuid4())}rerun/")).status_code == 403
    assert (await api.as_user("").post(f"{href(uuid4())}rerun/")).status_code == 401
    assert api.log.events == []


async def test_what_is_refused(api: Site) -> None:
    first = await ended(api)
    count = len(api.log.events)
    for task_id, body, status, told in (
        (uuid4(), {}, 404, "No Task matches the given query."),
        ("nonsense", {}, 404, "Not found."),
        (first, {"operation": "publish"}, 400, "operation is not a known field"),
        (first, {"arguments": {"repo_id": None}}, 400, "operation sync needs the argument 'repo_id'"),
        (first, {"arguments": {"repo_id": "a\0"}}, 400, "U+0000"),
        (first, {"queue": 7}, 400, "queue must be a text, not a number"),
    ):
        answer = await rerun(api, task_id, body)
        assert (answer.status_code, told in answer.text) == (status, True), answer.text
    await api.execute("delete from operations where name = 'publish'")
    unknown = await api.task("publish", resources=(ZOO,))
    await api.add(finished(unknown, attempt_id=None), api.partition_of(unknown, ZOO))
    answer = await rerun(api, unknown)
    assert (answer.status_code, "unknown operation 'publish'; known are: " in answer.text) == (400, True)
    assert len(api.log.events) == count + 2


async def test_a_projection_that_is_behind_is_no_reason_to_say_no(api: Site) -> None:
    first = await api.submit(SYNC)
    await api.until(first, "waiting")
    api.may_project.clear()
    await api.add(finished(first, attempt_id=None), api.partition_of(first, ZOO))
    behind = await rerun(api, first)
    assert (behind.status_code, "the projection is behind the log" in behind.text) == (503, True)
    assert (await rerun(api, uuid4())).status_code == 503
    api.may_project.set()
    await api.until(first, "successful")
    await again(api, first)


async def test_one_key_makes_one_task(api: Site) -> None:
    first, other = await ended(api), await ended(api)
    second, third = await asyncio.gather(again(api, first, key="k"), again(api, first, key="k"))
    assert second == third == await again(api, first, key="k")
    assert await listed(api, rerun_of=str(first)) == [str(second)]
    for answer in (
        await rerun(api, other, key="k"),  # the same in everything except what it reruns
        await rerun(api, first, {"priority": 1}, key="k"),
        await api.client.post(f"{V3}/tasks/", json=SYNC, headers={"Idempotency-Key": "k"}),
    ):
        assert answer.status_code == 422, answer.text
    await api.submit(SYNC, **{"Idempotency-Key": "s"})
    assert (await rerun(api, first, key="s")).status_code == 422


async def test_an_unknown_outcome_is_made_known_by_the_same_key(api: Site) -> None:
    first = await ended(api)
    api.log.late_fault = AppendOutcomeUnknown("no answer")
    assert (await rerun(api, first, key="k")).status_code == 503
    second = await again(api, first, key="k")
    assert await listed(api, rerun_of=str(first)) == [str(second)]


async def test_arguments_are_checked_like_those_of_a_submission(api: Site) -> None:
    """Arguments accepted before the operation declared them are not accepted again."""
    secret = b'{"repo_id":"zoo","feed":"https://me:hunter2@h/"}'
    first = await api.task("sync", resources=(ZOO, ORPHANS), arguments=Raw(secret))
    await end(api, first)
    await declare(api.database, sync)
    refused = await rerun(api, first)
    assert (refused.status_code, "feed" in refused.text, "hunter2" in refused.text) == (400, True, False)
    second = await again(api, first, {"arguments": {"feed": "https://h/"}})
    assert data_of(api, second).arguments == Raw(b'{"repo_id":"zoo","feed":"https://h/"}')
    # A remembered argument that is removed is the newest one.
    third = await again(api, first, {"arguments": {"feed": None}})
    assert json.loads(bytes(data_of(api, third).arguments)) == {"repo_id": "zoo", "feed": "https://h/"}
