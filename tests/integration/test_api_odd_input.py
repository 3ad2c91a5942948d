"""Any unusable request is answered with a 4xx, never with an unexpected error."""

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from pulp_api.openapi.document import document
from pulp_events.events import Resource
from pulp_projections.reading import bounded

from tests.support.events import accepted
from tests.support.site import V2, V3, Site

ODD = [
    "%00",
    "a%00b",
    "%ED%A0%80",  # a lone surrogate
    "%FF%FE",
    "x" * 5000,
    "9" * 40,
    "-1",
    "1e999",
    quote("٣"),
    "0:" + "9" * 18,
    "0:" + "9" * 40,
    "2026-11-24T12:00:00%2B99:99",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+02:00",
    "{",
    "((((",
    quote("'; select 1; --"),
    "%25s%25(x)s",
    ",",
    "",
]
V2_PARAMETERS = {
    f"{V2}/tasks/": [
        "tag",
        "id",
        "state",
        "limit",
        "skip",
        "operation",
        "queue",
        "worker",
        "user",
        "resource",
        "since",
        "until",
    ],
    f"{V2}/tasks/search/": ["filters", "sort", "limit", "skip", "field"],
    f"{V2}/repositories/": ["details", "importers", "distributors", "limit", "skip"],
}


def parameters(task_id: str) -> list[tuple[str, str]]:
    """(path, parameter) of every read, event streams left out: they do not end."""
    hrefs = {
        "{task_href}": f"{V3}/tasks/{task_id}/",
        "{worker_href}": f"{V3}/workers/{uuid4()}/",
        "{rpm_rpm_repository_href}": f"{V3}/repositories/rpm/rpm/{uuid4()}/",
    }
    found = [(path, name) for path, names in V2_PARAMETERS.items() for name in names]
    found.append((f"{V2}/tasks/{task_id}/", "as_of"))
    for path, calls in document()["paths"].items():
        for href, url in hrefs.items():
            path = path.replace(href, url)
        if "get" in calls and not path.endswith("/events/"):
            found += [(path, each["name"]) for each in calls["get"]["parameters"] if each["in"] == "query"]
    return found


async def test_a_parameter_is_taken_or_refused(api: Site) -> None:
    await api.add(accepted())
    [task] = (await api.client.get(f"{V3}/tasks/")).json()["results"]
    for odd in ODD:
        await check_parameters(api, task, odd)


async def check_parameters(api: Site, task: dict[str, Any], odd: str) -> None:
    for path, name in parameters(task["pulp_href"].split("/")[-2]):
        answer = await api.client.get(f"{path}?{name}={odd}")
        is_ahead = (name, answer.status_code) == ("as_of", 504)  # it may still come: the answer says what is projected
        assert answer.status_code < 500 or is_ahead, (path, name, answer.text)
    for path in (f"{V3}/tasks/", f"{V2}/tasks/"):
        for header in ("Pulp-Min-Position", "Correlation-ID", "Idempotency-Key"):
            answer = await api.client.get(path, headers={header.encode(): odd.encode()})
            assert answer.status_code < 500 or "9" * 18 in odd, (path, header, answer.text)
    answer = await api.client.get(f"{V3}/events/?since={odd}&task=nonsense")
    assert answer.status_code == 400, answer.text
    answer = await api.client.get(f"{V3}/events/?last_event_id={odd}&task=nonsense")
    assert answer.status_code in (400, 410), answer.text


async def test_an_id_in_a_path_is_none(api: Site) -> None:
    for odd in [odd for odd in ODD if odd not in ("", "{")] + ["..%2Fcontent", "%2e%2e", "a%2Fb", "%0A"]:
        await check_path(api, odd)


async def check_path(api: Site, odd: str) -> None:
    for method, path in (
        ("GET", f"{V3}/tasks/{odd}/"),
        ("GET", f"{V3}/tasks/{odd}/history/"),
        ("GET", f"{V3}/workers/{odd}/"),
        ("PATCH", f"{V3}/tasks/{odd}/"),
        ("GET", f"{V2}/tasks/{odd}/"),
        ("DELETE", f"{V2}/tasks/{odd}/"),
        ("GET", f"{V3}/repositories/rpm/rpm/{odd}/"),
        ("PATCH", f"{V3}/repositories/rpm/rpm/{odd}/"),
        ("DELETE", f"{V3}/repositories/rpm/rpm/{odd}/"),
        ("GET", f"{V2}/repositories/{odd}/"),
        ("PUT", f"{V2}/repositories/{odd}/"),
        ("DELETE", f"{V2}/repositories/{odd}/"),
    ):
        answer = await api.client.request(method, path, content=b'{"state": "canceled"}')
        assert 400 <= answer.status_code < 500, (method, path, answer.text)
    answer = await api.client.post(f"{V2}/repositories/{odd}/actions/publish/")
    assert answer.status_code == 202 or 400 <= answer.status_code < 500, answer.text


