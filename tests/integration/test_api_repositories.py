"""Repositories over a real Postgres: created, changed and removed in the v3 dialect, and what their syncs take from
them."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from msgspec import Raw
from pulp_accounts.users import Role
from pulp_events.errors import LogUnavailable
from pulp_events.events import Accepted, Finished, Outcome, Resource
from pulp_operations import publish, remove_repository, repair, sync

from tests.support.declared import declare
from tests.support.described import fields, fields_of_answer
from tests.support.events import ATTEMPT, event, finished, started
from tests.support.site import V2, V3, Site

FEED = "https://example.org/repos/zoo/"
OTHER = "https://example.org/repos/other/"
ALL = f"{V3}/repositories/"
RPM = f"{V3}/repositories/rpm/rpm/"
ZOO = Resource("repository", "zoo")


@pytest.fixture
async def yum(api: Site) -> Site:
    """A site whose live worker offers operations on repositories."""
    await declare(api.database, sync, publish, remove_repository, repair)
    return api


async def create(site: Site, name: str = "zoo", **said: Any) -> dict[str, Any]:
    answer = await site.client.post(ALL, json={"name": name, **said})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == made["pulp_href"]
    return made


async def listed(site: Site, **params: Any) -> list[str]:
    answer = await site.client.get(ALL, params=params)
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["results"]]


async def projected(site: Site) -> None:
    """Wait until the whole log is projected."""
    await site.positions.reach(await site.log.end_offsets(), 10)


async def shown(site: Site, name: str = "zoo") -> dict[str, Any]:
    """The repository, once its tasks are projected."""
    await projected(site)
    [row] = (await site.client.get(ALL, params={"name": name})).json()["results"]
    found: dict[str, Any] = row
    assert (await site.client.get(found["pulp_href"])).json() == found
    return found


async def submit(site: Site, name: str, arguments: object, **headers: str) -> httpx.Response:
    return await site.client.post(f"{V3}/tasks/", json={"operation": name, "arguments": arguments}, headers=headers)


def submitted(site: Site, operation: str = "sync") -> list[dict[str, Any]]:
    """The arguments of each task of an operation in the log."""
    accepted = [event.data for event in site.log.events if isinstance(event.data, Accepted)]
    return [json.loads(bytes(each.arguments)) for each in accepted if each.operation == operation]


def audited(site: Site) -> list[tuple[str, str, str | None]]:
    """(what, actor, target) of each change of a repository."""
    return [
        (record.what, record.actor, record.target) for record in site.audited if record.what.startswith("repository-")
    ]


async def ended(site: Site, task_id: UUID, result: object = None, outcome: Outcome = Outcome.SUCCESSFUL) -> None:
    """A worker runs zoo's task, which ends."""
    partition = site.partition_of(task_id, ZOO)
    await site.add(started(task_id), partition)
    if outcome is Outcome.SUCCESSFUL:
        data = Finished(outcome=outcome, attempt_id=ATTEMPT, result=Raw(msgspec.json.encode(result)))
        await site.add(event(data, task_id=task_id, actor="worker:w1"), partition)
    else:
        await site.add(finished(task_id, outcome=outcome), partition)


def id_in(answer: httpx.Response) -> UUID:
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["task"].rstrip("/").rsplit("/", 1)[-1])


async def test_a_repository_is_made_listed_read_changed_and_removed(yum: Site) -> None:
    made = await create(yum, feed=FEED, display_name="The Zoo", notes={"team": "keepers", "floor": 2})
    assert made["pulp_href"].startswith(RPM)
    assert made == await shown(yum)
    assert (made["feed"], made["feed_source"], made["version"], made["last_sync"]) == (FEED, "repository", None, None)
    assert (made["pulp_labels"], made["created_by"], made["content"]) == ({"team": "keepers"}, "admin", {})
    change = {"description": "Animals", "notes": {"floor": None}, "sync_options": {"concurrency": 8}, "feed": None}
    changed = await yum.client.patch(made["pulp_href"], json=change)
    assert changed.status_code == 200
    expected = {
        "description": "Animals",
        "notes": {"team": "keepers"},
        "sync_options": {"concurrency": 8},
        "feed": None,
    }
    assert {name: changed.json()[name] for name in expected} == expected
    assert changed.json()["display_name"] == "The Zoo"
    assert changed.json()["pulp_last_updated"] > changed.json()["pulp_created"]
    removal = id_in(await yum.client.delete(made["pulp_href"]))
    assert submitted(yum, "remove-repository") == [{"repo_id": "zoo", "missing_ok": True}]
    assert await listed(yum) == []
    assert (await yum.client.get(made["pulp_href"])).status_code == 404
    assert audited(yum) == [
        ("repository-created", "user:admin", "zoo"),
        ("repository-updated", "user:admin", "zoo"),
        ("repository-removed", "user:admin", "zoo"),
    ]
    details = [record.detail for record in yum.audited if record.target == "zoo"]
    assert details == ["", "description, notes, sync_options", f"task {removal}"]


