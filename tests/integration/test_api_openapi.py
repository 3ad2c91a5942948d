"""The OpenAPI document says what the API answers: its paths, its parameters and its statuses."""

import re
from typing import Any
from uuid import uuid4

import httpx
import msgspec
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from pulp_accounts.users import Role
from pulp_api import root_pages as front
from pulp_api.openapi.document import document
from pulp_api.submitting.rerun import Rerun
from pulp_api.submitting.submission import Submission
from pulp_api.v3 import events as v3_events
from pulp_api.v3 import operations as v3_operations
from pulp_api.v3 import repositories as v3_repositories
from pulp_api.v3 import routes as v3
from pulp_api.v3 import system as v3_system
from pulp_api.v3 import workers as v3_workers

from tests.support.events import accepted, finished
from tests.support.site import V3, Site

HREFS = {
    "{task_id}": "{task_href}",
    "{worker_id}": "{worker_href}",
    "{name}": "{operation_href}",
    "{repository_id}": "{rpm_rpm_repository_href}",
    "{number}": "{rpm_rpm_repository_version_href}",
}


def served() -> set[tuple[str, str]]:
    """(method, path) of each route, as the document names paths: an href takes the place of all that it holds."""
    found = set()
    parts = (v3, v3_events, v3_workers, v3_operations, v3_repositories, v3_system, front)
    routers = [part.router for part in parts]
    for route in [route for router in routers for route in router.routes]:
        assert isinstance(route, APIRoute)
        path = re.sub(r"^.*(\{\w+\})/", lambda match: HREFS[match[1]], route.path)
        found |= {(method, path) for method in route.methods or ()}
    return found


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    paths = document()["paths"]
    assert {(method.upper(), path) for path, calls in paths.items() for method in calls} == served()
    names = [call["operationId"] for calls in paths.values() for call in calls.values()]
    assert len(names) == len(set(names))
    needed = {"status_read", "tasks_list", "tasks_read", "tasks_cancel", "workers_list", "workers_read"}
    assert needed <= set(names)  # pulp-cli finds calls by these names


def test_a_submission_is_described_field_by_field() -> None:
    schema = document()["components"]["schemas"]["Submission"]
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == list(Submission.__struct_fields__)
    assert schema["required"] == [field.name for field in msgspec.structs.fields(Submission) if field.required]


def test_what_a_rerun_changes_is_described_field_by_field() -> None:
    schema = document()["components"]["schemas"]["Rerun"]
    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == list(Rerun.__struct_fields__)
    assert not [field.name for field in msgspec.structs.fields(Rerun) if field.required]


def test_clients_that_read_strictly_can_read_it() -> None:
    """No key that OpenAPI 3.0 does not know, where pulp-cli refuses the whole document for one."""
    text = document()
    assert text.keys() == {"openapi", "info", "paths", "components"}
    for calls in text["paths"].values():
        for call in calls.values():
            assert call.keys() <= {"operationId", "summary", "parameters", "responses", "requestBody", "security"}
            assert all(each.keys() == {"description", "content"} for each in call["responses"].values())
            for parameter in call["parameters"]:
                assert parameter.keys() <= {"name", "in", "required", "schema", "explode", "style"}


def call_of(method: str, path: str) -> dict[str, Any]:
    """What the document says of a request."""
    path = re.sub(rf"^{V3}/(tasks|workers|operations)/[^/]+/", lambda match: f"{{{match[1][:-1]}_href}}", path)
    path = re.sub(rf"^{V3}/repositories/rpm/rpm/[^/]+/versions/[^/]+/", "{rpm_rpm_repository_version_href}", path)
    path = re.sub(rf"^{V3}/repositories/rpm/rpm/[^/]+/", "{rpm_rpm_repository_href}", path)
    found: dict[str, Any] = document()["paths"][path][method.lower()]
    return found


REPOSITORIES = ("repositories/", "repositories/rpm/rpm/")


