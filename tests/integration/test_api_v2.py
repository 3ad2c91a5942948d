"""The Pulp 2 dialect over a real Postgres: what the original `pulp-admin` reads, in the fields of 2.0 and of 2.21."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from pulp_events.events import Accepted, Access, Outcome, Resource, Retry, TaskError

from tests.support.events import ATTEMPT, accepted, attempt_failed, cancel_requested, finished, progress, started
from tests.support.site import V2, Site

CALL_REPORT_2_0 = {
    "call_request_id", "call_request_group_id", "call_request_tags", "schedule_id", "principal_login", "response",
    "reasons", "state", "progress", "dependency_failures", "result", "exception", "traceback", "start_time",
    "finish_time", "task_id", "task_group_id", "tags",
}  # fmt: skip
TASK_REPORT_2_21 = {
    "task_id", "state", "task_type", "tags", "progress_report", "result", "error", "exception", "traceback",
    "start_time", "finish_time", "worker_name", "queue", "spawned_tasks", "id", "_id", "_ns",
}  # fmt: skip
OWN = {"cancelling", "submit_time", "attempt", "failed_attempts", "retry_at"}
UNKNOWN = "e0e0a250-eded-468f-9d97-0419a00b130e"


async def get(api: Site, path: str, **params: Any) -> Any:
    answer = await api.client.get(f"{V2}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ids(api: Site, **params: Any) -> list[str]:
    return [report["task_id"] for report in await get(api, "tasks/", **params)]


async def search(api: Site, **criteria: Any) -> list[dict[str, Any]]:
    answer = await api.client.post(f"{V2}/tasks/search/", json={"criteria": criteria})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def oid(task_id: object) -> str:
    """An id like MongoDB's: 24 hexadecimal digits."""
    return str(task_id).replace("-", "")[:24]


def ids_of(task_id: object) -> dict[str, Any]:
    """The fields of a task that a search returns whatever fields it requests."""
    return {
        **dict.fromkeys(("id", "task_id"), str(task_id)),
        "_href": f"/pulp/api/v2/tasks/{task_id}/",
        "_id": {"$oid": oid(task_id)},
        "_ns": "task_status",
    }


def not_null(report: dict[str, Any]) -> dict[str, Any]:
    """The fields with a value; the others are there as well, and null."""
    assert report.keys() == CALL_REPORT_2_0 | TASK_REPORT_2_21 | OWN | {"_href"}
    return {name: value for name, value in report.items() if value is not None}


async def test_a_report_has_the_fields_of_both_releases(api: Site) -> None:
    group, child = uuid4(), uuid4()
    event = accepted(tags=("pulp:repository:zoo", "pulp:action:sync"), group_id=group)
    await api.add(event, 1)
    await api.add(accepted(child, parent_id=event.task_id), 2)
    await api.add(started(), 1)
    await api.add(progress(value={"yum_importer": {"state": "FAILED"}}), 1)
    error = TaskError("operation-failed", "no route", 'Traceback:\n  File "a"\nOSError: no route')
    await api.add(finished(error=error, outcome=Outcome.FAILED), 1)

    task_id = str(event.task_id)
    report = await get(api, f"tasks/{task_id}/")
    assert report.keys() == CALL_REPORT_2_0 | TASK_REPORT_2_21 | OWN | {"_href", "rerun_of", "reruns"}
    assert report == {
        "_href": f"/pulp/api/v2/tasks/{task_id}/",
        "call_request_id": task_id,
        "call_request_group_id": str(group),
        "call_request_tags": ["pulp:repository:zoo", "pulp:action:sync"],
        "schedule_id": None,
        "principal_login": "admin",
        "response": "accepted",
        "reasons": [],
        "state": "error",
        "progress": {"yum_importer": {"state": "FAILED"}},
        "dependency_failures": {},
        "result": None,
        "exception": "OSError",
        "traceback": 'Traceback:\n  File "a"\nOSError: no route',
        "start_time": "2023-11-14T22:13:23Z",  # the broker's clock shows a second more with each event
        "finish_time": "2023-11-14T22:13:25Z",
        "task_id": task_id,
        "task_group_id": str(group),
        "tags": ["pulp:repository:zoo", "pulp:action:sync"],
        "task_type": "sync",
        "progress_report": {"yum_importer": {"state": "FAILED"}},
        "error": {
            "code": "operation-failed",
            "description": "no route",
            "traceback": 'Traceback:\n  File "a"\nOSError: no route',
            "data": {},
            "sub_errors": [],
        },
        "worker_name": "w1",
        "queue": "default",
        "spawned_tasks": [{"_href": f"/pulp/api/v2/tasks/{child}/", "task_id": str(child)}],
        "id": task_id,
        "_id": {"$oid": oid(task_id)},
        "_ns": "task_status",
        "cancelling": False,
        "rerun_of": None,
        "reruns": [],
        "submit_time": report["submit_time"],
        "attempt": 1,
        "failed_attempts": 0,
        "retry_at": None,
    }
    assert report["submit_time"] <= report["start_time"]