async def test_a_change_that_changes_nothing_is_no_change(yum: Site) -> None:
    made = await create(yum, description="Animals")
    again = await yum.client.patch(made["pulp_href"], json={"description": "Animals", "notes": {"none": None}})
    assert again.json() == made
    assert len(audited(yum)) == 1


async def test_many_changes_are_audited_each(yum: Site) -> None:
    made = await create(yum)
    for number in range(3):
        await yum.client.patch(made["pulp_href"], json={"notes": {"number": number}})
    assert [what for what, _, _ in audited(yum)] == ["repository-created", *["repository-updated"] * 3]


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({}, "name", "this field is required: a repository's id"),
        ({"name": ""}, "name", "1 to 200 characters"),
        ({"name": 7}, "name", "a text"),
        ({"name": "zoo", "feed": "http://me:hunter2@h/"}, "feed", "a user name or password is refused"),
        ({"name": "zoo", "notes": 1}, "notes", "an object is expected"),
        (
            {"name": "zoo", "sync_options": {"concurrency": 0}},
            "sync_options.concurrency",
            "a whole number from 1 to 64",
        ),
        ({"name": "zoo", "remote": "/x/"}, "remote", "unexpected field"),
    ],
)
async def test_what_cannot_be_said_is_refused_by_field(yum: Site, body: object, field: str, told: str) -> None:
    answer = await yum.client.post(ALL, json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert told in answer.json()[field][0]
    assert "hunter2" not in answer.text
    assert (await listed(yum), audited(yum)) == ([], [])


async def test_a_second_one_of_the_same_name_is_a_conflict(yum: Site) -> None:
    made = await create(yum, feed=FEED)
    answer = await yum.client.post(RPM, json={"name": "zoo", "feed": OTHER})
    assert answer.status_code == 409
    assert answer.json()["detail"] == "there is a repository 'zoo' already: update it, or choose another id"
    assert await shown(yum) == made


async def test_one_keeps_its_name(yum: Site) -> None:
    made = await create(yum)
    answer = await yum.client.patch(made["pulp_href"], json={"name": "farm"})
    assert (answer.status_code, list(answer.json())) == (400, ["name"])
    assert (await yum.client.patch(made["pulp_href"], json={"name": "zoo"})).status_code == 200


async def test_options_need_an_operation_that_takes_them(api: Site) -> None:
    await api.execute("delete from operations")
    answer = await api.client.post(ALL, json={"name": "zoo", "feed": FEED})
    assert (answer.status_code, "unknown operation 'sync'" in answer.text) == (400, True)
    assert (await api.client.post(ALL, json={"name": "zoo"})).status_code == 201


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["a/b", "farm", "zoo"]),
        ({"ordering": "-name"}, ["zoo", "farm", "a/b"]),
        ({"ordering": "pulp_created"}, ["zoo", "farm", "a/b"]),
        ({"name": "a/b"}, ["a/b"]),
        ({"name__in": "zoo,farm"}, ["farm", "zoo"]),
        ({"name__contains": "ar"}, ["farm"]),
        ({"name__icontains": "AR"}, ["farm"]),
        ({"name__startswith": "z"}, ["zoo"]),
        ({"limit": 1, "offset": 1}, ["farm"]),
        ({"q": "name=zoo OR name__contains=ar"}, ["farm", "zoo"]),
    ],
)
async def test_lists_are_filtered_and_paged(yum: Site, params: dict[str, Any], names: list[str]) -> None:
    for name in ("zoo", "farm", "a/b"):
        await create(yum, name)
    assert await listed(yum, **params) == names


