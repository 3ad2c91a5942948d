"""Answers and refusals match the OpenAPI document: cases that Schemathesis found, one by one."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from pulp_api.openapi.document import document
from pulp_events.events import Resource
from pulp_events.ids import new_id

from tests.support.events import accepted
from tests.support.site import V3, Site

FREE = {"livez_read", "root_read", "tasks_progress", "docs_api.json_get", "events_stream"}
FREE |= {"docs_asyncapi.json_get", "docs_schemas_read"}
"""Calls whose answer has no fields that are known beforehand, or just one."""


def calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """(method, call) of every served call."""
    for methods in document(only_served=True)["paths"].values():
        yield from methods.items()


def strict(schema: Any) -> Any:
    """The OpenAPI schema as a JSON Schema that allows no undocumented field."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items() if key != "nullable"}
    if "properties" in found and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found


def check(answer: httpx.Response, operation_id: str) -> Any:
    """The body, which must match the call's description, field by field."""
    [call] = [each for _, each in calls() if each["operationId"] == operation_id]
    content = call["responses"][str(answer.status_code)]["content"]["application/json"]
    schemas = strict(document()["components"]["schemas"])
    Draft202012Validator({**strict(content["schema"]), "components": {"schemas": schemas}}).validate(answer.json())
    return answer.json()


async def test_what_waits_and_why_is_as_told(api: Site) -> None:
    for _ in range(2):
        await api.task(resources=(Resource("repository", "zoo"),))
    await api.task(queue="nobody")
    for operation_id, path in (
        ("queues_list", "queues/"),
        ("queues_list", "queues/?name=nobody"),
        ("resources_list", "resources/"),
        ("resources_line", "resources/line/?resource=repository:zoo"),
    ):
        found = check(await api.client.get(f"{V3}/{path}"), operation_id)
        assert found.get("results") or found.get("tasks"), path
    href = (await api.client.get(f"{V3}/tasks/")).json()["results"][0]["pulp_href"]
    assert check(await api.client.get(f"{href}why/"), "tasks_why")["reasons"]


async def test_operations_are_as_told(api: Site) -> None:
    listed = check(await api.client.get(f"{V3}/operations/"), "operations_list")
    assert listed["count"] == len(listed["results"]) > 0
    for operation in listed["results"]:
        assert check(await api.client.get(operation["pulp_href"]), "operations_read") == operation


async def test_repositories_are_as_told(api: Site) -> None:
    body = {"name": "zoo", "feed": "https://example.org/zoo/", "notes": {"team": "animals", "size": 3}}
    made = check(await api.client.post(f"{V3}/repositories/", json=body), "repositories_create")
    assert (made["pulp_labels"], made["feed_source"]) == ({"team": "animals"}, "repository")
    await api.client.post(f"{V3}/tasks/", json={"operation": "sync", "arguments": {"repo_id": "zoo"}})
    listed = check(await api.client.get(f"{V3}/repositories/"), "repositories_list")
    assert listed["results"][0]["last_sync"]["state"] == "waiting"
    check(await api.client.get(f"{made['pulp_href']}versions/"), "repositories_rpm_rpm_versions_list")


async def test_logins_and_tokens_are_as_told(api: Site) -> None:
    made = check(await api.client.post(f"{V3}/tokens/", json={"name": "ci", "role": None}), "tokens_create")
    assert made["token"]
    check(await api.client.get(made["pulp_href"]), "tokens_read")
    check(await api.client.get(f"{V3}/tokens/"), "tokens_list")
    assert check(await api.client.get(f"{V3}/login/"), "login_read")["username"]
    task = f"{V3}/tasks/{await api.task()}/"
    for part in ("list_roles", "my_permissions", "profile_artifacts"):
        check(await api.client.get(f"{task}{part}/"), f"tasks_{part}")