async def test_every_answer_is_one_that_the_document_tells_of(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    task_id, ended = await api.task(), await api.task()
    await api.add(finished(ended, attempt_id=None), api.partition_of(ended))
    task, none = f"{V3}/tasks/{task_id}/", f"{V3}/tasks/{uuid4()}/"
    cancel, sync = b'{"state": "canceled"}', b'{"operation": "sync", "arguments": {"repo_id": "zoo"}}'
    admin, viewer, nobody = api.client, api.as_user("jo"), api.as_user("")
    made = (await admin.post(f"{V3}/repositories/", content=b'{"name": "farm"}')).json()["pulp_href"]
    nowhere = f"{V3}/repositories/rpm/rpm/{uuid4()}/"
    new, more = b'{"name": "barn"}', b'{"description": "x"}'
    requests: list[tuple[httpx.AsyncClient, str, str, bytes]] = [
        *(
            (nobody, "GET", f"{V3}/{path}", b"")
            for path in ("", "docs/", "status/", "livez/", "readyz/", "docs/api.json", "docs/api.yaml")
        ),
        *((admin, "GET", f"{V3}/{path}", b"") for path in ("tasks/", "workers/", "operations/")),
        *((admin, "GET", f"{V3}/{path}?bogus=1", b"") for path in ("tasks/", "workers/")),
        *((admin, "GET", f"{where}{part}", b"") for where in (task, none) for part in ("", "progress/", "history/")),
        (admin, "GET", f"{V3}/workers/{uuid4()}/", b""),
        (admin, "GET", f"{V3}/operations/sync/", b""),
        (admin, "GET", f"{V3}/operations/none/", b""),
        (admin, "GET", f"{task}?as_of=nonsense", b""),
        (admin, "GET", f"{task}history/?after=nonsense", b""),
        (admin, "GET", f"{V3}/events/?since=nonsense", b""),
        (admin, "POST", f"{V3}/tasks/", sync),
        (admin, "POST", f"{V3}/tasks/", b"{"),
        (admin, "POST", f"{V3}/tasks/", b" " * 1_000_001),
        (viewer, "POST", f"{V3}/tasks/", sync),
        (nobody, "POST", f"{V3}/tasks/", sync),
        *((admin, "POST", f"{where}rerun/", b"") for where in (task, f"{V3}/tasks/{ended}/", none)),
        (admin, "POST", f"{V3}/tasks/{ended}/rerun/", b'{"arguments": {"repo_id": "zoo"}}'),
        (admin, "POST", f"{V3}/tasks/{ended}/rerun/", b" " * 1_000_001),
        (viewer, "POST", f"{task}rerun/", b""),
        (admin, "PATCH", task, cancel),
        (admin, "PATCH", task, b"{}"),
        (admin, "PATCH", f"{V3}/tasks/{ended}/", cancel),
        (admin, "PATCH", none, cancel),
        (viewer, "PATCH", task, cancel),
        *((admin, "GET", f"{V3}/{path}{query}", b"") for path in REPOSITORIES for query in ("", "?bogus=1")),
        *((admin, "POST", f"{V3}/{REPOSITORIES[0]}", body) for body in (new, new, b"{}", b"{", b" " * 1_000_001)),
        (viewer, "POST", f"{V3}/{REPOSITORIES[1]}", new),
        *(
            (admin, "GET", f"{where}{part}", b"")
            for where in (made, nowhere)
            for part in ("", "versions/", "versions/1/")
        ),
        *((admin, "PATCH", where, body) for where in (made, nowhere) for body in (more, b"[]", b'{"bogus": 1}')),
        (viewer, "PATCH", made, more),
        (admin, "POST", f"{V3}/repair/", b""),
        (viewer, "POST", f"{V3}/repair/", b""),
        *((client, "DELETE", where, b"") for client in (viewer, admin) for where in (nowhere, made)),
    ]
    for client, method, path, body in requests:
        answer = await client.request(method, path, content=body)
        told = call_of(method, path.partition("?")[0])["responses"]
        where = (method, path, answer.status_code)
        assert str(answer.status_code) in told, where
        assert (
            answer.headers["content-type"].removesuffix("; charset=utf-8") in told[str(answer.status_code)]["content"]
        ), where


VALUES = {"boolean": "true", "integer": "1", "date-time": "2026-01-01T00:00:00.000000Z", "string": "x"}
IDS = (
    *("task_group", "parent_task", "child_tasks", "rerun_of"),
    *("pulp_id__in", "pulp_id__startswith", "pulp_href__in", "prn__in"),
)
SPECIAL = {
    **dict.fromkeys(IDS, str(uuid4())),
    **dict.fromkeys(("state", "state__ne"), "waiting"),
    "ordering": "name",
    "q": "state=waiting",
    "as_of": "2100-01-01T00:00:00Z",
    "after": "0:0",
}


def value_of(parameter: dict[str, Any]) -> str:
    """A value of the type that the document tells."""
    name, schema = parameter["name"], parameter["schema"]
    schema = schema.get("items", schema)
    value = SPECIAL.get(name, VALUES[schema.get("format", schema["type"])])
    return f"{value},{value}" if name.endswith("__range") else value


async def test_every_parameter_that_is_told_of_is_taken(api: Site) -> None:
    await api.add(accepted())
    task_href = (await api.client.get(f"{V3}/tasks/")).json()["results"][0]["pulp_href"]
    made = (await api.client.post(f"{V3}/repositories/", json={"name": "zoo"})).json()["pulp_href"]
    without = ("{worker_href}", "{operation_href}", "{rpm_rpm_repository_version_href}", f"{V3}/events/")
    for path, calls in document()["paths"].items():
        if "get" not in calls or path in without:
            continue
        for parameter in calls["get"]["parameters"]:
            if parameter["in"] == "query":
                url = path.replace("{task_href}", task_href).replace("{rpm_rpm_repository_href}", made)
                answer = await api.client.get(url, params={parameter["name"]: value_of(parameter)})
                assert answer.status_code == 200, (path, parameter["name"], answer.text)
