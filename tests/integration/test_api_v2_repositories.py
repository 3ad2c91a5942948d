"""Repositories in the Pulp 2 dialect over a real Postgres: what the `rpm repo` commands of the original client read."""

from typing import Any

import pytest
from pulp_accounts.users import Role
from pulp_events.events import Resource
from pulp_operations import publish, remove_repository, sync

from tests.integration.test_api_repositories import ended, projected, submit, submitted
from tests.support.declared import declare
from tests.support.site import V2, V3, Site

FEED = "https://example.org/repos/zoo/"
ALL = f"{V2}/repositories/"
ZOO = f"{V2}/repositories/zoo/"
REPOSITORY_2_21 = {
    "_href", "_id", "_ns", "content_unit_counts", "description", "display_name", "id", "last_unit_added",
    "last_unit_removed", "locally_stored_units", "notes", "scratchpad", "total_repository_units",
}  # fmt: skip


@pytest.fixture
async def yum(api: Site) -> Site:
    """A site whose live worker offers operations on repositories."""
    await declare(api.database, sync, publish, remove_repository)
    return api


async def create(site: Site, **body: Any) -> dict[str, Any]:
    answer = await site.client.post(ALL, json={"id": "zoo", **body})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == ZOO
    made: dict[str, Any] = answer.json()
    return made


async def test_a_repository_is_made_as_pulp_2s_client_makes_it(yum: Site) -> None:
    made = await create(
        yum,
        display_name="The Zoo",
        description="Animals",
        notes={"team": "keepers", "_repo-type": "rpm-repo"},
        importer_type_id="yum_importer",
        importer_config={"feed": FEED, "ssl_validation": False, "max_downloads": 8},
        distributors=[
            {
                "distributor_id": "yum_distributor",
                "distributor_type_id": "yum_distributor",
                "auto_publish": True,
                "distributor_config": {"relative_url": "zoo", "http": False, "https": True},
            }
        ],
    )
    assert made.keys() >= REPOSITORY_2_21
    assert made["notes"] == {"team": "keepers", "_repo-type": "rpm-repo"}
    assert (made["id"], made["_href"], made["_ns"], made["content_unit_counts"]) == ("zoo", ZOO, "repos", {})
    shown = (await yum.client.get(ZOO, params={"details": True})).json()
    [importer], [distributor] = shown["importers"], shown["distributors"]
    assert importer["config"] == {"feed": FEED, "verify_tls": False, "concurrency": 8}
    assert (importer["id"], distributor["id"]) == ("yum_importer", "yum_distributor")
    assert distributor["config"]["relative_url"] == "zoo"
    assert (await yum.client.get(f"{ZOO}importers/")).json() == [importer]
    assert (await yum.client.get(f"{ZOO}distributors/")).json() == [distributor]
    assert (await yum.client.get(ALL)).json() == [made]
    assert (await yum.client.post(f"{ZOO}actions/sync/")).status_code == 202
    assert submitted(yum) == [{"repo_id": "zoo", "feed": FEED, "verify_tls": False, "concurrency": 8}]


async def test_a_change_names_a_delta(yum: Site) -> None:
    await create(yum, notes={"team": "keepers"}, description="Animals")
    body = {"delta": {"display_name": "Zoo", "notes": {"team": None, "a": "b"}}, "importer_config": {"feed": FEED}}
    answer = await yum.client.put(ZOO, json=body)
    assert (answer.status_code, answer.json()["spawned_tasks"], answer.json()["error"]) == (200, [], None)
    assert answer.json()["result"] == (await yum.client.get(ZOO)).json()
    shown = (await yum.client.get(ZOO, params={"importers": True})).json()
    assert (shown["display_name"], shown["description"], shown["notes"]["a"]) == ("Zoo", "Animals", "b")
    assert "team" not in shown["notes"]
    assert shown["importers"][0]["config"] == {"feed": FEED}