async def test_a_name_that_another_token_has_is_a_conflict(api: Site) -> None:
    first, second = [await api.client.post(f"{V3}/tokens/", json={"name": "ci"}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 409)
    assert "has a token named ci already" in second.json()["detail"]


@pytest.mark.parametrize("age", [False, True, 1, "0"])
async def test_an_age_of_orphans_is_null_or_the_number_0(api: Site, age: object) -> None:
    answer = await api.client.post(f"{V3}/orphans/cleanup/", json={"orphan_protection_time": age})
    assert (answer.status_code, list(answer.json())) == (400, ["orphan_protection_time"])


@pytest.mark.parametrize("path", ["tasks/purge/", "task-schedules/preview/"])
async def test_a_path_that_is_no_id_allows_its_own_methods_only(api: Site, path: str) -> None:
    answer = await api.client.options(f"{V3}/{path}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for method in ("GET", "HEAD", "PATCH", "DELETE", "PUT"):  # none of them takes the path for an id
        body = {"state": "canceled"} if path.startswith("tasks/") else {"enabled": False}
        answer = await api.client.request(method, f"{V3}/{path}", json=body if method == "PATCH" else None)
        assert (answer.status_code, answer.headers.get("allow")) == (405, "POST"), (method, answer.text)
    answer = await api.client.options(f"{V3}/tasks/{new_id()}/")
    assert answer.headers["allow"] == "GET, PATCH, DELETE, HEAD"


def test_every_answer_with_fields_is_described_by_the_type_that_makes_it() -> None:
    for _, call in calls():
        for status, answer in call["responses"].items():
            schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
            if not status.startswith("2") or not schema or call["operationId"] in FREE:
                continue
            rows = schema.get("properties", {}).get("results", {}).get("items", schema)
            assert "$ref" in rows, (call["operationId"], status)


def test_every_call_tells_of_the_refusals_that_any_call_meets() -> None:
    for method, call in calls():
        told = set(call["responses"])
        assert "security" not in call or told >= {"401", "429", "503"}, call["operationId"]
        assert method == "get" or told >= {"413", "415"}, call["operationId"]


def schemas(found: Any) -> Iterator[dict[str, Any]]:
    """All schemas in a part of the document."""
    if isinstance(found, dict):
        yield found
        for each in found.values():
            yield from schemas(each)
    elif isinstance(found, list):
        for each in found:
            yield from schemas(each)


def test_null_is_among_the_values_of_a_list_of_values_that_takes_it() -> None:
    for schema in schemas(document()):
        if schema.get("nullable") is True and "enum" in schema:
            assert None in schema["enum"], schema


def parameters(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, schema) of each query parameter whose name ends so."""
    for path, methods in document(only_served=True)["paths"].items():
        for parameter in methods.get("get", {"parameters": ()})["parameters"]:
            if parameter["name"].endswith(name):
                yield path, parameter["schema"]


def test_a_range_has_two_ends() -> None:
    found = [schema for _, schema in parameters("__range")]
    assert found
    assert {(each["minItems"], each["maxItems"]) for each in found} == {(2, 2)}


async def test_every_order_and_state_that_is_told_of_is_taken(api: Site) -> None:
    await api.add(accepted())
    for path, schema in parameters("ordering"):
        path = path.replace("{group_href}", f"{V3}/groups/viewer/")
        words = schema["items"]["enum"]
        answer = await api.client.get(path, params={"ordering": ",".join(words)})
        assert answer.status_code == 200, (path, answer.text)
        assert {f"-{word}" for word in words if not word.startswith("-")} < set(words)
    [state] = [schema for path, schema in parameters("state") if path == f"{V3}/tasks/"]
    for word in state["enum"]:
        assert (await api.client.get(f"{V3}/tasks/", params={"state": word})).status_code == 200, word


async def test_the_document_has_what_is_served_alone_where_that_is_asked_for(api: Site) -> None:
    anybody = api.as_user("")
    found = (await anybody.get(f"{V3}/docs/api.json?served=1&pk_path=1")).json()
    names = {call["operationId"] for methods in found["paths"].values() for call in methods.values()}
    assert "tasks_list" in names
    assert not [name for name in names if name.startswith(("artifacts_", "users_create"))]
    assert not [path for path in found["paths"] if "_href}" in path]
