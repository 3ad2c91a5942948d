"""Owners of tasks: what each role sees of others' tasks if only one's own are visible, and roles on single tasks."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec.structs import replace
from pulp_accounts.users import Role
from pulp_api.logins.auth import Principal
from pulp_api.streaming.streamed_events import streamed
from pulp_api.streaming.visible_tasks import VisibleTasks
from pulp_api.task_rights import TaskRights
from pulp_events.codec import key_of
from pulp_events.errors import PositionNotReached
from pulp_events.events import Outcome
from pulp_events.ids import new_id
from pulp_events.reader import Record

from tests.support.events import accepted, finished, purged, started
from tests.support.records import garbage
from tests.support.site import V2, V3, Site, site

PEOPLE = {"jo": Role.SUBMITTER, "kim": Role.SUBMITTER, "vi": Role.VIEWER, "op": Role.OPERATOR}
GROUP = UUID("e0e0a250-eded-468f-9d97-0419a00b130f")


@pytest.fixture
async def own(database: str) -> AsyncIterator[Site]:
    """A site on which viewers and submitters see their own tasks, with a user of each role."""
    async with site(database, is_scoped=True) as made:
        for name, role in PEOPLE.items():
            await made.add_user(name, role)
        yield made


async def task_of(api: Site, user: str, **data: Any) -> UUID:
    """A task that a user has submitted, with its own arguments."""
    task_id = new_id()
    await api.add(replace(accepted(task_id, **data), actor=f"user:{user}"))
    return task_id


async def seen(client: httpx.AsyncClient, query: str = "") -> tuple[set[str], int]:
    """The tasks of the v3 list, and its count; the v2 list and both searches are the same."""
    page = (await client.get(f"{V3}/tasks/{query}")).json()
    ids = {each["pulp_href"].split("/")[-2] for each in page["results"]}
    for answer in (
        await client.get(f"{V2}/tasks/"),
        await client.post(f"{V2}/tasks/search/", json={"criteria": {"filters": {}}}),
    ):
        assert {each["task_id"] for each in answer.json()} == ids
    return ids, page["count"]


async def test_each_list_and_count_holds_what_the_user_may_see(own: Site) -> None:
    of_jo, of_kim = await task_of(own, "jo"), await task_of(own, "kim")
    everything = {str(of_jo), str(of_kim)}
    assert await seen(own.as_user("jo")) == ({str(of_jo)}, 1)
    assert await seen(own.as_user("kim")) == ({str(of_kim)}, 1)
    assert await seen(own.as_user("vi")) == (set(), 0)
    assert await seen(own.as_user("op")) == (everything, 2)
    assert await seen(own.client) == (everything, 2)
    for filtered in ("?state=waiting", "?q=state=waiting OR name=sync", "?ordering=name", "?limit=1", "?minimal=true"):
        answer = await own.as_user("jo").get(f"{V3}/tasks/{filtered}")
        assert (answer.json()["count"], len(answer.json()["results"])) == (1, 1), filtered


async def test_the_numbers_are_of_what_the_user_may_see(own: Site) -> None:
    await task_of(own, "kim", operation="publish")
    of_jo, attempt = await task_of(own, "jo"), uuid4()
    for event in (started(of_jo, attempt_id=attempt), finished(of_jo, attempt_id=attempt)):
        await own.add(event)
    shared = await task_of(own, "kim")
    answer = await own.as_user("kim").post(
        f"{V3}/tasks/{shared}/add_role/", json={"role": "core.task_viewer", "users": ["vi"]}
    )
    assert answer.status_code == 201
    await own.execute(  # the tests' events have a fixed date
        "update tasks set accepted_at = now() - interval '3 minutes',"
        " started_at = started_at - accepted_at + now() - interval '2 minutes',"
        " finished_at = finished_at - accepted_at + now() - interval '1 minute'"
    )
    everything = {"completed": {"sync": 1}, "waiting": {"publish": 1, "sync": 1}}
    expected = {
        "jo": {"completed": {"sync": 1}},
        "kim": {"waiting": {"publish": 1, "sync": 1}},
        "vi": {"waiting": {"sync": 1}},
        "op": everything,
        "admin": everything,
    }
    for name, operations in expected.items():
        client = own.as_user(name)
        counts = (await client.get(f"{V3}/task-counts/")).json()
        assert counts["operations"] == operations, name
        assert counts["states"]["waiting"] == sum(operations.get("waiting", {}).values()), name
        numbers = (await client.get(f"{V3}/statistics/")).json()
        total = sum(sum(by_name.values()) for by_name in operations.values())
        assert (sum(numbers["accepted"]), numbers["waiting"][-1]) == (total, counts["states"]["waiting"]), name
        assert [each["name"] for each in numbers["operations"]] == [*operations.get("completed", {})], name


def reads(task_id: UUID) -> Sequence[str]:
    parts = (
        "",
        "progress/",
        "history/",
        "why/",
        "my_permissions/",
        f"?as_of={datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
    )
    return [*(f"{V3}/tasks/{task_id}/{part}" for part in parts), f"{V2}/tasks/{task_id}/"]


async def test_a_task_of_somebody_else_is_as_if_it_were_not_there(own: Site) -> None:
    of_jo, nothing = await task_of(own, "jo"), uuid4()
    for name in ("kim", "vi"):
        client = own.as_user(name)
        for there, not_there in zip(reads(of_jo), reads(nothing), strict=True):
            hidden, missing = await client.get(there), await client.get(not_there)
            assert (hidden.status_code, hidden.text.replace(str(of_jo), "")) == (
                404,
                missing.text.replace(str(nothing), ""),
            )
    kim = own.as_user("kim")
    assert (await kim.patch(f"{V3}/tasks/{of_jo}/", json={"state": "canceled"})).status_code == 404
    assert (await kim.delete(f"{V2}/tasks/{of_jo}/")).status_code == 404
    assert (await kim.post(f"{V3}/tasks/{of_jo}/rerun/")).status_code == 404
    assert (await kim.delete(f"{V3}/tasks/{of_jo}/")).status_code == 404
    assert (await kim.get(f"{V3}/tasks/{of_jo}/list_roles/")).status_code == 404
    for name in ("jo", "op", "admin"):
        for path in reads(of_jo):
            assert (await own.as_user(name).get(path)).status_code == 200, (name, path)


async def test_the_history_of_a_purged_task_of_ones_own_stays(own: Site) -> None:
    of_jo = await task_of(own, "jo")
    await own.add(finished(of_jo, attempt_id=None, outcome=Outcome.CANCELLED))
    await own.add(purged(of_jo))
    for name, status in (("jo", 200), ("op", 200), ("kim", 404), ("vi", 404)):
        client = own.as_user(name)
        assert (await client.get(f"{V3}/tasks/{of_jo}/history/")).status_code == status, name
        assert (await client.get(f"{V3}/tasks/{of_jo}/")).status_code == 404
    told = (await own.as_user("jo").get(f"{V3}/tasks/{of_jo}/history/")).json()
    assert len(told["results"]) == 3


async def test_a_submission_tells_nothing_of_a_task_that_the_user_may_not_see(own: Site) -> None:
    of_jo, of_kim, nothing = await task_of(own, "jo"), await task_of(own, "kim"), uuid4()
    body = {"operation": "publish", "arguments": {"repo_id": "zoo"}}

    async def submit(**named: Any) -> httpx.Response:
        return await own.as_user("kim").post(f"{V3}/tasks/", json={**body, **named})

    for name in ("depends_on", "parent_task"):
        hidden = await submit(**{name: [str(of_jo)] if name == "depends_on" else str(of_jo)})
        missing = await submit(**{name: [str(nothing)] if name == "depends_on" else str(nothing)})
        assert hidden.status_code == missing.status_code == 400
        assert hidden.text.replace(str(of_jo), "") == missing.text.replace(str(nothing), "")
    assert (await submit(depends_on=[str(of_kim)])).status_code == 202
    assert (await submit(parent_task=str(of_kim))).status_code == 202
    await give(own.as_user("jo"), of_jo, "core.task_viewer", "kim")
    assert (await submit(depends_on=[f"{V3}/tasks/{of_jo}/"])).status_code == 202


async def test_a_group_shows_what_the_user_may_see(own: Site) -> None:
    of_jo = await task_of(own, "jo", group_id=GROUP)
    await task_of(own, "kim", group_id=GROUP)
    answer = await own.as_user("jo").get(f"{V2}/task_groups/{GROUP}/")
    assert [each["task_id"] for each in answer.json()] == [str(of_jo)]
    assert (await own.as_user("vi").get(f"{V2}/task_groups/{GROUP}/")).status_code == 404
    assert (await own.as_user("jo").get(f"{V2}/task_groups/{GROUP}/state_summary/")).json()["total"] == 1
    for path in ("task-groups/", f"task-groups/{GROUP}/"):
        found = (await own.as_user("jo").get(f"{V3}/{path}")).json()
        [group] = found.get("results", [found])
        assert (group["waiting"], [each["pulp_href"] for each in group["tasks"]]) == (1, [f"{V3}/tasks/{of_jo}/"])
    assert (await own.as_user("vi").get(f"{V3}/task-groups/")).json()["count"] == 0
    assert (await own.as_user("vi").get(f"{V3}/task-groups/{GROUP}/")).status_code == 404


async def test_by_default_everybody_sees_everything(api: Site) -> None:
    for name, role in PEOPLE.items():
        await api.add_user(name, role)
    of_jo = await task_of(api, "jo")
    for name in PEOPLE:
        assert await seen(api.as_user(name)) == ({str(of_jo)}, 1)
        for path in reads(of_jo):
            assert (await api.as_user(name).get(path)).status_code == 200
    assert (await api.as_user("kim").patch(f"{V3}/tasks/{of_jo}/", json={"state": "canceled"})).status_code == 403


async def give(client: httpx.AsyncClient, task_id: UUID, role: str, *names: str, way: str = "add") -> httpx.Response:
    return await client.post(f"{V3}/tasks/{task_id}/{way}_role/", json={"role": role, "users": names})


async def test_a_role_on_a_task_shows_it_and_an_owner_may_cancel_it(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.canceller.CANCEL_S", 0.3)  # nothing ends this task
    of_jo, jo, kim = await task_of(own, "jo"), own.as_user("jo"), own.as_user("kim")
    given = await give(jo, of_jo, "core.task_viewer", "kim", "vi")
    assert given.status_code == 201
    assert given.json() == {"users": ["kim", "vi"], "groups": [], "role": "core.task_viewer"}
    for name in ("kim", "vi"):
        assert await seen(own.as_user(name)) == ({str(of_jo)}, 1)
    assert (await kim.patch(f"{V3}/tasks/{of_jo}/", json={"state": "canceled"})).status_code == 403
    assert (await give(kim, of_jo, "core.task_owner", "kim")).status_code == 403
    assert (await give(jo, of_jo, "core.task_owner", "kim")).status_code == 201
    roles = (await kim.get(f"{V3}/tasks/{of_jo}/list_roles/")).json()["roles"]
    assert roles == [
        {"role": "core.task_owner", "users": ["jo", "kim"], "groups": []},
        {"role": "core.task_viewer", "users": ["kim", "vi"], "groups": []},
    ]
    assert (await kim.patch(f"{V3}/tasks/{of_jo}/", json={"state": "canceled"})).status_code == 200
    assert (await give(kim, of_jo, "core.task_viewer", "vi", way="remove")).status_code == 201
    assert await seen(own.as_user("vi")) == (set(), 0)
    told = [(each.what, each.actor, each.target, each.detail) for each in own.audited if "role" in each.what]
    target = f"task:{of_jo}"
    assert told == [
        ("task-role-added", "user:jo", target, "core.task_viewer: kim, vi"),
        ("task-role-added", "user:jo", target, "core.task_owner: kim"),
        ("task-role-removed", "user:kim", target, "core.task_viewer: vi"),
    ]


async def test_what_is_wrong_with_a_role_is_told_by_field(own: Site) -> None:
    of_jo, jo = await task_of(own, "jo"), own.as_user("jo")
    await give(jo, of_jo, "core.task_viewer", "kim")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"role": "core.root", "users": ["kim"]}, "role"),
        ({"users": ["kim"]}, "role"),
        ({"role": "core.task_viewer", "users": ["nobody"]}, "users"),
        ({"role": "core.task_viewer", "users": ["kim"]}, "users"),  # they have it already
        ({"role": "core.task_viewer", "users": []}, "users"),
        ({"role": "core.task_viewer", "users": ["vi"], "groups": ["x"]}, "groups"),
    ]
    for body, field in wrong:
        answer = await jo.post(f"{V3}/tasks/{of_jo}/add_role/", json=body)
        assert (answer.status_code, list(answer.json())) == (400, [field]), body
    missing = await give(jo, of_jo, "core.task_viewer", "vi", way="remove")
    assert (missing.status_code, list(missing.json())) == (400, ["users"])
    assert (await give(jo, of_jo, "core.task_owner", "jo", way="remove")).status_code == 400  # the author stays
    half = await give(jo, of_jo, "core.task_viewer", "vi", "kim")
    assert half.status_code == 400
    assert await own.execute("select user_name from task_roles") == [("kim",)]  # all of it, or nothing


@pytest.mark.parametrize(
    ("name", "permissions"),
    [
        ("jo", {"change_task", "delete_task", "manage_roles_task", "view_task", "view_task_profile_artifacts"}),
        ("admin", {"change_task", "delete_task", "manage_roles_task", "view_task", "view_task_profile_artifacts"}),
        ("op", {"change_task", "delete_task", "view_task", "view_task_profile_artifacts"}),
        ("vi", {"view_task", "view_task_profile_artifacts"}),
    ],
)
async def test_a_user_is_told_what_they_may_do(own: Site, name: str, permissions: set[str]) -> None:
    of_jo = await task_of(own, "jo")
    await give(own.client, of_jo, "core.task_viewer", "vi")
    answer = (await own.as_user(name).get(f"{V3}/tasks/{of_jo}/my_permissions/")).json()
    assert answer == {"permissions": sorted(f"core.{each}" for each in permissions)}


async def test_a_user_who_is_removed_has_no_role_under_the_same_name_later(own: Site) -> None:
    of_jo = await task_of(own, "jo")
    await give(own.as_user("jo"), of_jo, "core.task_viewer", "vi")
    await own.execute("delete from users where name = 'vi'")
    await own.add_user("vi", Role.VIEWER)
    assert await seen(own.as_user("vi")) == (set(), 0)


async def test_a_stream_shows_the_tasks_that_its_user_may_see(own: Site) -> None:
    of_jo, of_kim = await task_of(own, "jo"), await task_of(own, "kim")
    rights, jo = TaskRights(own.connect, is_scoped=True), Principal("jo", Role.SUBMITTER)

    async def look(task_ids: Any) -> set[UUID]:
        async with own.connect() as connection:
            return await rights.visible(connection, jo, task_ids)

    events = [streamed(record) for records in own.log.records for record in records]
    assert {event.task_id for event in events} == {of_jo, of_kim}
    visible = VisibleTasks(own.positions, look)
    assert await visible(events) == {of_jo}
    undecodable = streamed(Record(0, 99, 0, b"k", b"garbage"))
    assert await visible([undecodable]) == set()
    assert await visible([]) == set()


async def test_an_event_whose_task_is_not_projected_yet_is_not_left_out(
    own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_api.streaming.visible_tasks._PATIENCE_S", 0.05)
    own.may_project.clear()
    await task_of(own, "jo")
    events = [streamed(record) for records in own.log.records for record in records]

    async def look(task_ids: Any) -> set[UUID]:
        raise AssertionError("the read model does not have the task")

    with pytest.raises(PositionNotReached):  # the stream ends with this event, and its client reconnects
        await VisibleTasks(own.positions, look)(events)


async def test_a_dead_letter_does_not_name_a_task_that_the_user_may_not_see(own: Site) -> None:
    of_jo = await task_of(own, "jo")
    log = own.log.records[0]
    log.append(garbage(b"{", len(log), 0, key=key_of(of_jo)))
    await own.add(started(of_jo))
    named = {}
    for who in ("jo", "kim", "op"):
        [letter] = (await own.as_user(who).get(f"{V3}/dead-letters/")).json()["results"]
        named[who] = letter["task"]
    href = f"{V3}/tasks/{of_jo}/"
    assert named == {"jo": href, "kim": None, "op": href}


async def test_a_token_makes_no_subscription_that_would_tell_it_more_than_it_may_see(own: Site) -> None:
    await own.add_user("boss", Role.ADMIN)
    answers = {}
    for user, role in (("boss", "submitter"), ("boss", "admin"), ("jo", "submitter")):
        made = await own.as_user(user).post(f"{V3}/tokens/", json={"name": f"{user}-{role}", "role": role})
        client = own.as_user("")
        client.headers["Authorization"] = f"Bearer {made.json()['token']}"
        body = {"name": f"{user}-{role}", "url": "https://chat.example.org/", "since": "then"}
        answers[user, role] = await client.post(f"{V3}/subscriptions/", json=body)
    refused = answers.pop(("boss", "submitter"))
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "a subscription delivers what its user may see: user boss sees all tasks, this token (role submitter) only own"
        " ones. Use a token with the role admin, or the password",
    )
    assert {answer.status_code for answer in answers.values()} == {400}, "the start is wrong, and is looked at later"