BAD_TEXTS: list[Any] = ["\0", "a\0b", "x" * 100_000, "", 1, None, {"a": 1}, [["x"]], -(2**70), 1e300, True]


async def test_a_submission_is_taken_or_refused(api: Site) -> None:
    for value in BAD_TEXTS:
        await check_submission(api, value)


async def check_submission(api: Site, value: Any) -> None:
    plain = {"operation": "remove-orphans"}
    fields = ["arguments", "resources", "tags", "queue", "priority", "group_id", "parent_task", "depends_on"]
    bodies: list[Any] = [value, *({**plain, field: value} for field in (*fields, "operation", "timeout_seconds"))]
    bodies += [{**plain, field: [value]} for field in ("tags", "depends_on", "resources")]
    bodies += [{**plain, "resources": [{"type": value, "id": "x"}]}, {**plain, "arguments": {"repo_id": value}}]
    bodies += [{"operation": "sync", "arguments": {"repo_id": value}}, {**plain, "arguments": {str(value): value}}]
    for body in bodies:
        answer = await api.client.post(f"{V3}/tasks/", json=body)
        assert answer.status_code == 202 or 400 <= answer.status_code < 500, (body, answer.text)


async def test_what_is_said_of_a_repository_is_taken_or_refused(api: Site) -> None:
    fields = ("display_name", "description", "notes", "feed", "sync_options", "publish_options")
    for number, value in enumerate(BAD_TEXTS):
        bodies: list[Any] = [value, {"name": value}]
        bodies += [{"name": f"{number}-{field}", field: value} for field in fields]
        bodies += [{"name": f"{number}-{field}-in", field: {"a": value}} for field in fields[2:]]
        bodies += [{"name": f"{number}-{field}-key", field: {str(value): 1}} for field in fields[2:]]
        for body in bodies:
            answer = await api.client.post(f"{V3}/repositories/", json=body)
            assert answer.status_code == 201 or 400 <= answer.status_code < 500, (body, answer.text)
        for name in ("id", "notes", "importer_config", "importer_type_id", "distributors"):
            answer = await api.client.post(f"{V2}/repositories/", json={"id": f"v2-{number}-{name}", name: value})
            assert answer.status_code == 201 or 400 <= answer.status_code < 500, (name, value, answer.text)


LONE = b"\\ud800"


@pytest.mark.parametrize(
    "body", [b'"%s"', b'{"operation": "%s"}', b'{"operation": "sync", "arguments": {"repo_id": "%s"}}']
)
async def test_a_lone_surrogate_in_a_body_is_refused(api: Site, body: bytes) -> None:
    for text in (LONE, b"\xed\xa0\x80", b"\xff"):
        answer = await api.client.post(f"{V3}/tasks/", content=body % text)
        assert answer.status_code == 400, answer.text
        reason = b'{"state": "canceled", "reason": "%s"}' % text
        task_id = await api.task()
        assert (await api.client.patch(f"{V3}/tasks/{task_id}/", content=reason)).status_code == 400
        search = b'{"criteria": {"filters": {"tags": ["%s"]}}}' % text
        assert (await api.client.post(f"{V2}/tasks/search/", content=search)).status_code == 400


async def test_a_reason_that_no_event_can_hold_is_refused(api: Site) -> None:
    task_id = await api.task()
    for reason in ("\0", "x" * 1025):
        answer = await api.client.patch(f"{V3}/tasks/{task_id}/", json={"state": "canceled", "reason": reason})
        assert answer.status_code == 400, answer.text
        answer = await api.client.delete(f"{V2}/tasks/{task_id}/", params={"reason": reason})
        assert answer.status_code == 400, answer.text


async def test_a_time_whose_plus_sign_was_not_quoted_is_taken_everywhere(api: Site) -> None:
    """In a URL a bare plus sign is a blank."""
    task_id = await api.task()
    since, until = "2001-01-01T00:00:00+02:00", "2999-01-01T00:00:00+02:00"
    for query in (
        f"pulp_created__gte={since}",
        f"pulp_created__range={since},{until}",
        f"q=pulp_created__gt={since}",
    ):
        answer = await api.client.get(f"{V3}/tasks/?{query}")
        assert (answer.status_code, answer.json().get("count")) == (200, 1), (query, answer.text)
    now = datetime.now(timezone(timedelta(hours=2))).isoformat()
    for path in (f"{V3}/tasks/{task_id}/?as_of={now}", f"{V2}/tasks/{task_id}/?as_of={now}"):
        assert (await api.client.get(path)).status_code == 200, path
    answer = await api.client.get(f"{V2}/tasks/?since={since}&until={until}")
    assert [task["task_id"] for task in answer.json()] == [str(task_id)]
    answer = await api.client.get(f"{V3}/events/?since={since}&task=nonsense")
    assert "nonsense" in answer.text  # the time was taken


