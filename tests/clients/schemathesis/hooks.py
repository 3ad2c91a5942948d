"""What Schemathesis needs to know about this server, besides its document. Schemathesis itself loads it.

It provides ids of existing objects, so that not every path ends in 404; links from an answer to the calls on the
objects it names; and the reported failures that are not faults, each with its reason. Everything else that it reports
is a fault in the server.
"""

import json
import os
import random
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

schemathesis: Any = import_module("schemathesis")  # of an environment that the tests are not checked in
_KNOWN: Final = json.loads(os.environ["KNOWN_IDS"])
"""Folder → the names of its contents."""
_ADDRESSES: Final = random.Random()
_FOLDER: Final = re.compile(r"/pulp/api/v3/([\w/-]+?)/\{pulp_id\}/")
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")

_NOT_SERVED: Final = "Not served here: the answer is 404 or 405."
_HREF: Final = r"(UUID|URI|PRN) .*|URI couldn't .*|Not a valid PRN: .*", "JSON Schema has no word for an href or a PRN"
_Q: Final = r"q: .*", "`q` has a grammar of its own"
_ARGUMENTS: Final = (
    r"detail: operation [\w-]+(:| needs the argument) .*|arguments\..*|detail: arguments .*",
    "each operation declares its arguments, and GET of it shows how",
)
_OPERATION: Final = r"detail: unknown operation .*", "which operations there are is not in the document"
_QUEUE: Final = (
    r"detail: (unknown queue|no worker that serves queue) .*",
    "which queues there are is not in the document",
)
_OTHER_TASKS: Final = (
    r"detail: ('.*' is neither a task's UUID nor its href|no such task: .*|the parent task .*|a task cannot depend .*)",
    "it names other tasks, which have to be there",
)
_WHEN: Final = (
    r"(detail: )?(cron|at|start|time_zone|name): .*",
    "one of three ways to say when; cron and time zones have a grammar, times may have passed, names are unique",
)
_USERS: Final = r"users: .*", "users may not exist, and may have the role already, or not have it"
_REPOSITORY: Final = (
    r"(feed|notes|sync_options|publish_options)(\..*)?: .*|name: (a repository keeps its name|the id is too long|no repo).*",
    "`sync` and `publish` declare what the options are; a feed is a URL without secrets; names of notes have a length;"
    " a repository keeps its name, which percent-encoded has room in the name of a folder",
)
_PAST: Final = (
    r"detail: (as_of=|as_of shows the past|until goes with wait|wait=).*",
    "the date may not be in the calendar; `wait` and `until` go together, and not with `as_of`; waits have a limit",
)
_CONTAINS: Final = r"arguments__contains: .*", "JSON Schema cannot say that a text is a JSON object"
_PLACES: Final = (
    r"detail: ((type|actor|effect|resource|task|group|since|until|cursor|end|partition)=|'.*' is (not a"
    r" cursor|neither)).*",
    "which types and effects there are, and how actors, resources and places in the log are written",
)
_DAYS: Final = r"detail: since=.* (is after|at most \d+ days).*", "one date limits the other"
_NUL: Final = r".*: (Null characters are not allowed\.|a value cannot be used: a text has a null character.*)"
"""JSON Schema could express it only with a pattern for every text; Pulp 3 does not express it either."""
_REFUSED_FOR_MORE: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "tasks_list": (_Q, _HREF, _PAST, _CONTAINS),
    "workers_list": (_Q, _HREF, (r".*__i?regex: .*", "JSON Schema cannot tell which regular expressions are taken")),
    "task_schedules_list": (_Q, _HREF),
    "task_groups_list": (_HREF,),
    "users_list": (_Q, _HREF),
    "groups_list": (_Q, _HREF),
    "groups_users_list": (_Q, _HREF),
    "repositories_list": (_Q, _HREF),
    "repositories_rpm_rpm_list": (_Q, _HREF),
    "tasks_create": (_OPERATION, _ARGUMENTS, _QUEUE, _OTHER_TASKS),
    "tasks_rerun": (_ARGUMENTS, _QUEUE),
    "tasks_add_role": (_USERS,),
    "tasks_remove_role": (_USERS,),
    "task_schedules_add_role": (_USERS,),
    "task_schedules_remove_role": (_USERS,),
    "tokens_create": ((r"detail: the name of a token .*", "JSON Schema cannot say what is printable"),),
    "repositories_create": (_REPOSITORY,),
    "repositories_rpm_rpm_create": (_REPOSITORY,),
    "repositories_rpm_rpm_partial_update": (_REPOSITORY,),
    "repair_post": (_ARGUMENTS,),
    "tasks_read": (_PAST,),
    "tasks_progress": (_PAST,),
    "queues_list": (_PAST,),
    "resources_list": (_PAST,),
    "resources_line": (_PAST,),
    "audit_list": (_PLACES,),
    "statistics_days_list": (_DAYS,),
    "subscriptions_create": (
        (
            r"(url|since|name|filter)(\..*)?: .*",
            "a URL is that of a public server; a place is in the log; names are unique",
        ),
        (r"detail: (type|resource|actor)s?=.*", "which types there are, and how actors and resources are written"),
    ),
    "task_schedules_create": (_WHEN, _OPERATION, _ARGUMENTS, _QUEUE),
    "task_schedules_preview_new": (_WHEN,),
    "task_schedules_partial_update": (_WHEN, _OPERATION, _ARGUMENTS, _QUEUE),
}
"""Call → the messages of a 400 that its document cannot predict, and why."""
_TASK: Final = "read cancel why history progress list_roles my_permissions profile_artifacts rerun delete"
_SCHEDULE: Final = "read partial_update enable disable preview runs delete"
_LINKS: Final = (
    # the call, its status, where its answer names an object, the object's kind, and the calls on it
    ("tasks_create", "202", "/task", "tasks", _TASK),
    ("tasks_rerun", "202", "/task", "tasks", _TASK),
    ("tasks_list", "200", "/results/0/pulp_href", "tasks", _TASK),
    ("task_groups_list", "200", "/results/0/pulp_href", "task_groups", "read cancel"),
    ("task_schedules_create", "201", "/pulp_href", "task_schedules", _SCHEDULE),
    ("task_schedules_list", "200", "/results/0/pulp_href", "task_schedules", _SCHEDULE),
    (
        "repositories_rpm_rpm_create",
        "201",
        "/pulp_href",
        "repositories_rpm_rpm",
        "read partial_update versions_list delete",
    ),
    (
        "repositories_list",
        "200",
        "/results/0/pulp_href",
        "repositories_rpm_rpm",
        "read partial_update versions_list delete",
    ),
    ("tokens_create", "201", "/pulp_href", "tokens", "read revoke"),
    ("workers_list", "200", "/results/0/pulp_href", "workers", "read"),
    ("operations_list", "200", "/results/0/pulp_href", "operations", "read"),
    ("users_list", "200", "/results/0/pulp_href", "users", "read"),
    ("groups_list", "200", "/results/0/pulp_href", "groups", "read"),
)
"""What OpenAPI cannot say of hrefs: which calls take the id in them."""


