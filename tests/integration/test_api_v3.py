"""The Pulp 3 dialect over a real Postgres: each of Pulp's answers and bodies, and what only this service has."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec import Raw
from pulp_events.events import Access, Outcome, Resource, TaskError

from tests.support.assigned import assign
from tests.support.events import ATTEMPT, accepted, cancel_requested, finished, progress, started
from tests.support.site import START_MS, V3, Site

ID = "e0e0a250-eded-468f-9d97-0419a00b130f"
ZOO, BAR = Resource("repository", "zoo"), Resource("repository", "bar", Access.SHARED)

# Pulp 3.123.1's 22 fields, in its order.
PULP_FIELDS = [
    "pulp_href",
    "prn",
    "pulp_created",
    "pulp_last_updated",
    "state",
    "name",
    "logging_cid",
    "created_by",
    "unblocked_at",
    "started_at",
    "finished_at",
    "error",
    "worker",
    "parent_task",
    "child_tasks",
    "task_group",
    "progress_reports",
    "created_resources",
    "created_resource_prns",
    "reserved_resources_record",
    "result",
    "pulp_api_version",
]
MINIMAL = [
    "pulp_href",
    "prn",
    "pulp_created",
    "pulp_last_updated",
    "pulp_api_version",
    "name",
    "state",
    "unblocked_at",
    "started_at",
    "finished_at",
    "worker",
]


async def get(api: Site, path: str, **params: Any) -> Any:
    answer = await api.client.get(f"{V3}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def time_of(seconds: int) -> str:
    """The broker's time of the n-th record, as Pulp 3 writes times."""
    return datetime.fromtimestamp(START_MS / 1000 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def test_a_task_has_pulps_fields_in_pulps_order_and_then_its_own(api: Site) -> None:
    parent = uuid4()
    await api.add(accepted(parent), 0)
    arguments, cid = Raw(b'{"repo_id": "zoo",  "n": 1.50}'), str(uuid4())
    event = accepted(
        operation="sync", resources=(ZOO, BAR), arguments=arguments, tags=("a",), parent_id=parent, priority=7
    )
    await api.add(msgspec.structs.replace(event, correlation_id=cid), 2)
    await api.add(started(), 2)
    parts = {"yum_importer": {"content": {"items_total": 37, "items_left": 6, "num_success": 31}, "state": "X"}}
    await api.add(progress(value=parts), 2)
    await api.add(finished(error=TaskError("operation-failed", "no", "trace"), outcome=Outcome.FAILED), 2)

    task = await get(api, f"tasks/{event.task_id}/")

    assert list(task)[:22] == PULP_FIELDS
    assert task == {
        "pulp_href": f"/pulp/api/v3/tasks/{event.task_id}/",
        "prn": f"prn:core.task:{event.task_id}",
        "pulp_created": time_of(2),
        "pulp_last_updated": time_of(5),
        "state": "failed",
        "name": "sync",
        "logging_cid": cid,
        "created_by": "/pulp/api/v3/users/admin/",
        "unblocked_at": time_of(2),
        "started_at": time_of(3),
        "finished_at": time_of(5),
        "error": {"traceback": "trace", "error_code": "operation-failed", "description": "no"},
        "worker": None,
        "parent_task": f"/pulp/api/v3/tasks/{parent}/",
        "child_tasks": [],
        "task_group": None,
        "progress_reports": [
            {
                "message": "yum importer content",
                "code": "yum_importer.content",
                "state": "failed",
                "total": 37,
                "done": 31,
                "suffix": None,
            }
        ],
        "created_resources": [],
        "created_resource_prns": [],
        "reserved_resources_record": ["repository:zoo", "shared:repository:bar"],
        "result": None,
        "pulp_api_version": "v3",
        "arguments": {"repo_id": "zoo", "n": 1.5},
        "resources": [
            {"type": "repository", "id": "zoo", "access": "exclusive"},
            {"type": "repository", "id": "bar", "access": "shared"},
        ],
        "tags": ["a"],
        "queue": "default",
        "priority": 7,
        "depends_on": [],
        "timeout_seconds": None,
        "retry": None,
        "deadline_seconds": None,
        "cancellable": True,
        "cancel_requested_at": None,
        "attempt": 1,
        "failed_attempts": 0,
        "retry_at": None,
        "worker_name": "w1",
        "progress": parts,
        "version": 4,
        "position": "2:3",
        "rerun_of": None,
        "reruns": [],
        "waiting_for": None,
    }
    assert (await get(api, f"tasks/{parent}/"))["child_tasks"] == [task["pulp_href"]]
    assert await get(api, f"tasks/{event.task_id}/progress/") == parts


async def test_json_of_a_client_comes_back_byte_by_byte(api: Site) -> None:
    event = accepted(arguments=Raw(b'{"b": 1.50, "a":1e2,\n "c": 12345678901234567890123}'))
    await api.add(event)
    answer = await api.client.get(f"{V3}/tasks/{event.task_id}/")
    assert b'"arguments":{"b": 1.50, "a":1e2,\n "c": 12345678901234567890123},' in answer.content


async def states(api: Site) -> dict[str, UUID]:
    """A task in every state, oldest first."""
    found = {}
    for index, word in enumerate(("waiting", "running", "canceling", "completed", "failed", "canceled", "skipped")):
        task_id = await api.task(f"op-{index}", resources=(ZOO,) if index % 2 else (BAR,))
        partition = api.partition_of(task_id, ZOO if index % 2 else BAR)
        if word in ("running", "completed", "failed"):
            await api.add(started(task_id), partition)
        if word in ("canceling", "canceled"):
            await api.add(cancel_requested(task_id), partition)
        outcome = {"completed": "successful", "canceled": "cancelled"}.get(word, word)
        if word in ("completed", "failed", "canceled", "skipped"):
            attempt = ATTEMPT if word in ("completed", "failed") else None
            await api.add(finished(task_id, outcome=Outcome(outcome), attempt_id=attempt), partition)
        found[word] = task_id
    return found


async def names(api: Site, **params: Any) -> list[str]:
    page = await get(api, "tasks/", **{"ordering": "pulp_created", **params})
    assert page["count"] == len(page["results"])
    return [task["name"] for task in page["results"]]


async def test_filters(api: Site) -> None:
    made = await states(api)
    everything = [f"op-{index}" for index in range(7)]
    created = {task["name"]: task["pulp_created"] for task in (await get(api, "tasks/"))["results"]}
    assert await names(api) == everything
    for index, word in enumerate(made):
        assert await names(api, state=word) == [f"op-{index}"]
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({"state__in": "waiting,nope,skipped"}, ["op-0", "op-6"]),
        ({"state__in": ["waiting", "failed"]}, ["op-0", "op-4"]),
        ({"state__ne": "waiting"}, everything[1:]),
        ({"name": "op-3"}, ["op-3"]),
        ({"name__contains": "OP"}, []),
        ({"name__contains": "-3"}, ["op-3"]),
        ({"name__in": "op-1,op-2"}, ["op-1", "op-2"]),
        ({"name__ne": "op-1", "state__in": "running,canceling"}, ["op-2"]),
        ({"exclusive_resources": "repository:zoo"}, ["op-1", "op-3", "op-5"]),
        ({"shared_resources": "repository:bar"}, ["op-0", "op-2", "op-4", "op-6"]),
        ({"reserved_resources": "repository:bar"}, ["op-0", "op-2", "op-4", "op-6"]),
        ({"reserved_resources": "repository:none"}, []),
        ({"reserved_resources__in": "repository:zoo,repository:bar"}, []),
        ({"exclusive_resources__in": "repository:zoo"}, ["op-1", "op-3", "op-5"]),
        ({"exclusive_resources": "repository:zoo", "state": "failed"}, []),
        ({"exclusive_resources": "repository:zoo", "state": "completed"}, ["op-3"]),
        ({"exclusive_resources": "repository:zoo", "shared_resources": "repository:bar"}, []),
        ({"q": "exclusive_resources=repository:zoo"}, ["op-1", "op-3", "op-5"]),
        ({"q": "NOT exclusive_resources=repository:zoo"}, ["op-0", "op-2", "op-4", "op-6"]),
        ({"q": "exclusive_resources=repository:zoo OR state=failed"}, ["op-1", "op-3", "op-4", "op-5"]),
        ({"q": "exclusive_resources=repository:zoo", "exclusive_resources": "repository:bar"}, []),
        ({"pulp_id__in": f"{made['running']},{made['failed']}"}, ["op-1", "op-4"]),
        ({"pulp_id__startswith": str(made["running"])[:20]}, ["op-1"]),
        ({"pulp_id__startswith": made["running"].hex.upper()}, ["op-1"]),
        ({"q": f"pulp_id__startswith={str(made['running'])[:20]} OR state=failed"}, ["op-1", "op-4"]),
        ({"prn__in": f"prn:core.task:{made['running']}"}, ["op-1"]),
        ({"pulp_href__in": f"/pulp/api/v3/tasks/{made['running']}/"}, ["op-1"]),
        ({"started_at__isnull": "true", "finished_at__isnull": "false"}, ["op-5", "op-6"]),
        ({"pulp_created__lt": created["op-2"]}, ["op-0", "op-1"]),
        ({"pulp_created__lte": created["op-2"]}, ["op-0", "op-1", "op-2"]),
        ({"pulp_created": created["op-2"]}, ["op-2"]),
        ({"pulp_created__gt": created["op-4"]}, ["op-5", "op-6"]),
        ({"pulp_created__gte": created["op-4"], "pulp_created__lt": created["op-6"]}, ["op-4", "op-5"]),
        ({"pulp_created__range": f"{created['op-1']},{created['op-2']}"}, ["op-1", "op-2"]),
        ({"worker": "anything"}, []),
        ({"logging_cid__contains": "x"}, []),
        ({"task_group": f"/pulp/api/v3/task-groups/{uuid4()}/"}, []),
    ]
    for params, expected in wanted:
        assert await names(api, **params) == expected, params