async def test_a_page_has_a_bound_and_the_next_one_goes_on(yum: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_api.v3.repositories._MAX_LIMIT", 2)
    for name in ("a", "b", "c"):
        await create(yum, name)
    first = (await yum.client.get(ALL, params={"limit": 1000})).json()
    assert (first["count"], [row["name"] for row in first["results"]]) == (3, ["a", "b"])
    second = (await yum.client.get(first["next"])).json()
    assert ([row["name"] for row in second["results"]], second["next"]) == (["c"], None)


async def test_a_bad_filter_and_a_bad_order_are_refused(yum: Site) -> None:
    for params in ({"bogus": "1"}, {"ordering": "bogus"}):
        assert (await yum.client.get(ALL, params=params)).status_code == 400


async def test_only_wanted_fields_come(yum: Site) -> None:
    await create(yum)
    page = (await yum.client.get(RPM, params={"fields": "name,feed"})).json()
    assert page == {"count": 1, "next": None, "previous": None, "results": [{"name": "zoo", "feed": None}]}


@pytest.mark.parametrize("path", [f"{RPM}{uuid4()}/", f"{RPM}none/", f"{RPM}{uuid4()}/versions/"])
async def test_what_is_not_there_is_404(yum: Site, path: str) -> None:
    answer = await yum.client.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "No Repository matches the given query."})


async def test_who_may_only_read_or_cancel_changes_nothing(yum: Site) -> None:
    made = await create(yum)
    for name, role in (("vi", Role.VIEWER), ("op", Role.OPERATOR)):
        await yum.add_user(name, role)
        client = yum.as_user(name)
        assert (await client.get(ALL)).status_code == 200
        answers = [
            await client.post(ALL, json={"name": "farm"}),
            await client.post(ALL, content=b"{"),
            await client.patch(made["pulp_href"], json={"notes": {"a": 1}}),
            await client.delete(made["pulp_href"]),
            await client.post(f"{V3}/repair/"),
        ]
        assert [answer.status_code for answer in answers] == [403] * 5
    assert await shown(yum) == made
    await yum.add_user("su", Role.SUBMITTER)
    assert (await yum.as_user("su").post(ALL, json={"name": "farm"})).json()["created_by"] == "su"


async def test_the_first_sync_makes_a_record_and_later_ones_leave_it(yum: Site) -> None:
    assert (await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})).status_code == 202
    first = await shown(yum)
    assert (first["feed"], first["feed_source"], first["sync_options"]) == (FEED, "sync", {})
    assert (await submit(yum, "sync", {"repo_id": "zoo", "feed": OTHER})).status_code == 202
    second = await shown(yum)
    assert (second["feed"], second["pulp_href"]) == (OTHER, first["pulp_href"])
    assert audited(yum) == [("repository-created", "user:admin", "zoo")]


async def test_a_sync_that_is_refused_makes_no_record(yum: Site) -> None:
    assert (await submit(yum, "sync", {"repo_id": "zoo"})).status_code == 400
    yum.log.fault = LogUnavailable("away")
    assert (await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})).status_code == 503
    assert await listed(yum) == []


