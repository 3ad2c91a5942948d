"""Every call that pulp-ui makes for logging in, its status page, its tasks, users and groups, sent as it sends them.

pulp-ui keeps the user's name and password and sends them with each request; before anybody has logged in it sends an
empty pair. Lists are asked for by `offset`, `limit` and `ordering`, and ids are cut out of hrefs.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pulp_accounts.users import Role

from tests.support.events import finished, started
from tests.support.site import V3, Site

ORIGIN = {"Accept": "application/json, text/plain, */*", "X-CSRFToken": "undefined"}


def pulp_ui(api: Site, name: str = "admin", **more: Any) -> httpx.AsyncClient:
    """pulp-ui's requests, for a user of the page."""
    client = api.as_user(name, **more)
    client.headers.update(ORIGIN)
    client.base_url = api.client.base_url.join(f"{V3}/")
    return client


def id_in(href: str) -> str:
    """As pulp-ui finds an id in an href: the last part of its path."""
    return href.rstrip("/").rsplit("/", 1)[-1]


async def a_task_that_ended(api: Site) -> str:
    """Its id."""
    task_id = await api.submit({"operation": "sync", "arguments": {"repo_id": "zoo"}})
    position = (await api.client.get(f"{V3}/tasks/{task_id}/")).json()["position"]
    for event in (started(task_id), finished(task_id)):
        await api.add(event, int(position.partition(":")[0]))
    return str(task_id)


async def test_one_logs_in_with_the_right_password_alone(api: Site) -> None:
    for params in ({"limit": 0, "offset": 0}, {}):
        right = await pulp_ui(api).get("groups/", params=params)
        assert right.status_code == 200, right.text
    wrong = await pulp_ui(api, password="wrong").get("groups/", params={"limit": 0, "offset": 0})
    assert (wrong.status_code, wrong.json()["detail"]) == (401, "Invalid username/password.")


async def test_the_status_page_is_there_before_anybody_has_logged_in(api: Site) -> None:
    client = pulp_ui(api, "")
    client.headers["Authorization"] = "Basic Og=="
    answer = await client.get("status/")
    assert answer.status_code == 200, answer.text
    status = answer.json()
    assert {part["component"] for part in status["versions"]} >= {"core"}
    assert all(part["version"] for part in status["versions"])
    assert status["database_connection"] == {"connected": True}
    assert isinstance(status["content_settings"]["content_origin"], str)
    assert isinstance(status["domain_enabled"], bool)
    for name in ("online_workers", "online_api_apps", "online_content_apps"):
        assert isinstance(status[name], list), name
    storage = status.get("storage")
    assert storage is None or set(storage) >= {"total", "used", "free"}


async def test_the_list_of_tasks_is_sorted_filtered_and_paged(api: Site) -> None:
    first = await api.task("sync")
    second = await api.task("publish")
    client = pulp_ui(api)

    async def listed(**params: Any) -> tuple[int, list[str]]:
        answer = await client.get("tasks/", params={"offset": 0, "limit": 10, **params})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        for row in body["results"]:
            assert {"name", "state", "pulp_created", "started_at", "finished_at", "pulp_href"} <= set(row)
        return body["count"], [id_in(row["pulp_href"]) for row in body["results"]]

    newest = [str(second), str(first)]
    assert await listed(ordering="-pulp_created") == (2, newest)
    for column in ("name", "pulp_created", "started_at", "finished_at", "state"):
        for sign in ("", "-"):
            assert (await listed(ordering=sign + column))[0] == 2
    assert await listed(ordering="name") == (2, newest)  # publish, sync
    assert await listed(ordering="-pulp_created", name__contains="ync") == (1, [str(first)])
    assert await listed(ordering="-pulp_created", state="waiting") == (2, newest)
    assert await listed(ordering="-pulp_created", state="completed") == (0, [])
    assert await listed(ordering="-pulp_created", offset=1, limit=1) == (2, [str(first)])


