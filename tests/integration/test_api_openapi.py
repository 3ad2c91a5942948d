"""The OpenAPI document matches the API: its paths, its parameters and its statuses."""

import json
import re
from typing import Any
from uuid import uuid4

import httpx
import msgspec
from jsonschema import Draft202012Validator
from pulp_accounts.users import Role
from pulp_api import app
from pulp_api.openapi import elsewhere
from pulp_api.openapi.document import document
from pulp_api.submitting.rerun import Rerun
from pulp_api.submitting.submission import Submission
from pulp_events import schemas

from tests.support.events import accepted, finished
from tests.support.site import V3, Site

HREFS = {
    "{task_id}": "{task_href}",
    "{worker_id}": "{worker_href}",
    "{token_id}": "{token_href}",
    "{key_id}": "{subject_href}",
    "{name}": "{operation_href}",
    "{repository_id}": "{rpm_rpm_repository_href}",
    "{number}": "{rpm_rpm_repository_version_href}",
    "{group_id}": "{task_group_href}",
    "{schedule_id}": "{task_schedule_href}",
    "{subscription_id}": "{subscription_href}",
    "{position}": "{dead_letter_href}",
    "{username}": "{auth_user_href}",
    "{group_name}": "{group_href}",
}


def routes() -> set[tuple[str, str]]:
    """(method, path) of each route, as the document names paths: an href replaces all that it contains."""
    found = set()
    for route in app.routes():
        if not route.path.startswith(f"{V3}/") or not route.include_in_schema:
            continue
        path = re.sub(r"^.*(\{\w+\})/", lambda match: HREFS[match[1]], route.path)
        found |= {(method, path) for method in route.methods or ()}
    return found


def calls_of(paths: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, calls in paths.items() for method in calls}


def names_of(paths: dict[str, Any]) -> list[str]:
    return [call["operationId"] for calls in paths.values() for call in calls.values()]


def test_every_route_is_in_the_document_and_beside_them_only_what_is_not_served() -> None:
    assert calls_of(document(only_served=True)["paths"]) == routes()
    paths = document()["paths"]
    assert calls_of(paths) == routes() | calls_of(elsewhere.paths())
    assert len(names_of(paths)) == len(set(names_of(paths)))


LOOKED_UP = (
    *("status_read", "tasks_list", "tasks_read", "tasks_cancel", "tasks_delete", "tasks_purge"),
    *("tasks_profile_artifacts", "tasks_list_roles", "tasks_add_role", "tasks_remove_role", "tasks_my_permissions"),
    *("task_groups_list", "task_groups_read", "workers_list", "workers_read", "orphans_cleanup_cleanup"),
    *("users_list", "users_read", "users_create", "users_delete", "users_partial_update", "users_roles_list"),
    *("groups_list", "groups_read", "groups_create", "groups_delete", "groups_users_list", "groups_users_create"),
    *("groups_roles_list", "roles_list", "roles_read", "artifacts_list", "artifacts_read", "content_list"),
    *("access_policies_list", "access_policies_reset", "distributions_list", "domains_list", "publications_list"),
    *("exporters_core_pulp_list", "exporters_core_pulp_exports_create", "importers_core_pulp_list"),
    *("signing_services_list", "uploads_list", "upstream_pulps_replicate", "contentguards_list"),
    *("contentguards_core_rbac_list", "repository_versions_list", "repositories_list", "vuln_report_list"),
)
"""The calls that the commands of pulp-cli 0.41 look up by name, of those that need no plugin."""


def test_the_calls_that_clients_look_up_by_name_are_there() -> None:
    assert not set(LOOKED_UP) - set(names_of(document()["paths"]))


def test_with_ids_the_same_calls_have_paths_without_hrefs() -> None:
    paths = document(with_ids=True)["paths"]
    assert not [path for path in paths if "_href}" in path]
    assert set(names_of(document(only_served=True)["paths"])) <= set(names_of(paths))
    task = paths[f"{V3}/tasks/{{pulp_id}}/"]["get"]
    assert [each["name"] for each in task["parameters"] if each["in"] == "path"] == ["pulp_id"]
    version = paths[f"{V3}/repositories/rpm/rpm/{{pulp_id}}/versions/{{number}}/"]["get"]
    assert [each["name"] for each in version["parameters"]] == ["pulp_id", "number"]


def test_what_is_told_of_a_call_is_the_same_with_hrefs_and_with_ids() -> None:
    """So what Schemathesis finds about the document with ids, whose paths it can fill in, holds for the one with hrefs,
    which pulp-cli reads."""
    with_hrefs, with_ids = (
        {call["operationId"]: besides_the_path(call) for calls in paths.values() for call in calls.values()}
        for paths in (document()["paths"], document(with_ids=True)["paths"])
    )
    assert with_ids == {name: call for name, call in with_hrefs.items() if name in with_ids}
    assert set(names_of(document(only_served=True)["paths"])) <= with_ids.keys()