@pytest.mark.parametrize(
    ("body", "key", "code", "names"),
    [
        ({}, "missing_property_names", "PLP0016", ["id"]),
        ({"id": "a\nb"}, "property_names", "PLP0015", ["id"]),
        ({"id": ["zoo"]}, "property_names", "PLP0015", ["id"]),
        ({"id": "zoo", "notes": 1}, "property_names", "PLP0015", ["notes"]),
        ({"id": "zoo", "bogus": 1}, "unsupported_property_names", "PLP0017", ["bogus"]),
        ({"id": "zoo", "importer_config": {"feed": "x"}}, "property_names", "PLP0015", ["feed"]),
        ({"id": "zoo", "importer_config": {"remove_missing": 1}}, "property_names", "PLP0015", ["remove_missing"]),
        ({"id": "zoo", "importer_config": []}, "property_names", "PLP0015", ["importer_config"]),
        ({"id": "zoo", "distributors": {}}, "property_names", "PLP0015", ["distributors"]),
        ({"id": "zoo", "importer_type_id": "iso_importer"}, "property_names", "PLP0015", ["importer_type_id"]),
        (
            {
                "id": "zoo",
                "distributors": [
                    {"distributor_type_id": "yum_distributor", "distributor_config": {"relative_url": "a/b"}}
                ],
            },
            "property_names",
            "PLP0015",
            ["relative_url"],
        ),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    yum: Site, body: dict[str, Any], key: str, code: str, names: list[str]
) -> None:
    answer = await yum.client.post(ALL, json=body)
    told = answer.json()
    assert (answer.status_code, told["error"]["code"], told[key]) == (400, code, names)
    assert (await yum.client.get(ALL)).json() == []


async def test_a_second_one_is_a_conflict(yum: Site) -> None:
    await create(yum)
    answer = await yum.client.post(ALL, json={"id": "zoo"})
    assert (answer.status_code, answer.json()["resource_id"]) == (409, "zoo")


async def test_what_is_not_there_is_404_with_its_id(yum: Site) -> None:
    for method, path, body in (
        ("GET", ZOO, None),
        ("PUT", ZOO, {"delta": {"description": "x"}}),
        ("DELETE", ZOO, None),
        ("GET", f"{ZOO}importers/", None),
        ("POST", f"{ZOO}actions/publish/", {"id": "yum_distributor"}),
        ("POST", f"{ZOO}actions//publish/", {"id": "yum_distributor"}),
    ):
        answer = await yum.client.request(method, path, json=body)
        told = answer.json()
        assert (answer.status_code, told["resources"], told["error"]["code"]) == (404, {"repository": "zoo"}, "PLP0009")
        assert told["error_message"] == "Missing resource(s): repository=zoo"
    assert yum.log.events == []


async def test_a_sync_without_a_feed_anywhere_names_what_is_missing(yum: Site) -> None:
    for made in (False, True):
        if made:
            await create(yum)
        for slashes in ("/", "//"):
            answer = await yum.client.post(f"{ZOO}actions{slashes}sync/")
            told = answer.json()
            assert (answer.status_code, told["missing_property_names"]) == (400, ["feed"])
    assert yum.log.events == []


async def test_one_that_was_never_synced_has_nothing_to_publish(yum: Site) -> None:
    await create(yum)
    answer = await yum.client.post(f"{ZOO}actions/publish/")
    assert answer.status_code == 400
    assert "needs a successful sync of repository 'zoo'" in answer.json()["error_message"]


@pytest.mark.parametrize("action", ["sync", "publish"])
async def test_two_slashes_answer_a_list_of_reports_and_one_a_report(yum: Site, action: str) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    [listed] = (await yum.client.post(f"{ZOO}actions//{action}/", json={})).json()
    alone = (await yum.client.post(f"{ZOO}actions/{action}/", json={})).json()
    assert listed.keys() == alone.keys()
    assert alone["_href"] == f"{V2}/tasks/{alone['task_id']}/"
    assert listed["_href"] == f"{V2}/task_groups/{listed['call_request_group_id']}/"
    for report in (listed, alone):
        assert report["tags"] == ["pulp:repository:zoo", f"pulp:action:{action}"]


async def test_a_client_of_2_0_follows_the_group_of_what_it_started(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    [first] = (await yum.client.post(f"{ZOO}actions//sync/", json={})).json()
    [second] = (await yum.client.post(f"{ZOO}actions//sync/", json={})).json()
    assert first["call_request_group_id"] != second["call_request_group_id"]
    [told] = (await yum.client.get(first["_href"])).json()
    assert told["call_request_id"] == first["call_request_id"]
    assert told["call_request_group_id"] == first["call_request_group_id"]


async def test_a_repeated_request_is_in_the_group_of_the_first(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    key = {"Idempotency-Key": "once"}
    answers = [(await yum.client.post(f"{ZOO}actions//sync/", json={}, headers=key)).json() for _ in range(2)]
    assert answers[0][0]["_href"] == answers[1][0]["_href"]
    assert len((await yum.client.get(answers[0][0]["_href"])).json()) == 1


@pytest.mark.parametrize("group", ["00000000-0000-4000-8000-000000000000", "nonsense"])
async def test_a_group_that_is_not_there_is_404_with_its_id(yum: Site, group: str) -> None:
    answer = await yum.client.get(f"{V2}/task_groups/{group}/")
    assert (answer.status_code, answer.json()["resources"]) == (404, {"task_group": group})


async def test_an_unknown_action_is_refused(yum: Site) -> None:
    answer = await yum.client.post(f"{ZOO}actions/snyc/")
    assert (answer.status_code, "known are: sync, publish" in answer.text) == (400, True)


async def test_a_client_of_2_21_finds_the_tasks_of_a_repository_before_it_starts_one(yum: Site) -> None:
    ended_already = await yum.submit({"operation": "sync", "arguments": {"repo_id": "zoo", "feed": FEED}})
    await ended(yum, ended_already)
    waiting = await yum.submit({"operation": "sync", "arguments": {"repo_id": "zoo"}})
    await yum.submit({"operation": "publish", "arguments": {"repo_id": "zoo"}})
    await projected(yum)
    filters = {
        "state": {"$nin": ["finished", "error", "canceled", "skipped"]},
        "tags": {"$all": ["pulp:repository:zoo", "pulp:action:sync"]},
    }
    answer = await yum.client.post(f"{V2}/tasks/search/", json={"criteria": {"filters": filters}})
    assert [report["task_id"] for report in answer.json()] == [str(waiting)]


async def test_a_removal_answers_its_call_report(yum: Site) -> None:
    await create(yum, importer_config={"feed": FEED})
    answer = await yum.client.delete(ZOO)
    report = answer.json()
    assert (answer.status_code, report["task_type"], report["state"]) == (202, "remove-repository", "waiting")
    assert report["_href"] == f"{V2}/tasks/{report['task_id']}/"
    assert (await yum.client.get(ALL)).json() == []


async def test_units_are_counted_by_pulp_2s_types(yum: Site) -> None:
    task_id = await yum.submit({"operation": "sync", "arguments": {"repo_id": "zoo", "feed": FEED}})
    await ended(yum, task_id, {"packages": 32, "errata": 4, "package_groups": 2, "tree_files": 0, "version": 1})
    shown = (await yum.client.get(ZOO)).json()
    assert shown["content_unit_counts"] == {"rpm": 32, "erratum": 4, "package_group": 2}
    assert (shown["total_repository_units"], shown["last_unit_added"] is not None) == (38, True)


async def test_who_may_only_read_changes_nothing(yum: Site) -> None:
    await create(yum)
    await yum.add_user("vi", Role.VIEWER)
    client = yum.as_user("vi")
    assert (await client.get(ALL)).status_code == 200
    answers = [
        await client.post(ALL, json={"id": "farm"}),
        await client.put(ZOO, json={"delta": {"description": "x"}}),
        await client.delete(ZOO),
        await client.post(f"{ZOO}actions/sync/"),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert {answer.json()["auth_error_code"] for answer in answers} == {"permission_denied"}


async def test_a_long_list_comes_in_pieces_and_whole(yum: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"r{number}" for number in range(7)]
    for name in names:
        assert (await yum.client.post(ALL, json={"id": name})).status_code == 201
    whole = (await yum.client.get(ALL)).json()
    assert [each["id"] for each in whole] == names
    for piece in (1, 2, 7):
        monkeypatch.setattr("pulp_api.v2.repositories.CHUNK_SIZE", piece)
        assert (await yum.client.get(ALL)).json() == whole
        assert (await yum.client.get(ALL, params={"limit": 4, "skip": 2})).json() == whole[2:6]


async def test_both_dialects_tell_of_the_same_repositories(yum: Site) -> None:
    await create(yum, description="Animals")
    [row] = (await yum.client.get(f"{V3}/repositories/")).json()["results"]
    assert (row["name"], row["description"]) == ("zoo", "Animals")
    assert Resource("repository", row["name"]).key == "repository:zoo"