async def test_a_parameter_that_pulp_2s_list_has_not_is_refused(api: Site) -> None:
    """A misspelt filter would let everything through."""
    for path in (f"{V2}/tasks/?staet=running", f"{V2}/tasks/search/?state=running"):
        answer = await api.client.get(path)
        assert answer.status_code == 400, path
        assert answer.json()["error_message"].startswith(
            f"no such parameter: {path.partition('?')[2].split('=')[0]}; there are "
        )
    for path, names in V2_PARAMETERS.items():
        for name in names:
            answer = await api.client.get(path, params={name: "1" if name in ("limit", "skip") else "[]"})
            assert "no such parameter" not in answer.text, name


async def test_a_parameter_that_a_list_has_not_is_refused(api: Site) -> None:
    """A misspelt filter would let everything through; reads of one object take no filter."""
    history = f"{V3}/tasks/{await api.task()}/history/"
    lists = [
        path
        for path, calls in document(only_served=True)["paths"].items()
        if "{" not in path
        and calls.get("get", {}).get("security")
        and path not in (f"{V3}/login/", f"{V3}/read-model/")
    ]
    assert len(lists) > 15
    for path in (*lists, history):
        answer = await api.client.get(f"{path}?nonsense=1&resource=repository:zoo")  # one of them requires it
        assert (answer.status_code, "nonsense" in answer.text) == (400, True), (path, answer.text)
    every = (await api.client.get(f"{V3}/operations/")).json()
    second = (await api.client.get(f"{V3}/operations/?limit=1&offset=1")).json()
    assert (second["count"], second["results"]) == (every["count"], every["results"][1:2])
    assert every["count"] > 1
    assert every["next"] is None


async def test_arguments_of_any_depth_are_taken_or_refused(api: Site) -> None:
    await api.execute("""update operations set arguments = '{"type": "object"}'""")
    for depth in (100, 200, *range(900, 1100, 10), 100_000):
        body = b'{"operation": "remove-orphans", "arguments": {"x": %s1%s}}' % (b"[" * depth, b"]" * depth)
        answer = await api.client.post(f"{V3}/tasks/", content=body)
        assert answer.status_code == (202 if depth < 120 else 400), (depth, answer.text[:200])


async def test_a_page_far_behind_is_the_same_page(api: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        await api.task("sync", resources=(Resource("repository", "zoo" if number % 2 else "bar"),))

    async def pages(**params: Any) -> list[Any]:
        found = []
        for offset in range(9):
            answer = await api.client.get(f"{V3}/tasks/", params={"limit": 2, "offset": offset, **params})
            assert answer.status_code == 200, answer.text
            found.append(answer.json())
        return found

    cases: list[dict[str, str]] = [
        {},
        {"ordering": "pulp_created"},
        {"ordering": "-name,started_at"},
        {"exclusive_resources": "repository:zoo"},
        {"state": "waiting", "fields": "pulp_href"},
    ]
    near = [await pages(**params) for params in cases]
    monkeypatch.setattr(bounded, "DEEP", 1)
    assert [await pages(**params) for params in cases] == near


async def test_an_idempotency_key_has_a_length(api: Site) -> None:
    for length, status in ((255, 202), (256, 400)):
        headers = {"Idempotency-Key": "k" * length}
        answer = await api.client.post(f"{V3}/tasks/", json={"operation": "remove-orphans"}, headers=headers)
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("number", ["1e-20000", "0." + "1" * 20_000, "-1E-200000"])
async def test_a_number_that_postgres_cannot_hold_stops_no_search(api: Site, number: str) -> None:
    """JSON has no smallest number, but the type by which Postgres searches arguments has one."""
    await api.execute("""update operations set arguments = '{"type": "object"}'""")
    body = b'{"operation": "remove-orphans", "arguments": {"x": %s, "y": 1}}' % number.encode()
    answer = await api.client.post(f"{V3}/tasks/", content=body)
    assert (answer.status_code, "digits behind the point" in answer.text) == (400, True)
    await api.task("remove-orphans")
    for wanted in ('{"y": 1}', f'{{"x": {number}}}'):
        answer = await api.client.get(f"{V3}/tasks/", params={"arguments__contains": wanted})
        assert answer.status_code in (200, 400), answer.text
    assert (await api.client.get(f"{V3}/tasks/", params={"arguments__contains": "{}"})).status_code == 200
