"""Requests that another site's page can make a browser send are refused; requests of programs are accepted."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.support.site import V2, V3, Site

BODY = b'{"operation": "remove-orphans"}'
JSON = {"Content-Type": "application/json"}
OTHERS = [
    {"Origin": "http://evil.example"},
    {"Origin": "http://pulp.evil.example"},
    {"Origin": "http://pulp:8080"},
    {"Origin": "null"},
    {"Origin": "file://pulp"},
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://pulp"},
]
OWN = [
    {},
    {"Origin": "http://pulp"},
    {"Origin": "https://pulp"},  # TLS may end at a proxy
    {"Origin": "http://PULP:80"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]
WRITES = [
    ("POST", f"{V3}/tasks/", BODY),
    ("POST", f"{V3}/tasks/{{task}}/rerun/", b""),
    ("PATCH", f"{V3}/tasks/{{task}}/", b'{"state": "canceled"}'),
    ("POST", f"{V2}/tasks/search/", b'{"criteria": {}}'),
    ("POST", f"{V2}/repositories/zoo/actions/publish/", b""),
    ("POST", f"{V2}/repositories/zoo/actions//sync/", b"{}"),
    ("POST", f"{V2}/repositories/", b'{"id": "zoo"}'),
    ("PUT", f"{V2}/repositories/zoo/", b'{"delta": {"description": "x"}}'),
    ("DELETE", f"{V2}/repositories/zoo/", b""),
    ("POST", f"{V3}/repositories/", b'{"name": "zoo"}'),
    ("PATCH", f"{V3}/repositories/rpm/rpm/{{task}}/", b'{"description": "x"}'),
    ("DELETE", f"{V3}/repositories/rpm/rpm/{{task}}/", b""),
    ("POST", f"{V3}/repair/", b"{}"),
    ("DELETE", f"{V2}/tasks/{{task}}/", b""),
    ("DELETE", f"{V2}/content/orphans/", b""),
]


async def send(api: Site, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    task_id = (await api.execute("select task_id from tasks limit 1"))[0][0]
    return await api.client.request(method, path.replace("{task}", str(task_id)), content=body, headers=headers)


def words(answer: httpx.Response) -> Any:
    body = answer.json()
    return body.get("detail") or body["error_message"]


@pytest.mark.parametrize("headers", OTHERS, ids=str)
async def test_another_site_changes_nothing(api: Site, headers: dict[str, str]) -> None:
    await api.task()
    before = len(api.log.events)
    for method, path, body in WRITES:
        answer = await send(api, method, path, body, {**JSON, **headers})
        assert (answer.status_code, "another site" in words(answer)) == (403, True), (path, headers)
    assert len(api.log.events) == before


async def test_own_pages_and_programs_are_taken(api: Site) -> None:
    await api.task()
    for headers in OWN:
        answer = await send(api, "POST", f"{V3}/tasks/", BODY, {**JSON, **headers})
        assert answer.status_code == 202, (headers, answer.text)
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        assert (await send(api, "POST", f"{V3}/tasks/", BODY, {"Content-Type": kind})).status_code == 202, kind
    # Without a body, the content type does not count: clients of Pulp 2 send one all the same.
    answer = await send(api, "DELETE", f"{V2}/content/orphans/", b"", {"Content-Type": "text/plain"})
    assert answer.status_code == 202


async def test_a_body_that_is_no_json_by_its_type_is_refused(api: Site) -> None:
    await api.task()
    before = len(api.log.events)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "x",
    ):
        for method, path, body in WRITES:
            if not body:
                continue
            answer = await send(api, method, path, body, {"Content-Type": kind})
            if method == "PATCH" and path.startswith(V3) and "form" in kind:
                # It is read as a form, since a page of another site cannot send a PATCH without asking; the JSON in it
                # is not a field.
                assert answer.status_code in (400, 404), (kind, path)
                continue
            assert (answer.status_code, "application/json" in words(answer)) == (415, True), (kind, path)
    assert len(api.log.events) == before


async def test_another_site_may_link_to_what_is_only_read(api: Site) -> None:
    for path in (f"{V3}/tasks/", f"{V2}/tasks/", f"{V3}/status/"):
        assert (await api.client.get(path, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200