async def test_a_task_has_what_its_page_shows(api: Site) -> None:
    task_id = await a_task_that_ended(api)
    client = pulp_ui(api)
    task = (await client.get(f"tasks/{task_id}/")).json()
    assert task["name"] == "sync"
    assert (task["task_group"], task["parent_task"], task["child_tasks"]) == (None, None, [])
    assert task["error"] is None
    assert isinstance(task["progress_reports"], list)
    assert task["reserved_resources_record"] == ["repository:zoo", "shared:content_unit:orphans"]
    for resource in task["reserved_resources_record"]:
        # It requests a resource as if it were an href; one that is not must not stop the page.
        assert (await client.get(resource.replace("/pulp/api/v3/", ""))).status_code in (200, 404)
    assert (await client.get(f"tasks/{uuid4()}/")).status_code == 404


async def test_it_stops_a_task(api: Site) -> None:
    task_id = await api.task("publish")
    client = pulp_ui(api)
    answer = await client.patch(f"tasks/{task_id}/", json={"state": "canceled"})
    assert (answer.status_code, answer.json()["state"]) == (200, "canceling")  # nobody ends tasks of this site
    ended = await a_task_that_ended(api)
    too_late = await client.patch(f"tasks/{ended}/", json={"state": "canceled"})
    assert too_late.status_code == 409  # "could not be stopped", with the status


@pytest.mark.parametrize("day", ["2026-11-29", "2001-12-31"])
async def test_its_buttons_start_a_task_each(api: Site, day: str) -> None:
    for name in ("purge-tasks", "repair"):
        await api.execute(
            "insert into operations (name, cancellable, description, resources, registered_by)"
            " values (%s, true, '', '[]', 'w1')",
            name,
        )
    client = pulp_ui(api)
    states = ["completed", "skipped", "failed", "canceled"]
    for path, body, operation in (
        ("tasks/purge/", {"finished_before": day, "states": states}, "purge-tasks"),
        ("repair/", {"verify_checksums": True}, "repair"),
        ("orphans/cleanup/", {"orphan_protection_time": 0}, "remove-orphans"),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code == 202, (path, answer.text)
        task = (await client.get(f"tasks/{id_in(answer.json()['task'])}/")).json()
        assert task["name"] == operation


async def test_what_is_refused_says_why(api: Site) -> None:
    client = pulp_ui(api)
    protected = await client.post("orphans/cleanup/", json={"orphan_protection_time": 1440})
    assert (protected.status_code, list(protected.json())) == (400, ["orphan_protection_time"])
    unchecked = await client.post("repair/", json={"verify_checksums": False})
    assert (unchecked.status_code, list(unchecked.json())) == (400, ["verify_checksums"])
    # Its date picker begins with today's date without leading zeros, which Pulp refuses as well.
    today = datetime.now(UTC)
    short = await client.post("tasks/purge/", json={"finished_before": f"{today.year}-1-5", "states": ["completed"]})
    assert (short.status_code, list(short.json())) == (400, ["finished_before"])
    for path in ("roles/", "artifacts/", "remotes/rpm/rpm/"):
        missing = await client.get(path, params={"offset": 0, "limit": 10})
        assert missing.status_code == 404
        assert missing.json()["detail"]


async def test_its_pages_of_users_and_groups(api: Site) -> None:
    await api.add_user("vera", Role.VIEWER)
    client = pulp_ui(api)
    users = (await client.get("users/", params={"offset": 0, "limit": 10, "ordering": "username"})).json()
    assert [row["username"] for row in users["results"]] == ["admin", "vera"]
    vera = (await client.get(f"users/{id_in(users['results'][1]['pulp_href'])}/")).json()
    assert [group["name"] for group in vera["groups"]] == ["viewer"]
    groups = (await client.get("groups/", params={"offset": 0, "limit": 10, "ordering": "name"})).json()
    assert [row["name"] for row in groups["results"]] == sorted(role.value for role in Role)
    [viewers] = [row for row in groups["results"] if row["name"] == "viewer"]
    members = (await client.get(f"groups/{id_in(viewers['pulp_href'])}/users/")).json()
    assert [row["username"] for row in members["results"]] == ["vera"]