async def test_what_the_repository_says_comes_first(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": OTHER, "concurrency": 2})
    href = (await shown(yum))["pulp_href"]
    await yum.client.patch(href, json={"feed": FEED, "sync_options": {"concurrency": 8}})
    assert (await submit(yum, "sync", {"repo_id": "zoo"})).status_code == 202
    assert submitted(yum)[-1] == {"repo_id": "zoo", "feed": FEED, "concurrency": 8}
    # A given value counts for this task only.
    assert (await submit(yum, "sync", {"repo_id": "zoo", "feed": OTHER, "concurrency": 1})).status_code == 202
    assert submitted(yum)[-1] == {"repo_id": "zoo", "feed": OTHER, "concurrency": 1}
    assert (await shown(yum))["feed"] == FEED
    # Without its own value, it has the newest task's.
    await yum.client.patch(href, json={"feed": None, "sync_options": None})
    assert (await submit(yum, "sync", {"repo_id": "zoo"})).status_code == 202
    assert submitted(yum)[-1] == {"repo_id": "zoo", "feed": OTHER}


async def test_a_publish_takes_its_options_as_well(yum: Site) -> None:
    await create(yum, feed=FEED, publish_options={"verify_tls": False})
    assert (await submit(yum, "sync", {"repo_id": "zoo"})).status_code == 202
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 202
    assert submitted(yum, "publish") == [{"repo_id": "zoo", "verify_tls": False}]


async def test_an_option_that_its_operation_no_longer_takes_is_told(yum: Site) -> None:
    await create(yum, feed=FEED)
    await yum.execute("update repositories set sync_options = sync_options || '{\"mood\": 1}'")
    answer = await submit(yum, "sync", {"repo_id": "zoo"})
    assert answer.status_code == 400
    assert list(answer.json()["arguments"]) == ["mood"]
    assert submitted(yum) == []
    # It can be removed, and hinders no other change.
    for change in ({"notes": {"a": 1}}, {"sync_options": {"mood": None}}):
        assert (await yum.client.patch((await shown(yum))["pulp_href"], json=change)).status_code == 200
    assert (await submit(yum, "sync", {"repo_id": "zoo"})).status_code == 202


async def test_a_rerun_has_what_its_task_had(yum: Site) -> None:
    task_id = id_in(await submit(yum, "sync", {"repo_id": "zoo", "feed": OTHER}))
    await ended(yum, task_id)
    await yum.client.patch((await shown(yum))["pulp_href"], json={"feed": FEED, "sync_options": {"concurrency": 8}})
    assert (await yum.client.post(f"{V3}/tasks/{task_id}/rerun/")).status_code == 202
    assert submitted(yum)[-1] == {"repo_id": "zoo", "feed": OTHER}


async def test_a_repeated_request_means_its_task_whatever_the_repository_says_by_then(yum: Site) -> None:
    made = await create(yum, feed=FEED, sync_options={"concurrency": 8})
    key = {"Idempotency-Key": "k"}
    first = id_in(await submit(yum, "sync", {"repo_id": "zoo"}, **key))
    await yum.client.patch(made["pulp_href"], json={"feed": OTHER, "sync_options": {"concurrency": 2}})
    assert id_in(await submit(yum, "sync", {"repo_id": "zoo"}, **key)) == first
    assert (await submit(yum, "sync", {"repo_id": "zoo", "concurrency": 3}, **key)).status_code == 422
    assert len(submitted(yum)) == 1


async def test_what_it_holds_is_what_its_newest_successful_sync_has_told(yum: Site) -> None:
    first = id_in(await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED}))
    await ended(yum, first, {"packages": 32, "errata": 4, "package_groups": 2, "version": 1, "notes": []})
    published = id_in(await submit(yum, "publish", {"repo_id": "zoo"}))
    await ended(yum, published, {"packages": 32, "version": 1})
    last = id_in(await submit(yum, "sync", {"repo_id": "zoo"}))
    await ended(yum, last, outcome=Outcome.CANCELLED)
    found = await shown(yum)
    assert found["content"] == {"packages": 32, "errata": 4, "package_groups": 2}
    assert (found["version"], found["latest_version_href"]) == (1, f"{found['pulp_href']}versions/1/")
    assert (found["last_sync"]["task"], found["last_sync"]["state"]) == (f"{V3}/tasks/{last}/", "canceled")
    assert (found["last_publish"]["task"], found["last_publish"]["state"]) == (f"{V3}/tasks/{published}/", "completed")
    [version] = (await yum.client.get(found["versions_href"])).json()["results"]
    assert (version["number"], version["content_summary"]["present"]["rpm.package"]["count"]) == (1, 32)
    assert (await yum.client.get(found["latest_version_href"])).json() == version
    assert (await yum.client.get(f"{found['versions_href']}2/")).status_code == 404


async def test_versions_are_those_of_all_syncs_newest_first(yum: Site) -> None:
    for number in (1, 2, 2, 3):
        task_id = id_in(await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED}))
        await ended(yum, task_id, {"version": number, "packages": number})
    page = (await yum.client.get((await shown(yum))["versions_href"], params={"limit": 2})).json()
    assert (page["count"], [each["number"] for each in page["results"]]) == (3, [3, 2])