async def test_filters_without_a_value_and_flags_that_are_none_are_ignored(api: Site) -> None:
    await states(api)
    everything = [f"op-{index}" for index in range(7)]
    for name in ("name", "name__contains", "name__in", "state", "state__in", "logging_cid", "q"):
        assert await names(api, **{name: ""}) == everything, name
    for name in ("started_at", "started_at__gte", "started_at__range", "reserved_resources__in", "started_at__isnull"):
        assert await names(api, **{name: ""}) == everything, name
    for name in ("reserved_resources", "exclusive_resources", "shared_resources"):  # the resource without a name
        assert await names(api, **{name: ""}) == [], name
    assert await names(api, started_at__isnull="garbage", format="json", page_size="") == everything
    assert await names(api, q="name='' AND state=failed") == ["op-4"]
    for name in ("pulp_id__in", "pulp_href__in", "prn__in"):
        assert await names(api, **{name: ""}) == [], name
    assert (await api.client.get(f"{V3}/tasks/", params={"format": "xml"})).status_code == 404


async def test_what_uses_several_resources_is_found_by_each_and_by_all(api: Site) -> None:
    shared_zoo = Resource("repository", "zoo", Access.SHARED)
    for name, uses in (
        ("none", ()),
        ("zoo", (ZOO,)),
        ("twice", (ZOO, ZOO)),
        ("both ways", (ZOO, shared_zoo)),
        ("shared", (shared_zoo,)),
        ("two", (ZOO, BAR)),
        ("three", (BAR, shared_zoo, Resource("repository", "qux"))),
    ):
        await api.task(name, resources=uses)
    zoo, both = "repository:zoo", "repository:zoo,repository:bar"
    for params, expected in (
        ({"exclusive_resources": zoo}, ["zoo", "twice", "both ways", "two"]),
        ({"shared_resources": zoo}, ["both ways", "shared", "three"]),
        ({"reserved_resources": zoo}, ["zoo", "twice", "both ways", "shared", "two", "three"]),
        ({"reserved_resources__in": zoo}, ["zoo", "twice", "both ways", "shared", "two", "three"]),
        ({"reserved_resources__in": both}, ["two", "three"]),
        ({"shared_resources__in": both}, ["three"]),
        ({"shared_resources__in": f"{both},{zoo}", "exclusive_resources": "repository:qux"}, ["three"]),
        ({"exclusive_resources__in": both}, []),
        ({"exclusive_resources__in": "repository:qux"}, ["three"]),
        ({"exclusive_resources__in": ""}, ["none", "zoo", "twice", "both ways", "shared", "two", "three"]),
        ({"q": f"reserved_resources={zoo} AND NOT exclusive_resources={zoo}"}, ["shared", "three"]),
        ({"q": f"reserved_resources={zoo} AND reserved_resources=repository:bar AND name=two"}, ["two"]),
        ({"q": f"exclusive_resources=repository:qux OR shared_resources={zoo}"}, ["both ways", "shared", "three"]),
        ({"q": f"NOT (shared_resources={zoo} OR name=zoo)"}, ["none", "twice", "two"]),
        ({"exclusive_resources__in": f"{zoo},{zoo},{zoo},{zoo}"}, ["zoo", "twice", "both ways", "two"]),
        ({"reserved_resources__in": f"repository:qux,{both},{zoo}"}, ["three"]),
        ({"reserved_resources__in": f"repository:qux,{both},repository:x"}, []),
    ):
        assert await names(api, **params) == expected, params


