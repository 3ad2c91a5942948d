"""Every href and every PRN that an answer of the v3 dialect holds leads somewhere, and every answer is as described."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
from jsonschema import Draft202012Validator
from pulp_accounts import users
from pulp_accounts.users import Role
from pulp_api.openapi.document import document
from pulp_api.schedules import Schedules
from pulp_events.events import Access, Outcome, Resource, TaskError

from tests.integration.test_api_schedules import NIGHTLY, ProjectedLog
from tests.integration.test_api_workers import add_worker
from tests.support.assigned import assign
from tests.support.events import accepted, finished, started
from tests.support.site import V3, Site

HREF = re.compile(rf"(?:http://pulp)?{V3}/[^\s\"'<>{{}}]*")
PRN = re.compile(r"prn:[a-z_]+\.[a-z_]+:\S+")
LISTS = {
    "core.task": "tasks",
    "core.taskgroup": "task-groups",
    "core.taskschedule": "task-schedules",
    "core.worker": "workers",
    "core.user": "users",
    "core.group": "groups",
    "rpm.rpmrepository": "repositories/rpm/rpm",
}
"""Where a PRN is looked up: `prn__in` of its list, as pulp-cli does."""
NOT_TO_GET = ("events/",)
"""A stream, which never ends."""


def texts_in(answer: Any) -> Iterator[str]:
    """Every text of an answer."""
    match answer:
        case str():
            yield answer
        case dict():
            for value in answer.values():
                yield from texts_in(value)
        case list():
            for value in answer:
                yield from texts_in(value)


async def populate(api: Site) -> None:
    """Create one of everything that answers refer to."""
    await api.add_user("gone", Role.SUBMITTER)
    await api.add_user("jo d.", Role.SUBMITTER)
    group, parent = uuid4(), await api.task("parent")
    zoo = Resource("repository", "zoo")
    child = await api.task("sync", parent_id=parent, group_id=group, resources=(zoo,))
    failed = await api.task("sync", group_id=group, resources=(zoo, Resource("repository", "bar", Access.SHARED)))
    partition = api.partition_of(failed, zoo)
    await api.add(started(failed), partition)
    await api.add(finished(failed, outcome=Outcome.FAILED, error=TaskError("operation-failed", "no")), partition)
    await api.client.post(f"{V3}/tasks/{failed}/rerun/", json={"arguments": {"repo_id": "zoo"}})
    await api.task("sync", depends_on=(child,), group_id=group)
    for name in ("gone", "jo d."):
        await api.add(msgspec.structs.replace(accepted(uuid4()), actor=f"user:{name}"))
    async with api.connect() as connection:
        await users.remove_user(connection, "gone")
        await assign(connection, child, instance_id=await add_worker(api, "w1"), uses={zoo.key: True})
    await api.client.post(f"{V3}/repositories/", json={"name": "zoo", "feed": "http://localhost/zoo/"})
    app: Any = api.client._transport.app  # type: ignore[attr-defined]  # of the transport that the site makes
    app.state.schedules = Schedules(
        ProjectedLog(api.database), app.state.service.connection, app.state.service.submitter
    )
    made = await api.client.post(f"{V3}/task-schedules/", json=NIGHTLY)
    assert made.status_code == 201, made.text


async def found_dead(api: Site, text: str) -> str | None:
    """What is wrong with an href or a PRN; None if it leads somewhere."""
    if PRN.fullmatch(text):
        kind = text.split(":")[1]
        answer = await api.client.get(f"{V3}/{LISTS[kind]}/", params={"prn__in": text})
        if answer.status_code == 200 and answer.json()["count"] == 1:
            return None
        if kind == "core.user":  # no list has a removed user, but the href still says who it was
            known = await api.client.get(f"{V3}/users/{text.split(':', 2)[2]}/")
            if known.status_code == 200 and not known.json()["is_active"]:
                return None
        return f"{text}: {answer.text}"
    answer = await api.client.get(text)
    return None if answer.status_code == 200 else f"{text}: {answer.status_code}"


async def test_no_href_and_no_prn_of_any_answer_is_dead(api: Site) -> None:
    await populate(api)
    waiting, seen, kinds = [f"{V3}/"], set(), set()
    while waiting:
        text = waiting.pop()
        if text in seen or text.endswith(NOT_TO_GET):
            continue
        seen.add(text)
        assert await found_dead(api, text) is None
        if not text.startswith("prn:"):
            answer = await api.client.get(text)
            if answer.headers["content-type"] != "application/json" or "/docs/" in text:
                continue
            waiting += [each for each in texts_in(answer.json()) if HREF.fullmatch(each) or PRN.fullmatch(each)]
            kinds.add(text.removeprefix("http://pulp").removeprefix(f"{V3}/").partition("/")[0])
    assert {
        "tasks",
        "task-groups",
        "task-schedules",
        "workers",
        "users",
        "groups",
        "repositories",
        "operations",
        "status",
    } <= kinds


HREFS = {
    "tasks/": "{task_href}",
    "task-groups/": "{task_group_href}",
    "workers/": "{worker_href}",
    "users/": "{auth_user_href}",
    "groups/": "{group_href}",
}


def schema_of(path: str) -> dict[str, Any]:
    """The schema of a GET's answer, with everything that it refers to."""
    text = document()
    found: dict[str, Any] = text["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return {**nullable(found), "components": nullable(text["components"])}


def nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema has it; no undescribed field may be there."""
    if isinstance(schema, list):
        return [nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: nullable(value) for key, value in schema.items() if key != "nullable"}
    if "properties" in found and found.get("type") == "object":
        found["additionalProperties"] = False
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found


async def test_each_answer_has_the_fields_and_types_that_the_document_describes(api: Site) -> None:
    await populate(api)
    for folder, single in HREFS.items():
        page = (await api.client.get(f"{V3}/{folder}")).json()
        Draft202012Validator(schema_of(f"{V3}/{folder}")).validate(page)
        assert page["results"]
        for row in page["results"]:
            answer = (await api.client.get(row["pulp_href"])).json()
            Draft202012Validator(schema_of(single)).validate(answer)
    for path in ("status/", "readyz/"):
        answer = (await api.client.get(f"{V3}/{path}")).json()
        Draft202012Validator(schema_of(f"{V3}/{path}")).validate(answer)
    task = (await api.client.get(f"{V3}/tasks/")).json()["results"][0]["pulp_href"]
    history = (await api.client.get(f"{task}history/")).json()
    Draft202012Validator(schema_of("{task_href}history/")).validate(history)