async def test_nothing_of_a_removed_repository_is_remembered(yum: Site) -> None:
    task_id = id_in(await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED}))
    await ended(yum, task_id, {"packages": 32, "version": 1})
    before = await shown(yum)
    id_in(await yum.client.delete(before["pulp_href"]))
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 400
    refused = await submit(yum, "sync", {"repo_id": "zoo"})
    assert (refused.status_code, list(refused.json()["arguments"])) == (400, ["feed"])
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 400
    made = await create(yum)
    assert made["pulp_href"] != before["pulp_href"]
    assert (made["feed"], made["content"], made["last_sync"]) == (None, {}, None)
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 400
    again = id_in(await submit(yum, "sync", {"repo_id": "zoo", "feed": OTHER}))
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 202
    assert (await shown(yum))["last_sync"]["task"] == f"{V3}/tasks/{again}/"


async def test_a_removal_that_cannot_be_submitted_leaves_all_as_it_was(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    before = await shown(yum)
    yum.log.fault = LogUnavailable("away")
    assert (await yum.client.delete(before["pulp_href"])).status_code == 503
    assert await shown(yum) == before
    assert (await submit(yum, "sync", {"repo_id": "zoo"})).status_code == 202
    assert audited(yum) == [("repository-created", "user:admin", "zoo")]


async def test_without_a_worker_that_could_remove_it_a_repository_stays(api: Site) -> None:
    made = await create(api)
    refused = await api.client.delete(made["pulp_href"])
    assert (refused.status_code, "unknown operation 'remove-repository'" in refused.text) == (400, True)
    assert await shown(api) == made


async def test_a_repository_whose_maker_died_before_its_record_is_found_all_the_same(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    await projected(yum)
    await yum.execute("delete from repositories")
    answer = await yum.client.post(ALL, json={"name": "zoo"})
    assert answer.status_code == 409
    assert (await shown(yum))["feed"] == FEED


async def test_after_the_loss_of_the_records_a_list_has_all_that_were_synced_and_not_removed(yum: Site) -> None:
    for name in ("zoo", "a:b", "farm", "barn"):
        assert (await submit(yum, "sync", {"repo_id": name, "feed": FEED})).status_code == 202
    await yum.task("noop", resources=(Resource("zebra", "x"), Resource("repository", "none"), Resource("a", "b")))
    assert (await yum.client.delete(f"{V2}/repositories/farm/")).status_code == 202
    await projected(yum)
    await yum.execute("delete from repositories")
    found = (await yum.client.get(ALL)).json()["results"]
    assert [(row["name"], row["feed"]) for row in found] == [("a:b", FEED), ("barn", FEED), ("zoo", FEED)]


async def test_a_sync_that_comes_while_a_repository_is_removed_has_a_record(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    before = await shown(yum)

    async def meanwhile() -> None:
        assert (await submit(yum, "sync", {"repo_id": "zoo", "feed": OTHER})).status_code == 202

    yum.log.after_append = meanwhile
    id_in(await yum.client.delete(before["pulp_href"]))
    assert (await shown(yum))["feed"] == OTHER


async def test_a_request_that_is_repeated_after_a_removal_brings_nothing_back(yum: Site) -> None:
    arguments, key = {"repo_id": "zoo", "feed": FEED}, {"Idempotency-Key": "k"}
    first = id_in(await submit(yum, "sync", arguments, **key))
    id_in(await yum.client.delete((await shown(yum))["pulp_href"]))
    assert id_in(await submit(yum, "sync", arguments, **key)) == first
    assert await listed(yum) == []


async def test_a_repair_is_a_task(yum: Site) -> None:
    for body in ({}, {"verify_checksums": True}, {"repo_id": "zoo"}):
        task_id = id_in(await yum.client.post(f"{V3}/repair/", json=body))
        assert (await yum.client.get(f"{V3}/tasks/{task_id}/")).json()["name"] == "repair"
    assert sorted(map(str, submitted(yum, "repair"))) == ["{'repo_id': 'zoo'}", "{}", "{}"]  # of several partitions
    refused = await yum.client.post(f"{V3}/repair/", json={"verify_checksums": False})
    assert (refused.status_code, list(refused.json())) == (400, ["verify_checksums"])


async def test_the_answer_has_the_fields_that_the_document_says(yum: Site) -> None:
    task_id = id_in(await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED}))
    await ended(yum, task_id, {"version": 1})
    found = await shown(yum)
    told = fields_of_answer("rpm_rpm_repository_href")
    assert told.keys() == found.keys()
    assert fields(told["last_sync"]).keys() == found["last_sync"].keys()
    told = fields_of_answer("rpm_rpm_repository_version_href")
    assert told.keys() == (await yum.client.get(found["latest_version_href"])).json().keys()