async def test_between_two_attempts_a_task_waits_as_before_the_first_one_and_tells_when_the_next_may_begin(
    api: Site,
) -> None:
    task_id = await api.task(retry=Retry(1, 3600, 3600))
    partition = api.partition_of(task_id)
    before = await get(api, f"tasks/{task_id}/")
    assert [before[name] for name in ("attempt", "failed_attempts", "retry_at")] == [0, 0, None]
    await api.add(started(task_id), partition)
    await api.add(attempt_failed(task_id, retry_at=datetime(2023, 11, 14, 22, 30, 0, 789_000, UTC)), partition)
    report = await get(api, f"tasks/{task_id}/")
    changed = {name: value for name, value in report.items() if value != before[name]}
    # Clients of Pulp 2 see the same as before the first attempt, so they go on waiting.
    assert changed == {"attempt": 1, "failed_attempts": 1, "retry_at": "2023-11-14T22:30:00Z"}
    assert report["state"] == "waiting"
    for [shown] in (await get(api, "tasks/"), await search(api, filters={"state": "waiting"})):
        assert (shown["attempt"], shown["failed_attempts"], shown["retry_at"]) == (1, 1, "2023-11-14T22:30:00Z")
    [narrow] = await search(api, fields=["retry_at"])
    assert (narrow["retry_at"], narrow["attempt"]) == ("2023-11-14T22:30:00Z", None)

    await api.add(started(task_id, attempt=2, attempt_id=uuid4()), partition)
    again = await get(api, f"tasks/{task_id}/")
    assert [again[name] for name in ("state", "attempt", "failed_attempts", "retry_at")] == ["running", 2, 1, None]


async def test_reports_of_lists_and_searches_have_their_address(api: Site) -> None:
    task_id = await api.task()
    for [report] in (await get(api, "tasks/"), await search(api), await search(api, fields=["state"])):
        assert report.keys() == CALL_REPORT_2_0 | TASK_REPORT_2_21 | OWN | {"_href"}
        assert report["_href"] == f"/pulp/api/v2/tasks/{task_id}/"


async def states(api: Site) -> dict[str, UUID]:
    """A task in every state, oldest first."""
    words = ("waiting", "cancelling before", "running", "cancelling", "successful", "failed", "cancelled", "skipped")
    found = {word: uuid4() for word in words}
    for word, task_id in found.items():
        await api.add(accepted(task_id, operation=word), 0)
        if word in ("running", "cancelling", "successful", "failed", "cancelled"):
            await api.add(started(task_id), 0)
        if word.startswith("cancelling"):
            await api.add(cancel_requested(task_id), 0)
        if word in set(Outcome):
            attempt = None if word == "skipped" else ATTEMPT
            await api.add(finished(task_id, outcome=Outcome(word), attempt_id=attempt), 0)
    return found


async def test_pulps_word_for_each_state(api: Site) -> None:
    await states(api)
    shown = {report["task_type"]: (report["state"], report["cancelling"]) for report in await get(api, "tasks/")}
    assert shown == {
        "waiting": ("waiting", False),
        "cancelling before": ("waiting", True),
        "running": ("running", False),
        "cancelling": ("running", True),
        "successful": ("finished", False),
        "failed": ("error", False),
        "cancelled": ("canceled", False),
        "skipped": ("skipped", False),
    }


