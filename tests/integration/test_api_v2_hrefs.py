"""No address in any answer of the v2 dialect is dead: a client that follows it gets an answer."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pulp_accounts.users import Role
from pulp_events.events import Outcome
from pulp_operations import publish, remove_orphans, remove_repository, sync

from tests.integration.test_api_repositories import ended
from tests.support.declared import declare
from tests.support.events import finished, started
from tests.support.site import V2, V3, Site

ODD = (
    "a/b",
    "a//b",
    "/",
    "a/",
    "a%2Fb",
    "a/../b",
    "?x=1#y",
    "a;b:c",
    ".a",
    "a\\b",
    "actions/sync",
    "x/actions//sync",
    "+ &",
)
FEED = "https://example.org/repos/zoo/"


@pytest.fixture
async def full(api: Site) -> Site:
    """A site with repositories, users, and tasks in groups, with children, failures and dependencies."""
    await declare(api.database, sync, publish, remove_orphans, remove_repository)
    await api.add_user("jo smith", Role.VIEWER)
    for repo_id in ("zoo", "näme%20 x", *ODD):
        answer = await api.client.post(f"{V2}/repositories/", json={"id": repo_id})
        assert answer.status_code == 201, answer.text
    synced = await api.submit({"operation": "sync", "arguments": {"repo_id": "zoo", "feed": FEED}})
    await ended(api, synced, {"packages": 3})
    parent = await api.task(group_id=uuid4())
    await api.task(parent_id=parent)
    await api.add(started(parent), api.partition_of(parent))
    await api.add(finished(parent, outcome=Outcome.FAILED), api.partition_of(parent))
    await api.task(depends_on=(parent,))
    return api


def addresses(found: Any) -> Iterator[str]:
    """Every address of the API in an answer, wherever it is."""
    if isinstance(found, dict):
        for value in found.values():
            yield from addresses(value)
    elif isinstance(found, list):
        for value in found:
            yield from addresses(value)
    elif isinstance(found, str) and "/pulp/api/" in found:
        yield found[found.index("/pulp/api/") :]


async def test_every_address_in_any_answer_is_alive(full: Site) -> None:
    config = {"override_config": {"feed": FEED}}
    answers = [
        await full.client.get(f"{V2}/"),
        await full.client.get(f"{V2}/repositories/?details=true"),
        await full.client.post(f"{V2}/repositories/search/", json={"criteria": {}, "distributors": True}),
        await full.client.post(f"{V2}/repositories/zoo/actions/sync/", json=config),
        await full.client.post(f"{V2}/repositories/zoo/actions//sync/", json=config),
        await full.client.post(f"{V2}/repositories//zoo///actions/publish/", json={}),
        await full.client.put(f"{V2}/repositories/zoo/", json={"delta": {"description": "x"}}),
        await full.client.delete(f"{V2}/content/orphans/"),
        await full.client.delete(f"{V2}/content/orphans/rpm/"),
        await full.client.delete(f"{V2}/tasks/{await full.task()}/"),
        await full.client.delete(f"{V2}/task_groups/{await full.task()}/"),
        await full.client.get(f"{V2}/tasks/"),
        await full.client.get(f"{V2}/task_groups/"),
        await full.client.post(f"{V2}/tasks/search/", json={"criteria": {"fields": ["state"]}}),
        await full.client.get(f"{V2}/users/"),
        await full.client.get(f"{V2}/roles/"),
        await full.client.get(f"{V2}/plugins/types/"),
    ]
    waiting: list[str] = []
    for answer in answers:
        assert answer.status_code in (200, 202), (answer.request.url, answer.text)
        waiting += [answer.headers["location"]] if "location" in answer.headers else []
        waiting += addresses(answer.json())
    seen: set[str] = set()
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = await full.client.get(address)
        assert answer.status_code == 200, (address, answer.text)
        waiting += addresses(answer.json())
    kinds = {address.removeprefix(f"{V2}/").split("/")[0] for address in seen}
    assert kinds >= {"tasks", "task_groups", "repositories", "users", "roles", "plugins", "status"}


@pytest.mark.parametrize("repo_id", ODD)
async def test_a_repository_with_any_id_is_read_changed_synced_and_removed_at_its_address(
    full: Site, repo_id: str
) -> None:
    made = await full.client.post(f"{V3}/repositories/", json={"name": f"{repo_id}!"})  # as clients of Pulp 3 create it
    assert made.status_code == 201
    found = await full.client.post(f"{V2}/repositories/search/", json={"criteria": {"filters": {"id": f"{repo_id}!"}}})
    [href] = [each["_href"] for each in found.json()]
    assert href.count("/") == f"{V2}/repositories/zoo/".count("/")
    assert (await full.client.get(href)).json()["id"] == f"{repo_id}!"
    assert (await full.client.put(href, json={"delta": {"description": "x"}})).json()["description"] == "x"
    for part in ("importers", "distributors"):
        [shown] = (await full.client.get(f"{href}{part}/")).json()
        assert (await full.client.get(shown["_href"])).json() == shown
    body = {"override_config": {"feed": FEED}}
    for slashes in ("/", "//"):
        synced = await full.client.post(f"{href}actions{slashes}sync/", json=body)
        assert synced.status_code == 202
        assert isinstance(synced.json(), list) == (slashes == "//")
        [told] = synced.json() if slashes == "//" else [synced.json()]
        assert f"pulp:repository:{repo_id}!" in told["tags"]
    without_slash = await full.client.get(href.rstrip("/"))
    assert (without_slash.status_code, without_slash.headers["location"]) == (301, f"http://pulp{href}")
    assert (await full.client.delete(href)).status_code == 202
    gone = await full.client.get(href)
    assert (gone.status_code, gone.json()["resources"]) == (404, {"repository": f"{repo_id}!"})
    assert gone.json()["_href"] == href


@pytest.mark.parametrize("repo_id", ["search", ".", ".."])
async def test_a_name_without_an_address_is_refused_wherever_a_repository_begins(full: Site, repo_id: str) -> None:
    for path, body in (
        (f"{V2}/repositories/", {"id": repo_id}),
        (f"{V3}/repositories/", {"name": repo_id}),
        (f"{V3}/tasks/", {"operation": "sync", "arguments": {"repo_id": repo_id, "feed": FEED}}),
    ):
        answer = await full.client.post(path, json=body)
        assert answer.status_code == 400, path
        assert "since no address can name it" in answer.text


async def test_a_202_names_the_task_to_wait_for_and_a_read_the_children(full: Site) -> None:
    """The clients of 2.4 and later wait like this: for the `spawned_tasks` of the 202, and then for those of each
    task."""
    config = {"override_config": {"feed": FEED}}
    for answer in (
        await full.client.post(f"{V2}/repositories/zoo/actions/sync/", json=config),
        await full.client.delete(f"{V2}/content/orphans/"),
        await full.client.delete(f"{V2}/repositories/zoo/"),
    ):
        assert answer.status_code == 202
        [spawned] = answer.json()["spawned_tasks"]
        assert spawned == {"_href": f"{V2}/tasks/{spawned['task_id']}/", "task_id": answer.json()["task_id"]}
        told = (await full.client.get(spawned["_href"])).json()
        assert (told["task_id"], told["spawned_tasks"]) == (spawned["task_id"], [])
