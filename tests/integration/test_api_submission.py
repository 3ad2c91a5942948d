"""Submitting tasks: what is appended, what is refused, and one task for one Idempotency-Key."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from msgspec import UNSET, Raw, UnsetType
from pulp_accounts.users import Role
from pulp_events.errors import AppendOutcomeUnknown, LogUnavailable
from pulp_events.events import Accepted, Access, Resource, Retry
from pulp_worker import Context, operation

from tests.support.declared import add_worker, declare
from tests.support.events import finished, started
from tests.support.site import ASKED, V2, V3, Site

ZOO, ORPHANS = Resource("repository", "zoo"), Resource("content_unit", "orphans", Access.SHARED)
SYNC = {"operation": "sync", "arguments": {"repo_id": "zoo"}}
CID = "6f0ee21f-4a0c-4cf0-8d8b-2a8a46d9e3a1"
TASK = "e0e0a250-eded-468f-9d97-0419a00b130f"


async def post(api: Site, body: object, **headers: str) -> httpx.Response:
    return await api.client.post(f"{V3}/tasks/", json=body, headers=headers)


def submissions(api: Site) -> list[Accepted]:
    return [event.data for event in api.log.events if isinstance(event.data, Accepted)]


async def test_a_submission_is_one_event_of_its_author_in_its_resources_partition(api: Site) -> None:
    await add_worker(api.database, "sync")
    answer = await post(api, SYNC, **{"Correlation-ID": CID})
    [event] = api.log.events
    partition = api.partition_of(event.task_id, ZOO)
    assert answer.status_code == 202
    assert answer.json() == {"task": f"/pulp/api/v3/tasks/{event.task_id}/"}
    assert answer.headers["location"] == f"/pulp/api/v3/tasks/{event.task_id}/"
    assert answer.headers["pulp-position"] == f"{partition}:0"
    assert (event.actor, event.correlation_id, answer.headers["correlation-id"]) == ("user:admin", CID, CID)
    assert event.data == Accepted(
        operation="sync",
        arguments=Raw(b'{"repo_id":"zoo"}'),
        resources=(ZOO, ORPHANS),
        tags=("pulp:repository:zoo", "pulp:action:sync"),
        request=ASKED,
    )
    task = (await api.client.get(answer.json()["task"])).json()
    assert (task["state"], task["logging_cid"], task["arguments"]) == ("waiting", CID, {"repo_id": "zoo"})
    assert task["reserved_resources_record"] == ["repository:zoo", "shared:content_unit:orphans"]


async def test_what_a_submission_names_replaces_what_the_operation_declares(api: Site) -> None:
    parent, other, group = await api.task(), await api.task(), str(uuid4())
    body = {
        "operation": "sync",
        "resources": [{"type": "cds", "id": "a:b", "access": "shared"}],
        "tags": ["mine"],
        "queue": "slow",
        "priority": -5,
        "group_id": group,
        "parent_task": f"/pulp/api/v3/tasks/{parent}/",
        "depends_on": [f"/pulp/api/v2/tasks/{other}/"],
        "timeout_seconds": 60,
    }
    assert (await post(api, body)).status_code == 202
    [submitted] = [data for data in submissions(api) if data.parent_id is not None]
    assert submitted == Accepted(
        operation="sync",
        resources=(Resource("cds", "a:b", Access.SHARED),),
        tags=("mine",),
        queue="slow",
        priority=-5,
        group_id=UUID(group),
        parent_id=parent,
        depends_on=(other,),
        timeout_seconds=60,
        request=ASKED,
    )


REFUSED: list[tuple[bytes, str]] = [
    (b"", "the submission cannot be used"),
    (b"{", "the submission cannot be used"),
    (b"\xff\xfe", "the submission cannot be used"),
    (b"[]", "it must be an object, not a list"),
    (b"{}", "operation is required"),
    (b'{"operation": "nope"}', "unknown operation 'nope'; known are: publish, remove-orphans, sync"),
    (b'{"operation": ""}', "operation must be a text of at least 1 character"),
    (b'{"operation": 1}', "operation must be a text, not a number"),
    (b'{"operation": "sync", "argument": {}}', "argument is not a known field, did you mean 'arguments'?"),
    (b'{"operation": "sync", "arguments": []}', "arguments must be a JSON object"),
    (b'{"operation": "sync", "arguments": "x"}', "arguments must be a JSON object"),
    (b'{"operation": "sync", "arguments": null}', "arguments must be a JSON object"),
    (b'{"operation": "sync"}', "operation sync needs the argument 'repo_id'"),
    (b'{"operation": "sync", "arguments": {"repo_id": ["a"]}}', "operation sync needs the argument 'repo_id'"),
    (b'{"operation": "sync", "arguments": {"repo_id": "a\\u0000"}}', "U+0000"),
    (b'{"operation": "publish", "arguments": ' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}", ""),
    (
        b'{"operation": "publish", "resources": [{"type": "a", "id": "b", "access": "write"}]}',
        "resources[0].access cannot be 'write' (known are: exclusive, shared)",
    ),
    (b'{"operation": "publish", "resources": [{"type": "a"}]}', "resources[0].id is required"),
    (b'{"operation": "publish", "resources": [{"type": "", "id": "b"}]}', "resources[0].type must be"),
    (b'{"operation": "publish", "tags": ["%s"]}' % (b"x" * 3000), "tags[0] must be"),
    (b'{"operation": "publish", "priority": 5000}', "priority must be a whole number of at most 1000"),
    (b'{"operation": "publish", "timeout_seconds": 0}', "timeout_seconds must be"),
    (b'{"operation": "publish", "group_id": "x"}', "group_id must be a UUID"),
    (
        b'{"operation": "publish", "arguments": {"repo_id": 1}, "parent_task": "x"}',
        "'x' is neither a task's UUID nor its href",
    ),
    (
        b'{"operation": "publish", "arguments": {"repo_id": 1}, "depends_on": ["/pulp/api/v3/workers/x/"]}',
        "is neither a task's UUID nor its href",
    ),
    (
        b'{"operation": "publish", "arguments": {"repo_id": 1}, "parent_task": "%s"}' % TASK.encode(),
        "no such task: " + TASK,
    ),
    (
        b'{"operation": "publish", "arguments": {"repo_id": 1}, "depends_on": ["%s"]}' % TASK.encode(),
        "no such task: " + TASK,
    ),
]


async def test_what_cannot_be_used_is_refused_and_nothing_is_written(api: Site) -> None:
    for body, text in REFUSED:
        answer = await api.client.post(f"{V3}/tasks/", content=body)
        assert answer.status_code == 400, body[:80]
        assert text in answer.json()["detail"], body[:80]
    assert api.log.events == []


async def test_a_body_that_is_too_large_is_refused_whether_or_not_its_length_is_told(api: Site) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 100_000

    for content in (b" " * 1_000_001, chunks()):
        answer = await api.client.post(f"{V3}/tasks/", content=content)
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")
        assert answer.json() == {"detail": "the request body has more than 1000000 bytes"}
    answer = await api.client.post(f"{V2}/tasks/search/", content=b" " * 1_000_001)
    assert (answer.status_code, answer.json()["http_status"]) == (413, 413)
    # A body within the limit whose event, with its other fields, would be larger than the log accepts.
    answer = await api.client.post(f"{V3}/tasks/", json={**SYNC, "arguments": {"repo_id": "zoo", "x": "x" * 999_900}})
    assert answer.status_code == 413
    assert api.log.events == []


async def test_a_child_may_not_wait_for_what_its_unfinished_parent_holds(api: Site) -> None:
    parent = await api.task(resources=(ZOO, Resource("repository", "bar", Access.SHARED)))
    await api.add(started(parent), api.partition_of(parent, ZOO))

    async def child(resource: str, access: str, **more: Any) -> httpx.Response:
        wanted = [{"type": "repository", "id": resource, "access": access}]
        return await post(api, {"operation": "remove-orphans", "resources": wanted, "parent_task": str(parent), **more})

    for resource, access in (("zoo", "exclusive"), ("zoo", "shared"), ("bar", "exclusive")):
        answer = await child(resource, access)
        assert answer.status_code == 400
        assert f"the parent task {parent} holds resource repository:{resource}" in answer.json()["detail"]
    answer = await child("other", "exclusive", depends_on=[str(parent)])
    assert (answer.status_code, "each would wait for the other" in answer.json()["detail"]) == (400, True)
    assert (await child("bar", "shared")).status_code == 202
    await api.add(finished(parent), api.partition_of(parent, ZOO))
    assert (await child("zoo", "exclusive")).status_code == 202


async def test_a_key_makes_one_task_however_often_it_is_sent(api: Site) -> None:
    first = await post(api, SYNC, **{"Idempotency-Key": "k"})
    reordered = b'{"arguments" : {"repo_id":"zoo"}, "operation":"sync", "priority": 0}'
    again = await api.client.post(f"{V3}/tasks/", content=reordered, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["pulp-position"] == first.headers["pulp-position"]
    assert len(submissions(api)) == 1
    task_id = UUID(first.json()["task"].split("/")[-2])
    await api.add(started(task_id), api.partition_of(task_id, ZOO))
    await api.add(finished(task_id), api.partition_of(task_id, ZOO))
    assert (await post(api, SYNC, **{"Idempotency-Key": "k"})).json() == first.json()
    assert (await post(api, SYNC, **{"Idempotency-Key": "other"})).json() != first.json()


async def test_a_key_stands_for_one_submission_of_one_user(api: Site) -> None:
    await api.add_user("jo", Role.SUBMITTER)
    first = await post(api, SYNC, **{"Idempotency-Key": "k"})
    changes: list[dict[str, Any]] = [
        {"arguments": {"repo_id": "bar"}},
        {"priority": 1},
        {"operation": "publish"},
        {"tags": []},
    ]
    for changed in changes:
        answer = await post(api, {**SYNC, **changed}, **{"Idempotency-Key": "k"})
        assert answer.status_code == 422, changed
        assert first.json()["task"].split("/")[-2] in answer.json()["detail"]
    other = await api.as_user("jo").post(f"{V3}/tasks/", json=SYNC, headers={"Idempotency-Key": "k"})
    assert other.json() != first.json()
    assert len(submissions(api)) == 2


async def test_requests_with_one_key_at_the_same_time_make_one_task(api: Site) -> None:
    answers = await asyncio.gather(*(post(api, SYNC, **{"Idempotency-Key": "k"}) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    [task] = {answer.json()["task"] for answer in answers}
    listed = (
        await api.client.get(f"{V3}/tasks/", headers={"Pulp-Min-Position": answers[0].headers["pulp-position"]})
    ).json()
    assert [row["pulp_href"] for row in listed["results"]] == [task]


@pytest.mark.parametrize("is_written", [True, False])
async def test_an_append_whose_outcome_is_not_known_is_repeated_with_its_key(api: Site, is_written: bool) -> None:
    fault = AppendOutcomeUnknown("Kafka did not confirm the event in time")
    api.log.late_fault, api.log.fault = (fault, None) if is_written else (None, fault)
    answer = await post(api, SYNC, **{"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "It is not known whether the request took effect" in answer.json()["detail"]
    assert "repeat it with the same Idempotency-Key" in answer.json()["detail"]
    again = await post(api, SYNC, **{"Idempotency-Key": "k"})
    assert again.status_code == 202
    await api.until(UUID(again.json()["task"].split("/")[-2]), "waiting")
    assert await api.execute("select count(*) from tasks") == [(1,)]


async def test_what_is_durable_is_answered_by_202_whatever_happens_behind_it(api: Site) -> None:
    api.may_project.clear()  # the projector has its own way to go on without Postgres
    api.log.after_append = api.cut_postgres
    answer = await post(api, SYNC, **{"Idempotency-Key": "k"})
    assert answer.status_code == 202
    assert [f"/pulp/api/v3/tasks/{event.task_id}/" for event in api.log.events] == [answer.json()["task"]]


async def test_a_submission_is_accepted_while_the_projection_stands_still(api: Site) -> None:
    api.may_project.clear()
    assert (await post(api, SYNC)).status_code == 202
    assert (await post(api, SYNC, **{"Idempotency-Key": "k"})).status_code == 202
    report = (await api.client.delete(f"{V2}/content/orphans/")).json()
    assert (report["state"], report["task_type"]) == ("waiting", "remove-orphans")


async def test_while_kafka_is_away_writes_are_refused_and_reads_go_on(api: Site) -> None:
    task_id = await api.task()
    api.log.away = True
    refused = [
        await post(api, SYNC),
        await post(api, SYNC, **{"Idempotency-Key": "k"}),
        await api.client.delete(f"{V2}/content/orphans/"),
        await api.client.delete(f"{V2}/tasks/{task_id}/"),
        await api.client.patch(f"{V3}/tasks/{task_id}/", json={"state": "canceled"}),
    ]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in refused] == [(503, "2")] * 5
    for path in (f"{V2}/tasks/", f"{V2}/tasks/{task_id}/", f"{V3}/tasks/", f"{V3}/tasks/{task_id}/"):
        assert (await api.client.get(path)).status_code == 200
    assert (await api.client.get(f"{V3}/tasks/{task_id}/")).headers["pulp-lag"] == "unknown"
    assert (await api.client.get(f"{V3}/tasks/{uuid4()}/")).headers["pulp-lag"] == "unknown"
    api.log.away = False
    assert len(submissions(api)) == 1


async def test_a_queue_that_is_full_is_no_silent_loss(api: Site) -> None:
    api.log.fault = LogUnavailable("the queue of unsent events is full: try again later")
    answer = await post(api, SYNC)
    assert (answer.status_code, answer.json()) == (
        503,
        {"detail": "the queue of unsent events is full: try again later"},
    )


async def test_a_number_of_a_client_is_kept_as_it_was_written(api: Site) -> None:
    body = b'{"operation": "publish", "arguments": {"repo_id": "zoo", "big": 12345678901234567890123, "one": 1.50}}'
    answer = await api.client.post(f"{V3}/tasks/", content=body)
    assert answer.status_code == 202
    assert json.loads(bytes(submissions(api)[0].arguments))["big"] == 12345678901234567890123
    read = await api.client.get(answer.json()["task"])
    assert b'"one": 1.50}' in read.content


async def test_as_many_resources_as_a_submission_may_name_are_accepted(api: Site) -> None:
    """Each adds a tag, and so does the operation; as many as an event takes are created, the operation's among them."""
    resources = [{"type": "t" * 255, "id": f"{number:0255}"} for number in range(100)]
    task_id = await api.submit({"operation": "sync", "resources": resources})
    task = (await api.client.get(f"{V3}/tasks/{task_id}/")).json()
    keys = [f"{item['type']}:{item['id']}" for item in resources]
    assert task["reserved_resources_record"] == keys
    assert task["tags"] == [*(f"pulp:{key}" for key in keys[:99]), "pulp:action:sync"]
    found = await api.client.get(f"{V3}/tasks/", params={"exclusive_resources": keys[99]})
    assert found.json()["count"] == 1