async def test_the_list_is_in_the_order_of_submission_and_filtered(api: Site) -> None:
    a, b, c = uuid4(), uuid4(), uuid4()
    await api.add(accepted(a, tags=("x", "y")), 2)
    await api.add(accepted(b, tags=("y",)), 0)
    await api.add(accepted(c, tags=("x", "z")), 1)
    assert await ids(api) == [str(a), str(b), str(c)]
    assert await ids(api, tag="x") == [str(a), str(c)]
    assert await ids(api, tag=["x", "y"]) == [str(a)]
    assert await ids(api, tag="w") == []
    assert await ids(api, id=[str(c), str(b), "nonsense"]) == [str(b), str(c)]
    assert await ids(api, id="nonsense") == []
    assert await ids(api, tag="x", id=str(c)) == [str(c)]
    assert await ids(api, limit=1, skip=1) == [str(b)]
    answer = await api.client.get(f"{V2}/tasks/")
    assert answer.headers["pulp-position"] == "0:0,1:0,2:0"


async def test_the_list_is_narrowed_by_what_a_task_does_for_whom_where_and_on_what(api: Site) -> None:
    a, b = uuid4(), uuid4()
    zoo = Resource("repository", "zoo", Access.SHARED)
    await api.add(accepted(a, operation="remove-orphans", tags=("pulp:content_unit:orphans",)), 0)
    await api.add(replace(accepted(b, operation="sync", queue="slow", resources=(zoo,)), actor="user:jo"), 0)
    await api.add(started(b, worker="w1"), 0)
    assert await ids(api, operation="remove-orphans") == [str(a)]
    assert await ids(api, operation=["remove-orphans", "sync"]) == [str(a), str(b)]
    assert await ids(api, queue="slow") == [str(b)]
    assert await ids(api, worker="w1") == [str(b)]
    assert await ids(api, user="jo") == [str(b)]
    assert await ids(api, user="user:jo") == []
    assert await ids(api, resource="repository:zoo") == [str(b)]
    assert await ids(api, resource="content_unit:orphans") == [str(a)]
    assert await ids(api, resource="zoo") == []
    assert await ids(api, operation="sync", user="admin") == []
    assert await ids(api, since="2000-01-01T00:00:00Z", until="2100-01-01T00:00:00+02:00") == [str(a), str(b)]
    assert await ids(api, since="2100-01-01T00:00:00Z") == []
    assert await ids(api, until="2000-01-01T00:00:00Z") == []
    for name in ("since", "until"):
        answer = await api.client.get(f"{V2}/tasks/", params={name: "2000-01-01T00:00:00"})
        assert (answer.status_code, answer.json()["error_message"].startswith(f"{name}=2000-01")) == (400, True)


async def test_a_task_that_is_cancelling_is_found_by_that_word(api: Site) -> None:
    made = await states(api)
    assert await ids(api, state="cancelling") == [str(made["cancelling before"]), str(made["cancelling"])]


async def test_each_state_is_found_by_pulps_word_for_it(api: Site) -> None:
    made = {word: str(task_id) for word, task_id in (await states(api)).items()}
    expected = {
        "waiting": ["waiting", "cancelling before"],
        "running": ["running", "cancelling"],
        "finished": ["successful"],
        "error": ["failed"],
        "canceled": ["cancelled"],
        "skipped": ["skipped"],
    }
    for word, names in expected.items():
        wanted = [made[name] for name in names]
        assert await ids(api, state=word) == wanted, word
        assert [report["task_id"] for report in await search(api, filters={"state": word})] == wanted
        answer = await get(api, "tasks/search/", filters=json.dumps({"state": {"$in": [word]}}))
        assert [report["task_id"] for report in answer] == wanted
    assert len(await ids(api, state=["waiting", "running", "error"])) == 5


