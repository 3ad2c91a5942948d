"""Roles on single schedules: who may read, change and remove one, if only one's own are visible, and if all are."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pulp_accounts.users import Role

from tests.integration.test_api_schedules import SCHEDULES, create, scheduling
from tests.support.site import Site, site

MISSING = {"detail": "No TaskSchedule matches the given query."}
ALL = ("change", "delete", "manage_roles", "view")


@pytest.fixture
async def own(database: str) -> AsyncIterator[Site]:
    """A site on which viewers and submitters see their own schedules: those of jo, kim and vi."""
    async with site(database, is_scoped=True) as made:
        await scheduling(made)
        await made.add_user("op", Role.OPERATOR)
        yield made


async def give(client: httpx.AsyncClient, href: str, role: str, *names: str, way: str = "add") -> httpx.Response:
    return await client.post(f"{href}{way}_role/", json={"role": f"core.taskschedule_{role}", "users": names})


async def changes(client: httpx.AsyncClient, href: str) -> Mapping[str, int]:
    """The statuses of each change, the removal last."""
    return {
        "patch": (await client.patch(href, json={"priority": 5})).status_code,
        "disable": (await client.post(f"{href}disable/")).status_code,
        "enable": (await client.post(f"{href}enable/")).status_code,
        "delete": (await client.delete(href)).status_code,
    }


async def reads(client: httpx.AsyncClient, href: str) -> tuple[set[int], int]:
    """The statuses of the reads of a schedule, and the count of the list."""
    found = {(await client.get(f"{href}{part}")).status_code for part in ("", "runs/", "preview/", "my_permissions/")}
    return found, (await client.get(SCHEDULES)).json()["count"]


async def test_a_viewer_of_a_schedule_sees_it_and_changes_nothing(own: Site) -> None:
    href = (await create(own.as_user("jo")))["pulp_href"]
    for name in ("kim", "vi"):
        assert await reads(own.as_user(name), href) == ({404}, 0)
    given = await give(own.as_user("jo"), href, "viewer", "kim", "vi")
    assert (given.status_code, given.json()["users"]) == (201, ["kim", "vi"])
    for name in ("kim", "vi"):
        client = own.as_user(name)
        assert await reads(client, href) == ({200}, 1)
        assert set((await changes(client, href)).values()) == {403}
        assert (await give(client, href, "owner", name)).status_code == 403
        assert (await client.get(f"{href}list_roles/")).status_code == 403
    assert (await give(own.as_user("jo"), href, "viewer", "kim", way="remove")).status_code == 201
    assert await reads(own.as_user("kim"), href) == ({404}, 0)
    assert await reads(own.as_user("vi"), href) == ({200}, 1)


async def test_an_owner_of_a_schedule_changes_it_gives_roles_and_removes_it(own: Site) -> None:
    href = (await create(own.as_user("jo")))["pulp_href"]
    kim = own.as_user("kim")
    assert (await give(own.as_user("jo"), href, "owner", "kim")).status_code == 201
    assert (await give(kim, href, "viewer", "vi")).status_code == 201
    assert (await kim.get(f"{href}list_roles/")).json()["roles"] == [
        {"role": "core.taskschedule_owner", "users": ["jo", "kim"], "groups": []},
        {"role": "core.taskschedule_viewer", "users": ["vi"], "groups": []},
    ]
    changed = (await kim.patch(href, json={"priority": 5})).json()
    assert changed["created_by"].rstrip("/").endswith("jo")  # the tasks stay jo's
    assert changed["updated_by"].rstrip("/").endswith("kim")
    assert await changes(kim, href) == {"patch": 200, "disable": 200, "enable": 200, "delete": 204}
    told = [(each.what, each.actor, each.target, each.detail) for each in own.audited if "role" in each.what]
    target = f"schedule:{href.split('/')[-2]}"
    assert told == [
        ("schedule-role-added", "user:jo", target, "core.taskschedule_owner: kim"),
        ("schedule-role-added", "user:kim", target, "core.taskschedule_viewer: vi"),
    ]


async def test_an_owner_whose_own_role_is_viewer_may_only_read(own: Site) -> None:
    href = (await create(own.as_user("jo")))["pulp_href"]
    await give(own.client, href, "owner", "vi")
    assert await reads(own.as_user("vi"), href) == ({200}, 1)
    assert set((await changes(own.as_user("vi"), href)).values()) == {403}


async def test_a_role_on_one_schedule_is_none_on_another_nor_on_a_task(own: Site) -> None:
    href = (await create(own.as_user("jo")))["pulp_href"]
    other = (await create(own.as_user("jo"), name="other"))["pulp_href"]
    await give(own.as_user("jo"), href, "owner", "kim")
    assert await reads(own.as_user("kim"), other) == ({404}, 1)
    assert set((await changes(own.as_user("kim"), other)).values()) == {404}
    as_task = await own.client.post(f"{href}add_role/", json={"role": "core.task_owner", "users": ["kim"]})
    assert (as_task.status_code, [*as_task.json()]) == (400, ["role"])


@pytest.mark.parametrize(
    ("name", "may"), [("jo", ALL), ("admin", ALL), ("op", ("view",)), ("vi", ("view",)), ("kim", ALL)]
)
async def test_a_user_is_told_what_they_may_do_with_a_schedule(own: Site, name: str, may: tuple[str, ...]) -> None:
    href = (await create(own.as_user("jo")))["pulp_href"]
    await give(own.client, href, "viewer", "vi")
    await give(own.client, href, "owner", "kim")
    answer = await own.as_user(name).get(f"{href}my_permissions/")
    assert answer.json() == {"permissions": [f"core.{each}_taskschedule" for each in may]}


async def test_where_all_are_visible_a_role_decides_who_may_change(api: Site) -> None:
    await scheduling(api)
    href = (await create(api.as_user("jo")))["pulp_href"]
    kim = api.as_user("kim")
    assert await reads(kim, href) == ({200}, 1)
    assert set((await changes(kim, href)).values()) == {403}
    await give(api.as_user("jo"), href, "owner", "kim")
    assert set((await changes(kim, href)).values()) == {200, 204}


async def test_roles_on_a_schedule_that_is_not_there(own: Site) -> None:
    gone = (await create(own.as_user("jo")))["pulp_href"]
    assert (await own.client.delete(gone)).status_code == 204
    for href, detail in (
        (gone, MISSING),
        (f"{SCHEDULES}{uuid4()}/", MISSING),
        (f"{SCHEDULES}x/", {"detail": "Not found."}),
    ):
        answers: list[Any] = [await give(own.client, href, "viewer", "vi", way=way) for way in ("add", "remove")]
        answers += [await own.client.get(f"{href}{part}/") for part in ("list_roles", "my_permissions")]
        assert [(answer.status_code, answer.json()) for answer in answers] == [(404, detail)] * 4