@schemathesis.hook  # type: ignore[untyped-decorator]  # of a package that is not installed where types are checked
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Links from each answer that names something to the calls on it."""
    calls = {call["operationId"]: call for methods in raw_schema["paths"].values() for call in methods.values()}
    for source, status, pointer, kind, names in _LINKS:
        calls[source]["responses"][status]["links"] = {
            f"{kind}_{name}": {
                "operationId": f"{kind}_{name}",
                "parameters": {"path.pulp_id": f"$response.body#{pointer}#regex:([^/]+)/$"},
            }
            for name in names.split()
        }


@schemathesis.hook  # type: ignore[untyped-decorator]  # of a package that is not installed where types are checked
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    """The id of an existing object, in place of a random one."""
    found = _FOLDER.match(context.operation.path)
    if not path_parameters or found is None or _ID.fullmatch(str(path_parameters.get("pulp_id"))):
        return path_parameters
    names = _KNOWN.get(found[1], [])
    place = sum(map(ord, str(path_parameters["pulp_id"])))
    return {**path_parameters, "pulp_id": names[place % len(names)]} if names and place % 4 else path_parameters


@schemathesis.hook  # type: ignore[untyped-decorator]  # of a package that is not installed where types are checked
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Each request comes from a different address, so that limits on failed logins stop nothing."""
    address = ".".join(str(_ADDRESSES.randrange(1, 255)) for _ in range(3))
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"10.{address}"}