async def test_a_search_sorts_cuts_and_picks(api: Site) -> None:
    group = uuid4()
    made = [uuid4() for _ in range(4)]
    for number, task_id in enumerate(made):
        await api.add(accepted(task_id, tags=(f"t{number % 2}",), group_id=group if number else None), number)
    await api.add(started(made[2]), 2)

    async def found(**criteria: Any) -> list[int]:
        return [made.index(UUID(report["task_id"])) for report in await search(api, **criteria)]

    assert await found() == [0, 1, 2, 3]
    assert await found(sort=[["id", "descending"]]) == [3, 2, 1, 0]
    assert await found(sort=[["id", "descending"]], limit=2, skip=1) == [2, 1]
    assert await found(sort=[["start_time", "descending"], ["id", "ascending"]]) == [2, 0, 1, 3]
    assert await found(filters={"group_id": None}) == [0]
    assert await found(filters={"group_id": str(group), "tags": {"$in": ["t1"]}}) == [1, 3]
    assert await found(filters={"task_id": {"$in": [str(made[3]), "nonsense"]}}) == [3]
    [first] = await search(api, fields=["state"], limit=1)
    assert not_null(first) == {**ids_of(made[0]), "state": "waiting"}
    query = {"sort": '[["id", "descending"]]', "limit": "1", "skip": "1", "field": ["task_id", "tags"]}
    [picked] = await get(api, "tasks/search/", **query)
    assert not_null(picked) == {**ids_of(made[2]), "tags": ["pulp:tag:t0"]}


UNUSABLE_SEARCHES: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"[]", "must be a JSON object"),
    (b"{}", "needs an object 'criteria'"),
    (b"\xff", "not JSON"),
    (b'{"criteria": {"bogus": 1}}', "unknown key bogus"),
    (b'{"criteria": {"filters": [1]}}', "criteria.filters: an object of FIELD: VALUE is expected"),
    (b'{"criteria": {"filters": {"state": "nope"}}}', "unknown state nope; known are: waiting, running"),
    (
        b'{"criteria": {"filters": {"state": {"$near": "running"}}}}',
        "state: unknown operator $near; there are $eq, $ne",
    ),
    (b'{"criteria": {"filters": {"state": {"$in": "error"}}}}', "state: a list is expected"),
    (b'{"criteria": {"filters": {"state": {}}}}', "state: a text is expected"),
    (b'{"criteria": {"filters": {"state": 1}}}', "state: a text is expected"),
    (b'{"criteria": {"filters": {"$where": "sleep(1)"}}}', "unknown operator $where"),
    (b'{"criteria": {"filters": {"$and": []}}}', "$and: a list of filters is expected"),
    (b'{"criteria": {"filters": {"worker": "x"}}}', "worker: no such field; these can be searched: id, _id, task_id"),
    (b'{"criteria": {"filters": {"result": "x"}}}', "result: it can only be searched by null and $exists"),
    (b'{"criteria": {"filters": {"start_time": "noon"}}}', "start_time: 'noon' is not a time"),
    (b'{"criteria": {"filters": {"tags": {"$regex": "("}}}}', "a value cannot be used: invalid regular expression"),
    (b'{"criteria": {"filters": {"tags": {"$regex": "a", "$options": "g"}}}}', "$options: g: only the letters"),
    (b'{"criteria": {"sort": [["id"]]}}', "a list of [FIELD, ascending or descending]"),
    (b'{"criteria": {"sort": [["password", "ascending"]]}}', "a list of [FIELD, ascending or descending]"),
    (b'{"criteria": {"limit": 0}}', "criteria.limit"),
    (b'{"criteria": {"limit": true}}', "criteria.limit"),
    (b'{"criteria": {"skip": -1}}', "criteria.skip"),
    (b'{"criteria": {"skip": 99999999999999999999}}', "criteria.skip"),
    (b'{"criteria": {"fields": "state"}}', "criteria.fields"),
    (b'{"criteria": {"filters": {"tags": "a\\u0000"}}}', "a value cannot be used"),
]


