"""Requests of Pulp 2's health checks, logins and scripts besides tasks: status, users, content types, orphans."""

import json
from typing import Any

from pulp_accounts.users import Role
from pulp_events.events import Accepted

from tests.support.site import V2, Site


async def get(api: Site, path: str) -> Any:
    answer = await api.client.get(f"{V2}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_status_is_open_and_tells_what_answers(api: Site) -> None:
    answer = await api.as_user("").get(f"{V2}/status/")
    found = answer.json()
    assert (answer.status_code, found["api_version"], found["known_workers"]) == (200, "2", [])
    assert (found["database_connection"], found["messaging_connection"]) == ({"connected": True}, {"connected": True})
    assert found["versions"]["platform_version"] == "2.21.5"
    await api.cut_postgres()
    found = (await api.as_user("").get(f"{V2}/status/")).json()
    assert (found["database_connection"], found["known_workers"]) == ({"connected": False}, [])


async def test_an_administrator_sees_all_users_and_anybody_else_only_themselves(api: Site) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    shown = {user["login"]: user for user in await get(api, "users/")}
    assert {login: user["roles"] for login, user in shown.items()} == {"admin": ["super-users"], "jo": ["submitter"]}
    assert shown["jo"].keys() == {"_href", "_id", "_ns", "id", "login", "name", "roles"}
    assert await get(api, "users/jo/") == shown["jo"]
    jo = api.as_user("jo")
    assert (await jo.get(f"{V2}/users/")).json() == [shown["jo"]]
    for login in ("admin", "nobody"):
        answer = await jo.get(f"{V2}/users/{login}/")
        assert (answer.status_code, answer.json()["resources"]) == (404, {"login": login})


async def test_the_roles_name_their_users(api: Site) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    found = {role["id"]: role["users"] for role in await get(api, "roles/")}
    assert found == {"super-users": ["admin"], "submitter": ["jo"], "viewer": [], "operator": [], "auditor": []}
    assert (await get(api, "roles/submitter/"))["users"] == ["jo"]
    answer = await api.client.get(f"{V2}/roles/none/")
    assert (answer.status_code, answer.json()["resources"]) == (404, {"role": "none"})


async def test_a_login_for_a_certificate_tells_a_wrong_password_from_what_is_not_there(api: Site) -> None:
    url = f"{V2}/actions/login/"
    wrong = await api.as_user("admin", "wrong").post(url)
    assert (wrong.status_code, wrong.json()["auth_error_code"]) == (401, "invalid_username_or_password")
    right = await api.client.post(url)
    assert (right.status_code, "issues no client certificates" in right.json()["error_message"]) == (501, True)


async def test_orphans_are_removed_by_type(api: Site) -> None:
    for path in ("", "rpm/", "erratum/"):
        answer = await api.client.delete(f"{V2}/content/orphans/{path}")
        assert (answer.status_code, answer.json()["tags"]) == (202, ["pulp:content_unit:orphans"])
    submitted = [event.data for event in api.log.events if isinstance(event.data, Accepted)]
    by_type = [json.loads(bytes(data.arguments)).get("content_type") for data in submitted]
    assert sorted(by_type, key=str) == [None, "erratum", "rpm"]
    answer = await api.client.delete(f"{V2}/content/orphans/iso/")
    assert (answer.status_code, answer.json()["resources"]) == (404, {"content_type": "iso"})
    for method, path in (
        *(("GET", "orphans/"), ("GET", "orphans/rpm/"), ("DELETE", "orphans/rpm/u1/")),
        ("POST", "actions/delete_orphans/"),
    ):
        refused = await api.client.request(method, f"{V2}/content/{path}")
        assert (refused.status_code, "its result has the numbers" in refused.json()["error_message"]) == (501, True)


async def test_the_content_types_are_those_of_yum_repositories(api: Site) -> None:
    types = [each["id"] for each in await get(api, "plugins/types/")]
    assert {"rpm", "erratum", "package_group", "modulemd", "distribution"} == set(types)
    assert (await get(api, "plugins/types/rpm/"))["id"] == "rpm"