async def test_the_pages_of_a_resource_are_in_the_order_of_acceptance(api: Site) -> None:
    for number in range(5):
        await api.task(f"op-{number}", resources=(ZOO,))
    for order, expected in (
        ("-pulp_created", ["op-4", "op-3", "op-2", "op-1", "op-0"]),
        ("pulp_created", ["op-0", "op-1", "op-2", "op-3", "op-4"]),
        ("state,-name", ["op-4", "op-3", "op-2", "op-1", "op-0"]),
    ):
        params = {"exclusive_resources": "repository:zoo", "ordering": order, "limit": 2}
        pages = [await get(api, "tasks/", **params, offset=offset) for offset in (0, 2, 4)]
        assert [task["name"] for page in pages for task in page["results"]] == expected, order
        assert [page["count"] for page in pages] == [5, 5, 5]


async def test_relations_can_be_filtered(api: Site) -> None:
    group, parent = uuid4(), await api.task("parent")
    child = await api.task("child", parent_id=parent, group_id=group)
    for text in (str(parent), f"/pulp/api/v3/tasks/{parent}/", f"prn:core.task:{parent}"):
        assert await names(api, parent_task=text) == ["child"]
    assert await names(api, child_tasks=f"/pulp/api/v3/tasks/{child}/") == ["parent"]
    assert await names(api, task_group=f"/pulp/api/v3/task-groups/{group}/") == ["child"]