def besides_the_path(call: dict[str, Any]) -> dict[str, Any]:
    return {**call, "parameters": [each for each in call["parameters"] if each["in"] != "path"]}


async def test_the_document_is_served_with_hrefs_or_with_ids(api: Site) -> None:
    anybody = api.as_user("")
    for query, expected in (
        ("", document()),
        ("?pk_path=1", document(with_ids=True)),
        ("?component=core&bindings", document()),
        ("?component=rpm", {**document(), "paths": {}}),
    ):
        answer = await anybody.get(f"{V3}/docs/api.json{query}")
        assert answer.json() == msgspec.to_builtins(expected), query
        as_yaml = await anybody.get(f"{V3}/docs/api.yaml{query}")
        assert msgspec.yaml.decode(as_yaml.content) == answer.json(), query


async def test_the_topics_and_the_schemas_of_events_are_served_too(api: Site) -> None:
    anybody = api.as_user("")
    answer = await anybody.get(f"{V3}/docs/asyncapi.json")
    assert answer.json() == json.loads(schemas.topics_document())
    page = await anybody.get(f"{V3}/docs/events/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "org.pulpproject.task.accepted.v1" in page.text
    for name in schemas.names():
        schema = await anybody.get(f"{V3}/docs/schemas/{name}.json")
        assert schema.json() == json.loads(schemas.text(name))
    missing = await anybody.get(f"{V3}/docs/schemas/org.pulpproject.task.accepted.v3.json")
    assert (missing.status_code, "accepted.v3" in missing.json()["detail"]) == (404, True)


async def test_what_is_not_served_is_answered_with_a_detail(api: Site) -> None:
    for path, calls in elsewhere.paths().items():
        for method, call in calls.items():
            if call["operationId"] == "artifacts_read":  # with which pulp-cli reads everything
                continue
            url = re.sub(r"\{\w+\}", f"{V3}/artifacts/{uuid4()}/", path)
            answer = await api.client.request(method, url)
            assert answer.status_code in (404, 405), (method, path)
            assert list(answer.json()) == ["detail"]


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
    """It has no key that OpenAPI 3.0 does not know: pulp-cli refuses the whole document for one."""
    text = document()
    assert text.keys() == {"openapi", "info", "paths", "components"}
    for calls in text["paths"].values():
        for call in calls.values():
            assert call.keys() <= {"operationId", "summary", "parameters", "responses", "requestBody", "security"}
            for status, each in call["responses"].items():
                assert each.keys() == ({"description"} if status == "204" else {"description", "content"})
            for parameter in call["parameters"]:
                assert parameter.keys() <= {"name", "in", "required", "schema", "explode", "style"}


def _href(match: re.Match[str]) -> str:
    return f"{{{match[1][:-1]}_href}}"


def call_of(method: str, path: str) -> dict[str, Any]:
    """What the document says about a request."""
    path = re.sub(rf"^{V3}/(tasks|workers|operations|groups|tokens)/(?!purge/)[^/]+/", _href, path)
    path = re.sub(rf"^{V3}/task-groups/[^/]+/", "{task_group_href}", path)
    path = re.sub(rf"^{V3}/users/[^/]+/", "{auth_user_href}", path)
    path = re.sub(rf"^{V3}/repositories/rpm/rpm/[^/]+/versions/[^/]+/", "{rpm_rpm_repository_version_href}", path)
    path = re.sub(rf"^{V3}/repositories/rpm/rpm/[^/]+/", "{rpm_rpm_repository_href}", path)
    found: dict[str, Any] = document()["paths"][path][method.lower()]
    return found


LISTS = ("tasks/", "task-groups/", "workers/", "users/", "groups/")
REPOSITORIES = ("repositories/", "repositories/rpm/rpm/")


async def test_every_answer_is_one_that_the_document_tells_of(api: Site) -> None:
    await api.add_user("jo", Role.VIEWER)
    known = uuid4()
    task_id, ended = await api.task(group_id=known), await api.task()
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
            for path in (
                "",
                "docs/",
                "status/",
                "livez/",
                "readyz/",
                "docs/api.json",
                "docs/api.yaml",
                "docs/asyncapi.json",
            )
        ),
        *((admin, "GET", f"{V3}/{path}", b"") for path in (*LISTS, "operations/")),
        *((admin, "GET", f"{V3}/{path}?bogus=1", b"") for path in LISTS),
        *((admin, "GET", f"{V3}/{path}/", b"") for path in ("users/jo", "users/no", "groups/viewer", "groups/no")),
        *((admin, "GET", f"{V3}/groups/{name}/users/", b"") for name in ("viewer", "no")),
        *((admin, "GET", f"{where}profile_artifacts/", b"") for where in (task, none)),
        *(
            (client, method, f"{V3}/task-groups/{group}/", body)
            for client, method, group, body in (
                (admin, "GET", known, b""),
                (admin, "GET", uuid4(), b""),
                (admin, "PATCH", known, b"{}"),
                (viewer, "PATCH", known, cancel),
                (admin, "PATCH", known, cancel),
                (admin, "PATCH", uuid4(), cancel),
            )
        ),
        *((client, "POST", f"{V3}/orphans/cleanup/", b"") for client in (admin, viewer)),
        (admin, "POST", f"{V3}/orphans/cleanup/", b"{"),
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
        *((admin, "POST", f"{V3}/tasks/purge/", body) for body in (b"{}", b"{", b'{"states": ["running"]}')),
        (viewer, "POST", f"{V3}/tasks/purge/", b""),
        *(
            (client, "DELETE", where, b"")
            for client in (viewer, admin)
            for where in (none, task, f"{V3}/tasks/{ended}/")
        ),
        *((admin, "POST", f"{V3}/tokens/", body) for body in (b'{"name": "ci"}', b'{"name": "ci"}', b"{", b"{}")),
        *((admin, method, f"{V3}/login/", b"") for method in ("GET", "POST")),
        (admin, "GET", f"{V3}/tokens/", b""),
        *((viewer, "GET", f"{V3}/tokens/{query}", b"") for query in ("", "?user=admin")),
        *((admin, method, f"{V3}/tokens/{uuid4()}/", b"") for method in ("GET", "DELETE")),
        *((client, "DELETE", where, b"") for client in (viewer, admin) for where in (nowhere, made)),
    ]
    for client, method, path, body in requests:
        answer = await client.request(method, path, content=body)
        told = call_of(method, path.partition("?")[0])["responses"]
        where = (method, path, answer.status_code)
        assert str(answer.status_code) in told, where
        if not answer.content:
            continue
        assert (
            answer.headers["content-type"].removesuffix("; charset=utf-8") in told[str(answer.status_code)]["content"]
        ), where


