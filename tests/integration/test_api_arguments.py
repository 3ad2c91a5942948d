"""Submissions of operations that declare their arguments: what the API refuses before anything is written."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from msgspec import Raw, Struct
from pulp_events.events import Accepted, Outcome, Resource, Started
from pulp_events.log import KafkaLog
from pulp_events.topics import Topics
from pulp_operations import publish, remove_orphans, sync
from pulp_worker import Context, operation

from tests.support.api_process import add_admin, api_process
from tests.support.backends import Backend
from tests.support.declared import declare
from tests.support.described import fields, fields_of_answer
from tests.support.events import finished, started
from tests.support.site import PARTITIONS, V2, V3, Site

FEED = "https://example.org/repos/zoo/"
RIGHT = {"operation": "sync", "arguments": {"repo_id": "zoo", "feed": "https://example.org/repos/zoo/"}}
ZOO = Resource("repository", "zoo")
SECRETS = ("hunter2", "s3cr3t")


@pytest.fixture
async def yum(api: Site) -> Site:
    """A site whose live worker offers the shipped operations."""
    await declare(api.database, sync, publish, remove_orphans)
    return api


async def submit(site: Site, name: str, arguments: object, **headers: str) -> httpx.Response:
    body = {"operation": name, "arguments": arguments}
    return await site.client.post(f"{V3}/tasks/", json=body, headers=headers)


def submitted(site: Site) -> list[dict[str, Any]]:
    """The arguments of each task in the log."""
    return [json.loads(bytes(event.data.arguments)) for event in site.log.events if isinstance(event.data, Accepted)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"feed": FEED}, {"repo_id": "this argument is required: a repository's id"}),
        ({"repo_id": "zoo", "feed": "not-a-url"}, {"feed": "an http or https URL with a host is expected"}),
        ({"repo_id": "zoo", "feed": "https://me:hunter2@h/"}, {"feed": "a user name or password is refused"}),
        (
            {"repo_id": "zoo", "feed": "https://h/?token=s3cr3t"},
            {"feed": "a secret in its query (a parameter named like 'token')"},
        ),
        ({"repo_id": "zoo", "feed": 7}, {"feed": "an http or https URL is expected"}),
        (
            {"repo_id": "zoo", "feed": FEED, "concurrency": 65},
            {"concurrency": "a whole number from 1 to 64 is expected"},
        ),
        ({"repo_id": "zoo", "feed": FEED, "concurrency": 8.0}, {"concurrency": "a whole number from 1 to 64"}),
        ({"repo_id": "zoo", "feed": FEED, "concurrency": "8"}, {"concurrency": "a whole number from 1 to 64"}),
        ({"repo_id": "zoo", "feed": FEED, "verify_tls": 1}, {"verify_tls": "true or false is expected"}),
        ({"repo_id": "zoo", "fed": FEED, "feed": FEED}, {"fed": "there is no argument 'fed', did you mean 'feed'?"}),
        ({"repo_id": "zoo", "feed": FEED, "https://a:hunter2@h": 1}, {"...": "there is no argument '...'"}),
        (
            {"repo_id": "", "feed": "x", "concurrency": 0},
            {"repo_id": "a repo", "feed": "an http", "concurrency": "a whole"},
        ),
    ],
)
async def test_a_wrong_submission_is_refused_by_field_and_nothing_is_written(
    yum: Site, caplog: pytest.LogCaptureFixture, arguments: dict[str, Any], told: dict[str, str]
) -> None:
    answer = await submit(yum, "sync", arguments)
    assert answer.status_code == 400
    body = answer.json()
    assert list(body["arguments"]) == list(told)
    for path, text in told.items():
        [message] = body["arguments"][path]
        assert text in message
        assert f"{path}: {message}" in body["detail"]
    assert body["detail"].startswith("operation sync: ")
    assert body["example"] == RIGHT
    assert yum.log.events == []
    for text in (answer.text, caplog.text):
        assert not any(secret in text for secret in SECRETS)


async def test_the_example_of_a_refusal_is_taken(yum: Site) -> None:
    example = (await submit(yum, "sync", {})).json()["example"]
    assert (await yum.client.post(f"{V3}/tasks/", json=example)).status_code == 202


async def test_a_name_that_stands_twice_is_refused_since_both_would_be_kept(yum: Site) -> None:
    body = f'{{"operation": "sync", "arguments": {{"repo_id": "a", "feed": "http://a:hunter2@h/", "feed": "{FEED}"}}}}'
    answer = await yum.client.post(f"{V3}/tasks/", content=body)
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "arguments cannot be used: an object has two values with the same name",
    )
    assert yum.log.events == []


async def test_arguments_that_fit_are_written_as_they_came(yum: Site) -> None:
    body = b'{"operation": "sync", "arguments": {"concurrency" : 8,  "repo_id":"zoo", "feed":"%s"}}' % FEED.encode()
    assert (await yum.client.post(f"{V3}/tasks/", content=body)).status_code == 202
    [event] = yum.log.events
    assert isinstance(event.data, Accepted)
    assert bytes(event.data.arguments) == b'{"concurrency" : 8,  "repo_id":"zoo", "feed":"%s"}' % FEED.encode()


async def test_without_a_declaration_anything_is_taken(api: Site) -> None:
    @operation("free")
    async def free(context: Context) -> None: ...

    await declare(api.database, free)
    given = {"feed": "ftp://me@h/", "x": [None, 1.5]}
    assert (await submit(api, "free", given)).status_code == 202
    assert submitted(api) == [given]


async def test_in_the_dialect_of_pulp_2_the_properties_are_named(yum: Site) -> None:
    async def start(action: str, repo_id: str = "zoo", **config: Any) -> Any:
        url = f"{V2}/repositories/{repo_id}/actions/{action}/"
        answer = await yum.client.post(url, json={"override_config": config})
        body = answer.json()
        assert answer.status_code == body["http_status"]
        assert not any(secret in answer.text for secret in SECRETS)
        return answer.status_code, body["error"]["code"], body

    status, code, body = await start("sync")
    assert (status, code, body["missing_property_names"]) == (400, "PLP0016", ["feed"])
    status, code, body = await start("sync", feed="http://me:hunter2@h/", fed=1)
    assert (status, code, body["property_names"]) == (400, "PLP0015", ["feed"])
    assert body["unsupported_property_names"] == ["fed"]
    assert "a user name or password is refused" in body["error_message"]
    unsupported: dict[str, Any] = {"nothing": 1}
    for config in ({}, unsupported):
        status, code, body = await start("publish", **config)
        assert (status, code, body["resources"]) == (404, "PLP0009", {"repository": "zoo"})
    assert (await yum.client.post(f"{V2}/repositories/", json={"id": "zoo"})).status_code == 201
    status, code, body = await start("publish", nothing=1)
    assert (status, code, body["unsupported_property_names"]) == (400, "PLP0017", ["nothing"])
    assert yum.log.events == []
    assert (await yum.client.delete(f"{V2}/content/orphans/")).status_code == 202


async def test_a_repository_remembers_its_last_feed(yum: Site) -> None:
    first = {"repo_id": "zoo", "feed": FEED}
    assert (await submit(yum, "sync", first)).status_code == 202
    assert (await submit(yum, "sync", {"repo_id": "zoo", "concurrency": 2})).status_code == 202
    assert (await submit(yum, "sync", {"repo_id": "zoo", "feed": f"{FEED}new/"})).status_code == 202
    assert (await yum.client.post(f"{V2}/repositories/zoo/actions/sync/")).status_code == 202
    moved = {"repo_id": "zoo", "feed": f"{FEED}new/"}
    assert submitted(yum) == [first, {**first, "concurrency": 2}, moved, moved]


async def test_what_no_task_had_is_required(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    answer = await submit(yum, "sync", {"repo_id": "farm"})
    [message] = answer.json()["arguments"]["feed"]
    assert answer.status_code == 400
    assert message.startswith("this argument is required: an http or https URL")
    assert message.endswith("an http or https URL; no earlier task on repository:farm had one")
    assert len(submitted(yum)) == 1


async def test_a_feed_of_before_the_check_is_not_brought_back(yum: Site) -> None:
    for feed in (FEED, "http://me:hunter2@h/"):
        arguments = json.dumps({"repo_id": "zoo", "feed": feed}).encode()
        await yum.task("sync", resources=(ZOO,), arguments=Raw(arguments))
    assert (await submit(yum, "sync", {"repo_id": "zoo"})).status_code == 202
    assert submitted(yum).count({"repo_id": "zoo", "feed": FEED}) == 2


async def test_a_repeated_request_means_the_task_that_it_made_whatever_came_between(yum: Site) -> None:
    await submit(yum, "sync", {"repo_id": "zoo", "feed": FEED})
    again = {"Idempotency-Key": "k"}
    first = await submit(yum, "sync", {"repo_id": "zoo"}, **again)
    await submit(yum, "sync", {"repo_id": "zoo", "feed": f"{FEED}new/"})
    second = await submit(yum, "sync", {"repo_id": "zoo"}, **again)
    assert (second.status_code, second.json()) == (202, first.json())
    assert len(submitted(yum)) == 3


async def test_a_task_of_before_the_check_is_run_again_only_with_arguments_that_fit(yum: Site) -> None:
    old = Raw(b'{"repo_id": "zoo", "feed": "http://me:hunter2@h/"}')
    task_id = await yum.task("sync", resources=(ZOO,), arguments=old)
    await yum.add(finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED), yum.partition_of(task_id, ZOO))
    written = len(yum.log.events)
    again = f"{V3}/tasks/{task_id}/rerun/"
    refused = await yum.client.post(again)
    assert (refused.status_code, list(refused.json()["arguments"])) == (400, ["feed"])
    assert "hunter2" not in refused.text
    refused = await yum.client.post(again, json={"arguments": {"repo_id": None, "feed": FEED}})
    assert (refused.status_code, list(refused.json()["arguments"])) == (400, ["repo_id"])
    assert len(yum.log.events) == written
    assert (await yum.client.post(again, json={"arguments": {"feed": FEED}})).status_code == 202


async def test_the_answer_has_what_the_document_says(yum: Site) -> None:
    found = (await yum.client.get(f"{V3}/operations/sync/")).json()
    described = fields_of_answer("operation_href")
    assert described.keys() == found.keys()
    for rows in ("parameters", "workers"):
        assert fields(described[rows]).keys() == found[rows][0].keys()


async def test_a_publish_needs_a_sync_that_was_successful_or_is_under_way(yum: Site) -> None:
    refused = await submit(yum, "publish", {"repo_id": "zoo"})
    assert refused.status_code == 400
    assert refused.json()["detail"] == (
        "operation publish needs a successful sync of repository 'zoo': none has succeeded, and none is under way. Submit"
        " sync first"
    )
    assert yum.log.events == []
    task_id = await yum.submit(RIGHT)
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 202
    assert (await submit(yum, "publish", {"repo_id": "farm"})).status_code == 400
    begun = started(task_id)
    await yum.add(begun, yum.partition_of(task_id, ZOO))
    assert isinstance(begun.data, Started)
    await yum.add(finished(task_id, attempt_id=begun.data.attempt_id), yum.partition_of(task_id, ZOO))
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 202


async def test_a_sync_that_failed_leaves_nothing_to_publish(yum: Site) -> None:
    task_id = await yum.submit(RIGHT)
    await yum.add(finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED), yum.partition_of(task_id, ZOO))
    assert (await submit(yum, "publish", {"repo_id": "zoo"})).status_code == 400


async def test_a_task_that_nobody_will_run_now_is_accepted_with_a_warning(yum: Site) -> None:
    async def warnings(**body: Any) -> Any:
        answer = await yum.client.post(f"{V3}/tasks/", json={**RIGHT, **body})
        assert answer.status_code == 202
        return answer.json().get("warnings", [])

    assert await warnings() == []
    assert await warnings(queue="slow") == [
        "no live worker that offers 'sync' serves queue 'slow' (served: default): the task waits until one does"
    ]
    await yum.execute("update workers set stopped_at = now()")
    assert await warnings(operation="remove-orphans", arguments={}) == [
        "no live worker offers operation 'remove-orphans': the task waits until one does"
    ]


async def test_an_unknown_operation_is_refused_with_the_one_that_was_meant(yum: Site) -> None:
    answer = await submit(yum, "snyc", {})
    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        "unknown operation 'snyc', did you mean 'sync'?; known are: publish, remove-orphans, sync"
    )


async def test_operations_tell_what_they_take(yum: Site) -> None:
    listed = {each["name"]: each for each in (await yum.client.get(f"{V3}/operations/")).json()["results"]}
    shown = (await yum.client.get(listed["sync"]["pulp_href"])).json()
    assert shown == listed["sync"]
    assert shown["arguments"] == sync.schema
    assert shown["example"] == RIGHT
    assert (shown["package"], shown["registered_by"], shown["requires"]) == ("pulp-tasks", "w1", None)
    assert shown["workers"] == [{"name": "w1", "queues": ["default"], "is_as_registered": True}]
    assert [(each["name"], each["type"], each["required"], each["default"]) for each in shown["parameters"]] == [
        ("repo_id", "id", True, None),
        ("feed", "url", False, None),
        ("concurrency", "integer", False, 4),
        ("verify_tls", "boolean", False, True),
        ("credential", "text or null", False, None),
        ("mode", "additive|mirror", False, "mirror"),
        ("metadata", "mirror|regenerate", False, "regenerate"),
        ("retention", "integer or null", False, None),
        ("most_removed_percent", "integer or null", False, None),
        ("allow_shrink", "boolean", False, False),
    ]
    assert [each["name"] for each in shown["parameters"] if each["remembered"]] == ["feed"]
    assert listed["publish"]["requires"] == "sync"
    assert listed["remove-orphans"]["example"] == {"operation": "remove-orphans", "arguments": {}}
    answer = await yum.client.get(f"{V3}/operations/none/")
    assert (answer.status_code, answer.json()) == (404, {"detail": "No Operation matches the given query."})


async def test_a_worker_that_declares_otherwise_is_shown(api: Site) -> None:
    class First(Struct):
        source: str

    class Second(Struct):
        source: str
        depth: int = 1

    for worker, kind in (("old", First), ("new", Second)):
        await declare(api.database, operation("copy", arguments=kind)(lambda context: None), worker=worker)
    shown = (await api.client.get(f"{V3}/operations/copy/")).json()
    assert [each["name"] for each in shown["parameters"]] == ["source", "depth"]
    assert [(each["name"], each["is_as_registered"]) for each in shown["workers"]] == [("new", True), ("old", False)]


async def test_a_declaration_that_is_of_no_use_is_said_to_be(api: Site) -> None:
    schemas = {"odd": '{"type": 5}', "far": '{"$ref": "http://127.0.0.1:9/x"}'}
    for (name, schema), told in zip(
        schemas.items(), ("invalid JSON Schema", "a schema that cannot be used"), strict=True
    ):
        await api.execute(
            "insert into operations (name, cancellable, description, resources, registered_by, arguments)"
            " values (%s, true, '', '[]', 'w1', %s::json)",
            name,
            schema,
        )
        answer = await submit(api, name, {})
        assert answer.status_code == 400
        assert told in answer.json()["detail"]
    assert api.log.events == []


@pytest.fixture
async def log(backend: Backend, topics: Topics) -> AsyncIterator[KafkaLog]:
    made = KafkaLog(backend.kafka, topics.events, PARTITIONS)
    yield made
    await made.close()


async def test_nothing_is_in_kafka_after_a_refusal(
    backend: Backend, database: str, topics: Topics, log: KafkaLog, tmp_path: Path
) -> None:
    await add_admin(database)
    await declare(database, sync, publish)
    wrong: list[tuple[str, str, Any]] = [
        ("POST", f"{V3}/tasks/", {"operation": "sync", "arguments": {"repo_id": "zoo", "feed": "http://a:hunter2@h/"}}),
        ("POST", f"{V3}/tasks/", {"operation": "sync", "arguments": {"repo_id": "zoo"}}),
        ("POST", f"{V3}/tasks/", {"operation": "publish", "arguments": {"repo_id": "zoo"}}),
        ("POST", f"{V2}/repositories/zoo/actions/sync/", {"override_config": {"feed": "http://h/?sig=s3cr3t"}}),
    ]
    before = await log.end_offsets()
    async with api_process(backend.kafka, database, topics, tmp_path) as api, api.client() as client:
        for method, path, body in wrong:
            assert (await client.request(method, path, json=body)).status_code == 400
        assert await log.end_offsets() == before
        assert (await client.post(f"{V3}/tasks/", json=RIGHT)).status_code == 202
        assert await log.end_offsets() != before
    assert not any(secret in api.output() for secret in SECRETS)


@pytest.mark.parametrize("of", [sync, publish, remove_orphans])
async def test_the_registered_schema_is_the_declared_one(yum: Site, of: Any) -> None:
    [(schema,)] = await yum.execute("select arguments from operations where name = %s", of.name)
    Draft202012Validator.check_schema(schema)
    assert schema == of.schema