async def test_ordering_and_pages(api: Site) -> None:
    await states(api)
    newest_first = [f"op-{index}" for index in reversed(range(7))]
    assert await names(api, ordering="") == newest_first
    assert await names(api, ordering="-name") == newest_first
    assert await names(api, ordering="state,-name", state__in="waiting,skipped") == ["op-6", "op-0"]
    assert (await names(api, ordering="started_at,name"))[:3] == ["op-1", "op-3", "op-4"]  # NULL comes after all times
    assert (await names(api, ordering="-started_at,name"))[-3:] == ["op-4", "op-3", "op-1"]
    by_word = ["canceled", "canceling", "completed", "failed", "running", "skipped", "waiting"]
    assert [task["state"] for task in (await get(api, "tasks/", ordering="state"))["results"]] == by_word
    assert await names(api, ordering="immediate,-versions,result") == newest_first

    pages, url = [], f"{V3}/tasks/?limit=3&name__contains=op"
    while url:
        page = (await api.client.get(url)).json()
        assert page["count"] == 7
        pages.append([task["name"] for task in page["results"]])
        last, url = page, page["next"]
    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert last["previous"].startswith("http://pulp/pulp/api/v3/tasks/?name__contains=op")
    back = (await api.client.get(last["previous"])).json()
    assert [task["name"] for task in back["results"]] == newest_first[3:6]
    assert back["previous"] == "http://pulp/pulp/api/v3/tasks/?name__contains=op&limit=3"
    for odd in ("0", "x", "-1", "9" * 30):
        assert len((await get(api, "tasks/", limit=odd))["results"]) == 7


async def test_fields(api: Site) -> None:
    task_id = await api.task()
    url = f"tasks/{task_id}/"
    assert list(await get(api, url, fields="state,name")) == ["state", "name"]
    assert list(await get(api, url, fields=["state", "name"])) == ["state", "name"]
    assert await get(api, url, fields="nosuch") == {}
    assert "result" not in await get(api, url, exclude_fields="result,error")
    assert sorted(await get(api, url, minimal="true")) == sorted(MINIMAL)
    assert [sorted(task) for task in (await get(api, "tasks/", minimal="true"))["results"]] == [sorted(MINIMAL)]


