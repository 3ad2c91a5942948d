"""docs/reference/http.md: each route of the API, from its handlers and the OpenAPI document."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pulp_api.app import routes
from pulp_api.failures import STATUS
from pulp_api.openapi.document import document
from pulp_api.openapi.page import meaning_of, resolved, type_of

from pulp_deploy.reference.handlers import access_of, status_of
from pulp_deploy.reference.markdown import code, table

HREFS: Final = {
    "task_id": "task_href",
    "group_id": "task_group_href",
    "worker_id": "worker_href",
    "schedule_id": "task_schedule_href",
    "subscription_id": "subscription_href",
    "position": "dead_letter_href",
    "username": "auth_user_href",
    "group_name": "group_href",
    "token_id": "token_href",
    "key_id": "subject_href",
    "name": "operation_href",
    "repository_id": "rpm_rpm_repository_href",
    "number": "rpm_rpm_repository_version_href",
}
"""How the OpenAPI document names what ends with this part of a path."""
_HEAD: Final = """# HTTP

The routes of the API. This page is made from the code: `python -m pulp_deploy.reference --write`. The same routes
of v3 are in the OpenAPI document, which every server gives at `/pulp/api/v3/docs/`.

Log in with HTTP Basic or a bearer token ([users](../operate/users.md)).
[API](../operate/api.md) describes what holds for all requests: `Pulp-Min-Position` and
`Idempotency-Key`, limits, quotas, and what a client does after 429 and 503.

| who | may |
| --- | --- |
| anyone | use it without a login |
| user | use it with any role |
| submitter | needs the role submitter or admin |
| operator, or the submitter | operators and admins for any task, submitters for their own |
| operator or submitter | needs the role operator, submitter or admin |
| auditor, or an administrator | needs the role auditor or admin |
| operator, or an administrator | needs the role operator or admin |
| owner, or an administrator | administrators for any task, submitters for those that they own |
| the user, or an administrator | any role for what is their own, administrators for all |

## Errors

What any route may answer besides its own codes. The body is `{"detail": TEXT}` in v3, and Pulp 2's error report in
v2.
"""


def text() -> str:
    """The page."""
    served = list(_served())
    parts = [_HEAD, table(("status", "errors"), _errors())]
    for title, prefix in (("v3", "/pulp/api/v3/"), ("v2", "/pulp/api/v2/")):
        chosen = [each for each in served if each[1].startswith(prefix)]
        parts.append(f"\n## Dialect {title}: {'as in Pulp ' + title[1]}\n")
        parts += [_section(*each) for each in chosen]
    parts.append("\n## Parts of Pulp 2 that are not served\n" + table(("route", "answer"), _refused()))
    others = [(code(f"{method} {path}"), _sentence(route)) for method, path, route in served if "/api/" not in path]
    parts.append("\n## Beside the API\n" + table(("route", "what it does"), others))
    return "".join(parts)


def _served() -> Iterator[tuple[str, str, APIRoute]]:
    """(method, path, route) of each that is described, by path."""
    described = (route for route in routes() if route.include_in_schema)
    found = [(method, route.path, route) for route in described for method in route.methods or ()]
    yield from sorted(found, key=lambda each: (each[1], each[0]))


def _refused() -> Iterator[tuple[str, str]]:
    """The routes that are only refused, and how, by path."""
    for route in sorted(routes(), key=lambda route: route.path):
        if not route.include_in_schema:
            yield ", ".join(code(f"{method} {route.path}") for method in sorted(route.methods or ())), _sentence(route)


def documented(method: str, path: str) -> dict[str, Any] | None:
    """What the OpenAPI document says of a route; None for one of another dialect."""
    href = re.sub(r"^.*\{(\w+)\}/", lambda match: "{" + HREFS.get(match[1], "") + "}", path)
    found: dict[str, Any] | None = document()["paths"].get(href, {}).get(method.lower())
    return found if path.startswith("/pulp/api/v3/") else None


def _section(method: str, path: str, route: APIRoute) -> str:
    call = documented(method, path)
    access = access_of(route)
    parts = [f"\n### {method} {path}\n\n{_sentence(route) if call is None else call['summary']}\n"]
    if call is None:
        answers = f"{status_of(route)}"
        parameters = [(code(each.alias), type_of_parameter(each), "") for each in _query(route.dependant)]
    else:
        answers = ", ".join(call["responses"])
        asked = [each for each in call["parameters"] if each["in"] == "query"]
        parameters = [(code(each["name"]), type_of(each["schema"]), meaning_of(each["schema"])) for each in asked]
    parts.append(f"\nWho: {access}. Answers: {answers}.\n")
    parts.append(_titled("Query", ("parameter", "type", "meaning"), parameters))
    if call is not None:
        parts.append(_titled("Body", ("field", "type", "meaning"), list(_body(call))))
        parts.append(_titled("Answer", ("field", "type", "meaning"), list(_answer(call))))
    return "".join(parts)


def _titled(title: str, heads: tuple[str, ...], rows: list[tuple[str, str, str]]) -> str:
    return f"\n{title}:\n{table(heads, rows)}" if rows else ""


def _sentence(route: APIRoute) -> str:
    return cleandoc(route.endpoint.__doc__ or "")


def _query(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for each in dependant.dependencies:
        yield from _query(each)


def type_of_parameter(parameter: Any) -> str:
    """A parameter's type in words."""
    told = str(parameter.field_info.annotation)
    kind = next((word for part, word in _TYPES.items() if part in told), "string")
    return f"list of {kind}" if "list" in told else kind


_TYPES: Final = {"int": "integer", "bool": "boolean", "datetime": "date-time"}


def _body(call: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "requestBody" in call:
        yield from _properties(call["requestBody"]["content"]["application/json"]["schema"])


def _answer(call: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for status, answer in call["responses"].items():
        if status.startswith("2"):
            for content in answer.get("content", {}).values():
                yield from _properties(content["schema"])


def _properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    found = resolved(dict(schema), document()["components"]["schemas"])
    for name, each in found.get("properties", {}).items():
        needed = "required" if name in found.get("required", ()) else ""
        yield code(name), type_of(each), "; ".join(filter(None, [needed, meaning_of(each)]))


def _errors() -> Iterator[tuple[str, str]]:
    by_status: dict[int, list[str]] = {}
    for kind, status in STATUS:
        by_status.setdefault(status, []).append(_of_error(kind))
    for status, errors in sorted(by_status.items()):
        yield f"{status} {HTTPStatus(status).phrase}", " ".join(dict.fromkeys(filter(None, errors)))


def _of_error(kind: type[Exception]) -> str:
    """The first sentence of an error of ours; the clients' own errors say that a server is away."""
    if not kind.__module__.startswith("pulp_"):
        return ""
    sentence = (kind.__doc__ or "").strip().partition("\n\n")[0]
    return sentence if sentence.endswith(".") else f"{sentence}."