async def test_what_cannot_be_used_is_answered_by_400_and_a_reason(api: Site) -> None:
    for body, text in UNUSABLE_SEARCHES:
        answer = await api.client.post(f"{V2}/tasks/search/", content=body)
        assert (answer.status_code, answer.json()["http_status"]) == (400, 400), body
        assert text in answer.json()["error_message"], body
    for query in ("filters=x", "sort=[", "filters=[1]", "limit=x", "limit=0", 'skip="1"', "state=running"):
        answer = await api.client.get(f"{V2}/tasks/search/?{query}")
        assert (answer.status_code, answer.json()["http_status"]) == (400, 400), query
    for query in ("state=nope", "limit=0", "skip=-1", "limit=x"):
        answer = await api.client.get(f"{V2}/tasks/?{query}")
        assert (answer.status_code, answer.json()["http_status"]) == (400, 400), query


async def test_a_task_that_is_not_there(api: Site) -> None:
    for text in (UNKNOWN, "nonsense"):
        message = f"Missing resource(s): resource_id={text}"
        answer = await api.client.get(f"{V2}/tasks/{text}/")
        assert answer.status_code == 404
        assert answer.json() == {
            "_href": f"/pulp/api/v2/tasks/{text}/",
            "http_status": 404,
            "http_request_method": "GET",
            "error_message": message,
            "exception": None,
            "traceback": None,
            "error": {
                "code": "PLP0009",
                "description": message,
                "data": {"resources": {"resource_id": text}},
                "sub_errors": [],
            },
            "resources": {"resource_id": text},  # without it the original client dies
        }


async def test_other_errors_speak_the_dialect(api: Site) -> None:
    answer = await api.client.get(f"{V2}/nothing/")
    assert (answer.status_code, answer.json()["resources"]) == (404, {"path": "/pulp/api/v2/nothing/"})
    answer = await api.client.put(f"{V2}/tasks/{UNKNOWN}/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, DELETE, HEAD")
    assert answer.json()["error_message"] == 'Method "PUT" not allowed.'
    answer = await api.client.get(f"{V2}/tasks/", headers={"Pulp-Min-Position": "x"})
    assert (answer.status_code, answer.json()["http_status"]) == (400, 400)


async def test_head_is_get_without_the_body(api: Site) -> None:
    task_id = await api.task()
    for path in (f"tasks/{task_id}/", "tasks/"):
        head, full = await api.client.head(f"{V2}/{path}"), await api.client.get(f"{V2}/{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(full.content))
    assert (await api.client.head(f"{V2}/tasks/{UNKNOWN}/")).status_code == 404


async def test_work_on_content_and_repositories_is_answered_by_its_call_report(api: Site) -> None:
    answer = await api.client.delete(f"{V2}/content/orphans/")
    assert answer.status_code == 202
    report = answer.json()
    assert report.keys() == CALL_REPORT_2_0 | TASK_REPORT_2_21 | OWN | {"_href"}
    assert (report["state"], report["tags"]) == ("waiting", ["pulp:content_unit:orphans"])
    assert report["_href"] == f"/pulp/api/v2/tasks/{report['task_id']}/"
    assert report["spawned_tasks"] == [{"_href": report["_href"], "task_id": report["task_id"]}]

    config = {"feed": "http://127.0.0.1/zoo/"}
    url = f"{V2}/repositories/zoo/actions"
    report = (await api.client.post(f"{url}/sync/", json={"override_config": config})).json()
    assert report["tags"] == ["pulp:repository:zoo", "pulp:action:sync"]
    published = await api.client.post(f"{url}/publish/")
    assert (published.status_code, published.json()["tags"]) == (202, ["pulp:repository:zoo"])
    for path, body in (("bogus/", {}), ("sync/", {"override_config": 1}), ("sync/", [])):
        refused = await api.client.post(f"{url}/{path}", json=body)
        assert (refused.status_code, refused.json()["http_status"]) == (400, 400)
    made = {event.data.operation: event.data for event in api.log.events if isinstance(event.data, Accepted)}
    assert sorted(made) == ["publish", "remove-orphans", "sync"]
    assert json.loads(bytes(made["sync"].arguments)) == {"repo_id": "zoo", **config}
    assert json.loads(bytes(made["publish"].arguments)) == {"repo_id": "zoo"}
