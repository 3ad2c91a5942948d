"""Users and groups of the v3 dialect, the maintenance calls, and whatever else clients of Pulp 3 request."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec import Raw
from pulp_accounts import users
from pulp_accounts.users import Role

from tests.support.events import accepted, finished, started
from tests.support.site import V3, Site

USER = {
    "first_name": "",
    "last_name": "",
    "email": "",
    "is_active": True,
    "hidden_fields": [],
}


async def get(api: Site, path: str, user: str = "", **params: Any) -> Any:
    client = api.as_user(user) if user else api.client
    answer = await client.get(f"{V3}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_administrator_lists_all_users_and_others_themselves(api: Site) -> None:
    for name in ("zoë k.", "jo", "ann"):
        await api.add_user(name, Role.VIEWER)
    assert [row["username"] for row in (await get(api, "users/"))["results"]] == ["admin", "ann", "jo", "zoë k."]
    own = await get(api, "users/", "jo")
    assert (own["count"], [row["username"] for row in own["results"]]) == (1, ["jo"])
    for params, names in (
        ({"username": "jo"}, ["jo"]),
        ({"username__in": "jo,ann"}, ["ann", "jo"]),
        ({"username__contains": "n"}, ["admin", "ann"]),
        ({"username__icontains": "N", "ordering": "-username"}, ["ann", "admin"]),
        ({"is_staff": "true"}, ["admin"]),
        ({"is_staff": "false", "limit": "1"}, ["ann"]),
        ({"is_active": "false"}, []),
        ({"email": "x"}, []),
        ({"first_name": ""}, ["admin", "ann", "jo", "zoë k."]),
        ({"q": "username=jo OR username__contains=nn"}, ["ann", "jo"]),
        ({"q": "NOT is_staff=true AND NOT username='zoë k.'"}, ["ann", "jo"]),
        ({"prn__in": "prn:core.user:zo%C3%AB%20k.,prn:core.user:jo,prn:core.user:nobody"}, ["jo", "zoë k."]),
        ({"pulp_href__in": f"{V3}/users/ann/,http://pulp{V3}/users/zo%C3%AB%20k./"}, ["ann", "zoë k."]),
        ({"prn__in": ""}, []),
    ):
        assert [row["username"] for row in (await get(api, "users/", **params))["results"]] == names, params
    for wrong in (
        {"ordering": "bogus"},
        {"q": "bogus=1"},
        {"prn__in": "jo"},
        {"prn__in": "prn:core.group:admin"},
        {"pulp_href__in": f"{V3}/groups/admin/"},
    ):
        assert (await api.client.get(f"{V3}/users/", params=wrong)).status_code == 400, wrong
    for params, names in (
        ({"prn__in": "prn:core.group:viewer"}, ["viewer"]),
        ({"pulp_href__in": f"{V3}/groups/admin/"}, ["admin"]),
        ({"q": "name=viewer OR name=admin"}, ["admin", "viewer"]),
    ):
        assert [row["name"] for row in (await get(api, "groups/", **params))["results"]] == names, params


async def test_a_user_is_read_by_the_href_that_tasks_name(api: Site) -> None:
    await api.add_user("zoë k.", Role.SUBMITTER)
    task_id = uuid4()
    await api.add(msgspec.structs.replace(accepted(task_id), actor="user:zoë k."))
    href = (await get(api, f"tasks/{task_id}/"))["created_by"]
    assert href == f"{V3}/users/zo%C3%AB%20k./"
    found = (await api.client.get(href)).json()
    assert found.pop("date_joined") is not None
    group = {"name": "submitter", "pulp_href": f"{V3}/groups/submitter/", "prn": "prn:core.group:submitter"}
    quoted = "zo%C3%AB%20k."
    assert found == {
        **USER,
        "pulp_href": href,
        "prn": f"prn:core.user:{quoted}",
        "username": "zoë k.",
        "is_staff": False,
        "groups": [group],
    }
    assert (await get(api, "users/admin/"))["is_staff"] is True
    assert (await get(api, "users/admin/", fields="username")) == {"username": "admin"}


async def test_of_others_a_user_sees_the_name_only(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    found = await get(api, "users/admin/", "jo")
    assert (found["username"], found["is_staff"], found["date_joined"], found["groups"]) == ("admin", None, None, [])
    assert (await get(api, "users/jo/", "jo"))["is_staff"] is False


async def test_a_user_who_was_removed_can_still_be_read(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    async with api.connect() as connection:
        await users.remove_user(connection, "jo")
    found = await get(api, "users/jo/")
    assert (found["username"], found["is_active"], found["groups"]) == ("jo", False, [])
    assert (await get(api, "users/", username="jo"))["count"] == 0
    await api.add_user("jo", Role.VIEWER)
    assert (await get(api, "users/jo/"))["is_active"] is True
    nobody = await api.client.get(f"{V3}/users/nobody/")
    assert (nobody.status_code, nobody.json()) == (404, {"detail": "No User matches the given query."})


async def test_what_no_user_submitted_has_no_creator(api: Site) -> None:
    task_id = uuid4()
    await api.add(msgspec.structs.replace(accepted(task_id), actor="worker:w1"))
    assert (await get(api, f"tasks/{task_id}/"))["created_by"] is None


async def test_the_groups_are_the_roles(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    page = await get(api, "groups/", "jo", limit=0, offset=0)  # a page that logs somebody in requests it like this
    assert [row["name"] for row in page["results"]] == ["admin", "auditor", "operator", "submitter", "viewer"]
    for row in page["results"]:
        assert (await api.client.get(row["pulp_href"])).json() == row
    assert [row["name"] for row in (await get(api, "groups/", name="viewer"))["results"]] == ["viewer"]
    assert (await get(api, "groups/", ordering="-name"))["results"][0]["name"] == "viewer"
    assert [row["username"] for row in (await get(api, "groups/viewer/users/"))["results"]] == ["jo"]
    for path in ("groups/nobody/", "groups/nobody/users/"):
        answer = await api.client.get(f"{V3}/{path}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "No Group matches the given query."})


@pytest.mark.parametrize("body", [b"", b"{}", b'{"content_hrefs": null, "orphan_protection_time": 0}'])
async def test_orphan_cleanup_starts_the_removal_and_names_the_task_alone(api: Site, body: bytes) -> None:
    answer = await api.client.post(f"{V3}/orphans/cleanup/", content=body)
    assert (answer.status_code, list(answer.json())) == (202, ["task"])  # a client waits only for this
    task = (await api.client.get(answer.json()["task"])).json()
    assert (task["name"], task["state"]) == ("remove-orphans", "waiting")


async def test_an_orphan_cleanup_reports_what_it_removed_as_pulp_does(api: Site) -> None:
    """Clients take the result as the whole answer; pulp.squeezer reads the last word and the total of each report."""
    task_id = await api.task("remove-orphans")
    partition, event = api.partition_of(task_id), finished(task_id)
    await api.add(started(task_id), partition)
    result = {"removed": 7, "size": 900, "packages": 3, "tree_files": 2, "downloads": 1, "damaged": 1}
    data = msgspec.structs.replace(event.data, result=Raw(msgspec.json.encode(result)))
    await api.add(msgspec.structs.replace(event, data=data), partition)
    task = await get(api, f"tasks/{task_id}/")
    assert task["result"] is None
    totals = {report["message"].split(" ")[-1].lower(): report["total"] for report in task["progress_reports"]}
    assert totals == {"content": 5, "artifacts": 7}


@pytest.mark.parametrize("field", ["content_hrefs", "orphan_protection_time"])
async def test_what_an_orphan_cleanup_cannot_keep_is_refused(api: Site, field: str) -> None:
    value: Any = [f"{V3}/content/rpm/packages/{uuid4()}/"] if field == "content_hrefs" else 1440
    answer = await api.client.post(f"{V3}/orphans/cleanup/", json={field: value})
    assert (answer.status_code, list(answer.json())) == (400, [field])
    await api.add_user("jo", Role.VIEWER)
    assert (await api.as_user("jo").post(f"{V3}/orphans/cleanup/")).status_code == 403


async def test_a_task_has_no_profile_artifacts(api: Site) -> None:
    assert await get(api, f"tasks/{await api.task()}/profile_artifacts/") == {"urls": {}}
    assert (await api.client.get(f"{V3}/tasks/{uuid4()}/profile_artifacts/")).status_code == 404


async def test_a_list_has_what_its_reader_submitted_a_moment_before(api: Site) -> None:
    body = {"operation": "publish", "arguments": {"repo_id": "zoo"}}
    for _ in range(20):
        cid = str(uuid4())
        await api.submit(body, **{"Correlation-ID": cid})
        assert (await get(api, "tasks/", logging_cid=cid))["count"] == 1


async def test_status_has_no_null_where_clients_demand_objects(api: Site) -> None:
    found = (await api.as_user("").get(f"{V3}/status/")).json()
    assert found["content_settings"] == {"content_origin": "http://pulp", "content_path_prefix": "/pulp/content/"}
    assert not {"redis_connection", "storage"} & found.keys()  # optional, and not null