REFUSED: list[tuple[str, Any]] = [
    ("bogus=1", {"errors": ["Invalid Filter: 'bogus'"]}),
    ("started_at__bogus=1", {"errors": ["Invalid Filter: 'started_at__bogus'"]}),
    ("state=nope", {"state": ["Select a valid choice. nope is not one of the available choices."]}),
    ("started_at__gte=garbage", {"started_at__gte": ["Enter a valid date/time."]}),
    ("started_at__range=2026-01-01", {"started_at__range": ["Range query expects two values."]}),
    ("ordering=bogus", {"ordering": ["Select a valid choice. bogus is not one of the available choices."]}),
    ("ordering=name,-bogus", {"ordering": ["Select a valid choice. -bogus is not one of the available choices."]}),
    ("task_group=garbage", ["URI couldn't be resolved: garbage"]),
    ("parent_task=garbage", ["URI couldn't be resolved: garbage"]),
    ("pulp_id__startswith=e2z", {"pulp_id__startswith": ["Enter the first hexadecimal digits of a UUID."]}),
    ("pulp_id__startswith=", ["No value supplied for pulp_id__startswith filter."]),
    ("task_group=", ["No value supplied for task_group filter."]),
    (
        f"task_group=/pulp/api/v3/tasks/{ID}/",
        [f"URI/PRN is not a valid href for task_group model: /pulp/api/v3/tasks/{ID}/"],
    ),
    (f"parent_task=prn:core.worker:{ID}", [f"URI/PRN is not a valid href for parent_task model: prn:core.worker:{ID}"]),
    (
        f"child_tasks=/pulp/api/v3/users/{ID}/",
        [f"URI/PRN is not a valid href for child_tasks model: /pulp/api/v3/users/{ID}/"],
    ),
    ("parent_task=/pulp/api/v3/tasks/zzz/", ["UUID invalid: zzz"]),
    ("created_resources=garbage", ["URI not valid: garbage"]),
    ("pulp_id__in=zzz", {"pulp_id__in": ["Enter a valid UUID."]}),
]


@pytest.mark.parametrize(("query", "body"), REFUSED)
async def test_bad_queries_are_answered_as_pulp_does(api: Site, query: str, body: Any) -> None:
    answer = await api.client.get(f"{V3}/tasks/?{query}")
    assert (answer.status_code, answer.json()) == (400, body)


@pytest.mark.parametrize(
    "name", ["it's", "back\\slash", "100%", "%(state)s", "{where}", "x' or 'x'='x", "--", "größer"]
)
async def test_a_text_means_itself_whatever_is_in_it(api: Site, name: str) -> None:
    await api.task("sync")
    task = await api.task(name)
    for _ in range(7):  # a frequent statement is prepared
        answer = await api.client.get(f"{V3}/tasks/", params={"name": name})
        assert [found["pulp_href"] for found in answer.json()["results"]] == [f"{V3}/tasks/{task}/"]


@pytest.mark.parametrize("query", ["name=%00", "logging_cid=a%00b", "exclusive_resources=%00"])
async def test_a_text_that_postgres_cannot_hold_is_the_clients_fault(api: Site, query: str) -> None:
    answer = await api.client.get(f"{V3}/tasks/?{query}")
    named = {query.partition("=")[0]: ["Null characters are not allowed."]}
    assert (answer.status_code, answer.json()) == (400, named)