@schemathesis.hook  # type: ignore[untyped-decorator]  # of a package that is not installed where types are checked
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether the failure is one."""
    definition = case.operation.definition.raw
    kind = type(failure).__name__
    if kind == "UseAfterFree":
        return not definition["operationId"].startswith("tokens_")  # a revoked token is still shown
    if kind == "AcceptedNegativeData":
        return not _is_lenient(definition, failure.message, case.query or {})
    if definition["summary"] == _NOT_SERVED:
        return kind not in ("RejectedPositiveData", "UnsupportedMethodResponse", "AllowHeaderMismatch")
    if kind == "RejectedPositiveData" and response.status_code == 400:
        known = [pattern for pattern, _ in _REFUSED_FOR_MORE.get(definition["operationId"], ())]
        known += [_NUL] if _has_nul(case) else []
        complaints = list(_complaints(response.json()))
        return not complaints or not all(any(_is(pattern, each) for pattern in known) for each in complaints)
    return True


def _has_nul(case: Any) -> bool:
    return "\\u0000" in json.dumps([case.query, case.body, case.path_parameters], default=repr)


def _complaints(body: Any) -> Iterator[str]:
    """The messages of a 400: `FIELD: MESSAGE` for each field, or only the messages."""
    if isinstance(body, list):
        yield from map(str, body)
        return
    for field, told in body.items():
        if field == "arguments" and isinstance(told, dict):
            yield from (f"{field}.{name}: {text}" for name, texts in told.items() for text in texts)
        elif field != "example":
            yield from (f"{field}: {text}" for text in (told if isinstance(told, list) else [told]))


def _is(pattern: str, complaint: str) -> bool:
    return re.fullmatch(pattern, complaint, re.DOTALL) is not None


def _is_lenient(definition: dict[str, Any], message: str, query: dict[str, Any]) -> bool:
    """Whether the request's only faults are query parameters that Pulp does not refuse either."""
    found = re.search(r"Invalid component: parameters? (.*?) in query", message)
    names = re.findall(r"`(\w+)`", found[1]) if found else []
    for line in re.findall(r"^\s*- (\w+: .*)$", message, re.MULTILINE):
        if line.startswith("header: ") and line.endswith("/Authorization"):
            continue  # the login of the run is sent instead
        each = re.fullmatch(r"query: .* at /properties/(\w+)\b.*", line)
        if each is None:
            return False
        names.append(each[1])
    if not names:
        return "/Authorization" in message
    schemas = {each["name"]: each["schema"] for each in definition["parameters"]}
    return all(_takes_anything(name, schemas.get(name), query.get(name)) for name in names)


def _takes_anything(name: str, schema: dict[str, Any] | None, sent: Any) -> bool:
    if schema is None:
        return False
    is_empty = sent in ("", [], [""])  # ignored, as in Pulp
    is_page = name in ("limit", "offset")  # anything except a number above 0 means the default, as in Pulp
    is_flag = schema["type"] == "boolean"  # anything except true and false is ignored, as in Pulp
    is_text = schema.get("items", schema) == {"type": "string"}  # whatever it was, it is sent as text
    return is_empty or is_page or is_flag or is_text