VALUES = {
    "boolean": "true",
    "integer": "1",
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00.000000Z",
    "string": "x",
    "uuid": str(uuid4()),
}
IDS = (
    *("task_group", "parent_task", "child_tasks", "rerun_of"),
    *("pulp_id__in", "pulp_id__startswith", "task"),
)
SPECIAL = {
    "wait": "1ms",
    "arguments__contains": "{}",
    "until": "final",
    **dict.fromkeys(IDS, str(uuid4())),
    **dict.fromkeys(("state", "state__ne"), "waiting"),
    "created_resources": f"{V3}/artifacts/{uuid4()}/",
    "component": "core",
    "as_of": "2024-01-01T00:00:00Z",  # after the events of the site, and not in the future for a list
    "after": "0:0",
}


def value_of(parameter: dict[str, Any]) -> str:
    """A value of the documented type."""
    name, schema = parameter["name"], parameter["schema"]
    schema = schema.get("items", schema)
    if name in ("ordering", "prn__in", "pulp_href__in", "q"):
        return ""  # each list has its own columns and names; the tests of the lists cover them
    usual = schema["enum"][0] if "enum" in schema else VALUES[schema.get("format", schema["type"])]
    value = usual if schema.get("format") == "date" else SPECIAL.get(name, usual)  # `until` is a day, or a state
    return f"{value},{value}" if name.endswith("__range") else value


async def test_every_parameter_that_is_told_of_is_taken(api: Site) -> None:
    await api.add(accepted())
    task_href = (await api.client.get(f"{V3}/tasks/")).json()["results"][0]["pulp_href"]
    made = (await api.client.post(f"{V3}/repositories/", json={"name": "zoo"})).json()["pulp_href"]
    known = {"{task_href}": task_href, "{rpm_rpm_repository_href}": made, "{group_href}": f"{V3}/groups/viewer/"}
    for path, calls in document(only_served=True)["paths"].items():
        href = re.match(r"\{\w+\}", path)
        own_tests = (f"{V3}/events/", f"{V3}/audit/")  # those tests try each parameter
        if "get" not in calls or path in own_tests or (href and href[0] not in known):
            continue
        asked = [parameter for parameter in calls["get"]["parameters"] if parameter["in"] == "query"]
        required = {parameter["name"]: value_of(parameter) for parameter in asked if parameter.get("required")}
        for parameter in asked:
            url = re.sub(r"^\{\w+\}", lambda match: known[match[0]], path)
            more = {"wait": "1ms"} if value_of(parameter) == SPECIAL["until"] else {}
            answer = await api.client.get(url, params={**required, **more, parameter["name"]: value_of(parameter)})
            assert answer.status_code == 200, (path, parameter["name"], answer.text)