async def test_what_is_not_there(api: Site) -> None:
    unknown = "e0e0a250-eded-468f-9d97-0419a00b130f"
    for suffix in ("", "history/", "progress/"):
        answer = await api.client.get(f"{V3}/tasks/{unknown}/{suffix}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "No Task matches the given query."})
        answer = await api.client.get(f"{V3}/tasks/nonsense/{suffix}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
    for path in ("nonsense/", f"workers/{unknown}/"):
        assert (await api.client.get(f"{V3}/{path}")).status_code == 404
    answer = await api.client.put(f"{V3}/tasks/{unknown}/")
    assert (answer.status_code, answer.json()) == (405, {"detail": 'Method "PUT" not allowed.'})


async def test_history_in_pages(api: Site) -> None:
    story = [accepted(), started(), *(progress(sequence=n) for n in (1, 2, 2)), finished(), cancel_requested()]
    await api.add(accepted(uuid4()), 1)
    for event in story:
        await api.add(event, 1)
    url = f"tasks/{story[0].task_id}/history/"

    whole = await get(api, url)
    effects = ["applied", "applied", "applied", "applied", "stale", "applied", "final"]
    assert [entry["effect"] for entry in whole["results"]] == effects
    assert [entry["event_id"] for entry in whole["results"]] == [str(event.id) for event in story]
    assert (whole["count"], whole["next"], whole["previous"]) == (7, None, None)
    first = whole["results"][0]
    assert {key: first[key] for key in first if key != "event"} == {
        "partition": 1,
        "offset": 1,
        "type": "org.pulpproject.task.accepted.v1",
        "event_id": str(story[0].id),
        "event_time": "2026-11-24T12:00:00.000000Z",
        "time": time_of(2),
        "actor": "user:admin",
        "effect": "applied",
    }
    assert first["event"] == msgspec.json.decode(api.log.records[1][1].value or b"")

    found, page = [], await get(api, url, limit=7)
    assert page["next"] is None
    page = await get(api, url, limit=3)
    while True:
        assert page["count"] == 7
        found += page["results"]
        if page["next"] is None:
            break
        page = (await api.client.get(page["next"])).json()
    assert found == whole["results"]


async def test_events_of_a_task_that_was_never_accepted_are_no_history(api: Site) -> None:
    unknown = uuid4()
    await api.add(progress(unknown), 1)
    answer = await api.client.get(f"{V3}/tasks/{unknown}/history/")
    assert (answer.status_code, answer.json()) == (404, {"detail": "No Task matches the given query."})


@pytest.mark.parametrize("query", ["after=nonsense", "after=1:2:3", "limit=0", "limit=x", f"after=1:{'9' * 40}"])
async def test_bad_pages_of_a_history(api: Site, query: str) -> None:
    task_id = await api.task()
    answer = await api.client.get(f"{V3}/tasks/{task_id}/history/?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [query.partition("=")[0]]


async def test_operations_and_status(api: Site) -> None:
    page = await get(api, "operations/")
    assert [(row["name"], row["cancellable"]) for row in page["results"]] == [
        ("publish", False),
        ("remove-orphans", False),
        ("sync", True),
    ]
    found = await get(api, "status/")
    assert found["versions"] == [
        {
            "component": "core",
            "version": (await get(api, "docs/api.json"))["info"]["x-pulp-app-versions"]["core"],
            "package": "pulp-tasks",
            "module": "pulp_api",
            "domain_compatible": False,
        }
    ]
    assert found["database_connection"] == {"connected": True}
    assert found["online_workers"] == []


async def test_workers(api: Site) -> None:
    insert = (
        "insert into workers (name, instance_id, host, pid, queues, concurrency, versions, lease_seconds, heartbeat_at,"
        " stopped_at) values (%s, %s, 'h', 1, '{default}', 4, '{\"pulp-tasks\": \"0.1.0\"}', 60, now() - %s * interval"
        " '1 second', case when %s then now() end)"
    )
    ids = {name: str(uuid4()) for name in ("alive", "missing", "stopped")}
    for name, age_s, is_stopped in (("alive", 0, False), ("missing", 600, False), ("stopped", 0, True)):
        await api.execute(insert, name, ids[name], age_s, is_stopped)
    async with api.connect() as connection:
        await assign(connection, uuid4(), worker="alive", instance_id=UUID(ids["alive"]))

    async def found(**params: Any) -> list[str]:
        return sorted(row["name"] for row in (await get(api, "workers/", **params))["results"])

    assert await found() == ["alive", "missing", "stopped"]
    assert await found(online="true") == ["alive"]
    assert await found(online="false") == ["missing", "stopped"]
    assert await found(missing="true") == ["missing"]
    assert await found(name="stopped") == ["stopped"]
    assert await found(name__contains="i") == ["alive", "missing"]
    assert len(await found(limit=2)) == 2
    assert (await api.client.get(f"{V3}/workers/?bogus=1")).json() == {"errors": ["Invalid Filter: 'bogus'"]}
    row = await get(api, f"workers/{ids['alive']}/")
    assert (row["name"], row["online"], row["versions"]) == ("alive", True, {"pulp-tasks": "0.1.0"})
    assert row["current_task"].startswith("/pulp/api/v3/tasks/")
    assert [row["name"] for row in (await get(api, "status/"))["online_workers"]] == ["alive"]


async def test_times_are_utc_whatever_the_zone_of_the_database(api: Site) -> None:
    name = (await api.execute("select current_database()"))[0][0]
    await api.execute(f"alter database \"{name}\" set timezone to 'Asia/Tokyo'")
    await api.execute(
        "select pg_terminate_backend(pid, 60000) from pg_stat_activity where application_name = 'pulp-api'"
    )
    task_id = await api.task()
    assert (await get(api, f"tasks/{task_id}/"))["pulp_created"] == time_of(1)
