"""Purging through the API: who may, what is refused and how, and what lists, counts and reads show afterwards."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from psycopg.types.json import Json
from pulp_accounts.users import Role
from pulp_events.events import Accepted, Outcome, Purged, Resource

from tests.support.events import cancel_requested, finished, purged
from tests.support.site import V2, V3, Site

ZOO = Resource("repository", "zoo")


@pytest.fixture(autouse=True)
async def offered(api: Site) -> None:
    """As if a worker offered the operation."""
    await api.execute(
        "insert into operations (name, cancellable, description, resources, registered_by)"
        " values ('purge-tasks', true, '', %s, 'w1')",
        Json([]),
    )


async def ended(api: Site, outcome: Outcome = Outcome.SUCCESSFUL, **data: Any) -> UUID:
    resources = data.get("resources", ())
    task_id = await api.task(**data)
    await api.add(finished(task_id, attempt_id=None, outcome=outcome), api.partition_of(task_id, *resources))
    return task_id


async def hide(api: Site, task_id: UUID, *resources: Resource) -> None:
    await api.add(purged(task_id), api.partition_of(task_id, *resources))


async def ids(api: Site, path: str, **params: Any) -> set[UUID]:
    answer = await api.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    rows = found["results"] if isinstance(found, dict) else found
    if isinstance(found, dict):
        assert found["count"] == len(rows)
    return {UUID(row["pulp_href"].split("/")[-2] if "pulp_href" in row else row["task_id"]) for row in rows}


def purges(api: Site) -> list[Accepted]:
    return [
        event.data
        for event in api.log.events
        if isinstance(event.data, Accepted) and event.data.operation == "purge-tasks"
    ]


async def test_a_purged_task_is_in_no_list_count_or_read_unless_it_is_asked_for(api: Site) -> None:
    gone, kept = await ended(api, resources=(ZOO,)), await ended(api, resources=(ZOO,))
    await hide(api, gone, ZOO)
    for params in (
        {},
        {"state": "completed"},
        {"name": "sync"},
        {"exclusive_resources": "repository:zoo"},
        {"q": "name=sync"},
    ):
        assert await ids(api, f"{V3}/tasks/", **params) == {kept}, params
        assert await ids(api, f"{V3}/tasks/", **params, purged="false") == {kept}, params
        assert await ids(api, f"{V3}/tasks/", **params, purged="true") == {gone}, params
    for v2 in ({}, {"state": "finished"}, {"resource": "repository:zoo"}):
        assert await ids(api, f"{V2}/tasks/", **v2) == {kept}, v2
        assert await ids(api, f"{V2}/tasks/", **v2, purged="true") == {gone}, v2
    found = await api.client.post(f"{V2}/tasks/search/", json={"criteria": {}})
    assert [row["task_id"] for row in found.json()] == [str(kept)]
    for path in (f"{V3}/tasks/{gone}/", f"{V2}/tasks/{gone}/", f"{V3}/tasks/{gone}/progress/"):
        assert (await api.client.get(path)).status_code == 404, path
        assert (await api.client.get(path, params={"purged": "true"})).status_code == 200, path
    as_of = {"as_of": datetime.now(UTC).isoformat()}
    assert (await api.client.get(f"{V3}/tasks/{gone}/", params=as_of)).status_code == 404
    assert (await api.client.get(f"{V3}/tasks/{gone}/", params={**as_of, "purged": "true"})).status_code == 200
    shown = (await api.client.get(f"{V3}/tasks/{gone}/", params={"purged": "true"})).json()
    assert (shown["purged_by"], shown["state"]) == ("/pulp/api/v3/users/admin/", "completed")
    assert "purged_at" not in (await api.client.get(f"{V3}/tasks/{kept}/")).json()


async def test_the_history_of_a_purged_task_stays(api: Site) -> None:
    gone = await ended(api)
    await hide(api, gone)
    found = (await api.client.get(f"{V3}/tasks/{gone}/history/")).json()
    assert [entry["type"].split(".")[3] for entry in found["results"]] == ["accepted", "finished", "purged"]


async def test_no_answer_links_to_a_purged_task(api: Site) -> None:
    parent = await ended(api)
    child = await ended(api, parent_id=parent)
    grandchild = await ended(api, parent_id=child)
    rerun = await ended(api, rerun_of=child)
    await hide(api, child)
    shown = (await api.client.get(f"{V3}/tasks/{parent}/")).json()
    assert shown["child_tasks"] == []
    [listed] = [
        row for row in (await api.client.get(f"{V3}/tasks/")).json()["results"] if str(parent) in row["pulp_href"]
    ]
    assert listed["child_tasks"] == []
    assert (await api.client.get(f"{V3}/tasks/{rerun}/")).json()["rerun_of"] is None
    rows = (await api.client.get(f"{V3}/tasks/")).json()["results"]
    assert [row["parent_task"] for row in rows if str(grandchild) in row["pulp_href"]] == [None]
    assert (await api.client.get(f"{V3}/tasks/{grandchild}/")).json()["parent_task"] is None
    await hide(api, rerun)
    assert (await api.client.get(f"{V3}/tasks/{child}/", params={"purged": "true"})).json()["reruns"] == []


async def test_delete_purges_one_task(api: Site) -> None:
    task_id = await ended(api)
    answer = await api.client.delete(f"{V3}/tasks/{task_id}/")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await ids(api, f"{V3}/tasks/") == set()
    told = [(e.task_id, e.actor, e.data.requested_by) for e in api.log.events if isinstance(e.data, Purged)]
    assert told == [(task_id, "user:admin", "user:admin")]
    again = await api.client.delete(f"{V3}/tasks/{task_id}/")
    assert (again.status_code, again.json()) == (404, {"detail": "No Task matches the given query."})


@pytest.mark.parametrize("is_cancelling", [False, True])
async def test_an_unfinished_task_is_not_deleted(api: Site, is_cancelling: bool) -> None:
    task_id = await api.task()
    if is_cancelling:
        await api.add(cancel_requested(task_id), api.partition_of(task_id))
    answer = await api.client.delete(f"{V3}/tasks/{task_id}/")
    told = f"task {task_id} has not ended: wait for its end, or cancel it, before you purge it"
    assert (answer.status_code, answer.json()) == (409, {"detail": told})
    assert await ids(api, f"{V3}/tasks/") == {task_id}


@pytest.mark.parametrize("text", ["e0e0a250-eded-468f-9d97-0419a00b130f", "nonsense"])
async def test_what_does_not_exist_is_not_deleted(api: Site, text: str) -> None:
    assert (await api.client.delete(f"{V3}/tasks/{text}/")).status_code == 404


async def test_a_purge_is_a_task_and_has_defaults(api: Site) -> None:
    answer = await api.client.post(f"{V3}/tasks/purge/", json={})
    assert answer.status_code == 202
    assert answer.json()["task"] == answer.headers["location"]
    [data] = purges(api)
    given = msgspec.json.decode(data.arguments)
    assert (given["states"], set(given)) == (["successful"], {"states", "finished_before"})
    age = datetime.now(UTC) - datetime.fromisoformat(given["finished_before"])
    assert timedelta(days=30) <= age < timedelta(days=30, minutes=5)


async def test_a_purge_takes_states_and_a_time(api: Site) -> None:
    body = {"states": ["completed", "failed", "canceled", "skipped"], "finished_before": "2026-01-01T00:00:00+01:00"}
    assert (await api.client.post(f"{V3}/tasks/purge/", json=body)).status_code == 202
    [data] = purges(api)
    assert msgspec.json.decode(data.arguments) == {
        "states": ["successful", "failed", "cancelled", "skipped"],
        "finished_before": "2025-12-31T23:00:00Z",
    }


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"states": ["running"]}, "states", '"running" is not a valid choice.'),
        ({"states": ["completed", "nonsense"]}, "states", '"nonsense" is not a valid choice.'),
        ({"states": "completed"}, "states", 'Expected a list of items but got type "str".'),
        ({"finished_before": "yesterday"}, "finished_before", "Datetime has wrong format. Use one of these formats"),
        ({"finished_before": None}, "finished_before", "This field may not be null."),
        (
            {"states": ["failed"], "finished_befor": "2026-01-01"},
            "finished_befor",
            "Unexpected field; there are finished_",
        ),
    ],
)
async def test_what_is_no_purge_is_refused_in_pulps_words(
    api: Site, body: dict[str, Any], field: str, message: str
) -> None:
    answer = await api.client.post(f"{V3}/tasks/purge/", json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert answer.json()[field][0].startswith(message)
    assert purges(api) == []


async def test_who_may_purge_what(api: Site) -> None:
    for role in (Role.VIEWER, Role.OPERATOR, Role.SUBMITTER):
        await api.add_user(role.value, role)
    others, own = await ended(api), await api.task()
    await api.execute("update generation_1.tasks set created_by = 'user:submitter' where task_id = %s", own)
    await api.add(finished(own, attempt_id=None), api.partition_of(own))
    statuses = {}
    for role in (Role.VIEWER, Role.SUBMITTER, Role.OPERATOR):
        user = api.as_user(role.value)
        statuses[role] = [
            (await user.post(f"{V3}/tasks/purge/", json={})).status_code,
            (await user.delete(f"{V3}/tasks/{others}/")).status_code,
        ]
    assert statuses == {Role.VIEWER: [403, 403], Role.SUBMITTER: [202, 403], Role.OPERATOR: [202, 204]}
    assert (await api.as_user("submitter").delete(f"{V3}/tasks/{own}/")).status_code == 204
    authors = [msgspec.json.decode(data.arguments).get("created_by") for data in purges(api)]
    assert sorted(authors, key=str) == [None, "user:submitter"]


async def test_a_submitter_does_not_purge_others_tasks_by_way_of_a_submission(api: Site) -> None:
    await api.add_user("sue", Role.SUBMITTER)
    sue = api.as_user("sue")
    body = {"operation": "purge-tasks", "arguments": {"states": ["successful"]}}
    assert (await sue.post(f"{V3}/tasks/", json=body)).status_code == 403
    purge = await ended(api, operation="purge-tasks")
    assert (await sue.post(f"{V3}/tasks/{purge}/rerun/")).status_code == 403
    assert (await api.client.post(f"{V3}/tasks/", json=body)).status_code == 202