async def test_a_resource_that_is_named_twice_makes_one_tag(api: Site) -> None:
    task_id = await api.submit({"operation": "sync", "resources": [{"type": "repository", "id": "zoo"}] * 2})
    task = (await api.client.get(f"{V3}/tasks/{task_id}/")).json()
    assert task["tags"] == ["pulp:repository:zoo", "pulp:action:sync"]


@operation("stubborn", retries=3, backoff_s=2.5, max_backoff_s=60, deadline_s=3600)
async def stubborn(context: Context) -> None:
    """Declares retries and a deadline."""


DECLARED = Retry(3, 2.5, 60)


@pytest.mark.parametrize(
    ("given", "retry", "deadline"),
    [
        ({}, DECLARED, 3600),
        ({"retry": {"retries": 1}}, Retry(1, 10, 600), 3600),
        ({"retry": {"retries": 100, "backoff_seconds": 0, "max_backoff_seconds": 0.5}}, Retry(100, 0, 0.5), 3600),
        ({"retry": {"retries": 0}, "deadline_seconds": 60}, UNSET, 60),
        ({"retry": None, "deadline_seconds": None}, UNSET, UNSET),
    ],
)
async def test_retries_and_deadline_are_those_of_the_submission_or_else_of_the_operation(
    api: Site, given: dict[str, Any], retry: Retry | UnsetType, deadline: int | UnsetType
) -> None:
    await declare(api.database, stubborn)
    answer = await post(api, {"operation": "stubborn", **given})
    assert answer.status_code == 202
    [submitted] = submissions(api)
    assert (submitted.retry, submitted.deadline_seconds) == (retry, deadline)
    task = (await api.client.get(answer.json()["task"])).json()
    assert task["retry"] == (None if retry is UNSET else msgspec.to_builtins(retry))
    assert task["deadline_seconds"] == (None if deadline is UNSET else deadline)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"retry": {}}, "retry.retries is required"),
        ({"retry": {"retries": 101}}, "retry.retries must be a whole number of at most 100"),
        ({"retry": {"retries": 1, "backoff_seconds": -1}}, "retry.backoff_seconds must be a number of at least 0"),
        (
            {"retry": {"retries": 1, "max_backoff_seconds": 86_401}},
            "retry.max_backoff_seconds must be a number of at most 86400",
        ),
        ({"deadline_seconds": 0}, "deadline_seconds must be a whole number of at least 1"),
    ],
)
async def test_retries_and_deadlines_have_bounds(api: Site, given: dict[str, Any], where: str) -> None:
    await declare(api.database, stubborn)
    answer = await post(api, {"operation": "stubborn", **given})
    assert answer.status_code == 400
    assert where in answer.text
    assert submissions(api) == []


async def test_what_an_operation_declares_of_retries_is_shown(api: Site) -> None:
    await declare(api.database, stubborn)
    found = (await api.client.get(f"{V3}/operations/stubborn/")).json()
    assert (found["retry"], found["deadline_seconds"]) == (msgspec.to_builtins(DECLARED), 3600)
