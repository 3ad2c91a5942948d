"""What Schemathesis needs to know of this server, beside its document. Loaded by Schemathesis itself.

It gets ids of what there is, so that not every path ends in 404; links from an answer to the calls on what it names;
and the failures that are none, each with its reason. Everything else that it reports is a fault of the server.
"""

import json
import os
import random
import re
from importlib import import_module
from typing import Any, Final

schemathesis: Any = import_module("schemathesis")  # of an environment that the tests are not checked in
_KNOWN: Final = json.loads(os.environ["KNOWN_IDS"])
"""Folder → names of what is in it."""
_ADDRESSES: Final = random.Random()
_FOLDER: Final = re.compile(r"/pulp/api/v3/([\w/-]+?)/\{pulp_id\}/")
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")

_NOT_SERVED: Final = "Not served here: the answer is 404 or 405."
_REFUSED_FOR_MORE: Final[dict[str, str]] = {
    "tasks_list": "`q` has a grammar; regular expressions, hrefs and PRNs may be none",
    "workers_list": "the same",
    "task_schedules_list": "the same",
    "task_groups_list": "hrefs and PRNs may be none",
    "tasks_create": "the operation may be unknown, or not take the arguments; other tasks may not exist",
    "tasks_rerun": "the operation may not take the arguments; the queue may be unknown",
    "tasks_read": "`as_of` is a time or a position",
    "tasks_progress": "the same",
    "tasks_history": "`after` is a position",
    "tasks_add_role": "users may not exist, or have the role",
    "tasks_remove_role": "users may not exist, or not have the role",
    "tokens_create": "the name of a token is printable, and not like a token",
    "repositories_create": "`sync` and `publish` declare what the options are; a feed has no secrets",
    "repositories_rpm_rpm_create": "the same",
    "repositories_rpm_rpm_partial_update": "the same",
    "repair_post": "the operation declares what it takes",
    "task_schedules_create": "one of three ways to say when; cron and time zones have a grammar",
    "task_schedules_preview_new": "the same",
    "task_schedules_partial_update": "the same",
    "resources_line": "TYPE:ID",
}
"""Call → what its document cannot tell, so that a request that fits the document may be answered 400."""
_TASK: Final = "read cancel why history progress list_roles my_permissions profile_artifacts rerun delete"
_SCHEDULE: Final = "read partial_update enable disable preview runs delete"
_LINKS: Final = (
    # the call, its status, where its answer names something, of which kind, and the calls on it
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
    """The id of something that there is, in place of one by chance."""
    found = _FOLDER.match(context.operation.path)
    if not path_parameters or found is None or _ID.fullmatch(str(path_parameters.get("pulp_id"))):
        return path_parameters
    names = _KNOWN.get(found[1], [])
    place = sum(map(ord, str(path_parameters["pulp_id"])))
    return {**path_parameters, "pulp_id": names[place % len(names)]} if names and place % 4 else path_parameters


@schemathesis.hook  # type: ignore[untyped-decorator]  # of a package that is not installed where types are checked
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Each request comes from an address of its own, so that limits on failed logins stop nothing."""
    address = ".".join(str(_ADDRESSES.randrange(1, 255)) for _ in range(3))
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"10.{address}"}


@schemathesis.hook  # type: ignore[untyped-decorator]  # of a package that is not installed where types are checked
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether the failure is one."""
    definition = case.operation.definition.raw
    kind = type(failure).__name__
    if kind == "AcceptedNegativeData":
        return not _is_lenient(definition, failure.message, case.query or {})
    if definition["summary"] == _NOT_SERVED:
        return kind not in ("RejectedPositiveData", "UnsupportedMethodResponse", "AllowHeaderMismatch")
    if kind == "RejectedPositiveData" and response.status_code == 400:
        return definition["operationId"] not in _REFUSED_FOR_MORE
    return True


def _is_lenient(definition: dict[str, Any], message: str, query: dict[str, Any]) -> bool:
    """Whether all that is wrong with the request are query parameters that Pulp does not refuse either."""
    found = re.search(r"Invalid component: parameters? (.*?) in query", message)
    if found is None:
        return False
    schemas = {each["name"]: each["schema"] for each in definition["parameters"]}
    return all(_takes_anything(name, schemas.get(name), query.get(name)) for name in re.findall(r"`(\w+)`", found[1]))


def _takes_anything(name: str, schema: dict[str, Any] | None, sent: Any) -> bool:
    if schema is None:
        return False
    is_empty = sent in ("", [], [""])  # ignored, as in Pulp
    is_page = name in ("limit", "offset")  # anything but a number above 0 means the default, as in Pulp
    is_flag = schema["type"] == "boolean"  # what is neither true nor false is ignored, as in Pulp
    is_text = schema.get("items", schema) == {"type": "string"}  # whatever it was, it is sent as text
    return is_empty or is_page or is_flag or is_text
