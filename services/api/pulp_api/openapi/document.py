"""The OpenAPI document for pulp-cli: its client finds calls by operationId, and needs hrefs as paths."""

from typing import Any, Final

from pulp_api.context import MAX_REASON
from pulp_api.openapi import repositories
from pulp_api.openapi.calls import call
from pulp_api.openapi.operations import ACCEPTED, OPERATION, OPERATIONS
from pulp_api.v3.waiting import Code

EMULATED: Final = "3.123.1"
"""The release of pulpcore whose interface this one follows; clients decide by it what they may use."""

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_TIMES: Final[dict[str, Any]] = {"type": "array", "items": _TIME}
_NUMBER: Final[dict[str, Any]] = {"type": "integer"}
_FLAG: Final[dict[str, Any]] = {"type": "boolean"}
_LIST: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}
_TASK_FILTERS: Final[dict[str, dict[str, Any]]] = {
    "limit": _NUMBER,
    "offset": _NUMBER,
    "ordering": _LIST,
    "fields": _LIST,
    "exclude_fields": _LIST,
    "minimal": _FLAG,
    "q": _TEXT,
    "name": _TEXT,
    "name__contains": _TEXT,
    "name__in": _LIST,
    "name__ne": _TEXT,
    "logging_cid": _TEXT,
    "logging_cid__contains": _TEXT,
    "state": _TEXT,
    "state__in": _LIST,
    "state__ne": _TEXT,
    "task_group": _TEXT,
    "parent_task": _TEXT,
    "child_tasks": _TEXT,
    "rerun_of": _TEXT,
    "rerun_of__isnull": _FLAG,
    "reruns__isnull": _FLAG,
    "tags": _LIST,
    "worker": _TEXT,
    "created_resources": _TEXT,
    "reserved_resources": _TEXT,
    "reserved_resources__in": _LIST,
    "exclusive_resources": _TEXT,
    "exclusive_resources__in": _LIST,
    "shared_resources": _TEXT,
    "shared_resources__in": _LIST,
    "pulp_id__in": _LIST,
    "pulp_id__startswith": _TEXT,
    "pulp_href__in": _LIST,
    "prn__in": _LIST,
} | {
    f"{field}{lookup}": {"__isnull": _FLAG, "__range": _TIMES}.get(lookup, _TIME)
    for field in ("pulp_created", "started_at", "finished_at", "unblocked_at")
    for lookup in ("", "__lt", "__lte", "__gt", "__gte", "__range", "__isnull")
}
_WORKER_FILTERS: Final[dict[str, dict[str, Any]]] = {
    "limit": _NUMBER,
    "offset": _NUMBER,
    "fields": _LIST,
    "exclude_fields": _LIST,
    "name": _TEXT,
    "name__in": _LIST,
    "name__contains": _TEXT,
    "name__icontains": _TEXT,
    "name__startswith": _TEXT,
    "online": _FLAG,
    "missing": _FLAG,
}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 255}
_TAG: Final = {"type": "string", "minLength": 1, "maxLength": 640}
_TIME_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": 315_360_000, "nullable": True}
_SUBMISSION: Final = {
    "type": "object",
    "required": ["operation"],
    "additionalProperties": False,
    "properties": {
        "operation": _NAME,
        "arguments": {"type": "object"},
        "resources": {
            "type": "array",
            "maxItems": 100,
            "nullable": True,
            "items": {
                "type": "object",
                "required": ["type", "id"],
                "properties": {
                    "type": _NAME,
                    "id": _NAME,
                    "access": {"type": "string", "enum": ["exclusive", "shared"], "default": "exclusive"},
                },
            },
        },
        "tags": {"type": "array", "items": _TAG, "maxItems": 100, "nullable": True},
        "queue": {**_NAME, "default": "default"},
        "priority": {"type": "integer", "minimum": -1000, "maximum": 1000, "default": 0},
        "group_id": {"type": "string", "format": "uuid", "nullable": True},
        "parent_task": {"type": "string", "nullable": True, "description": "UUID or href"},
        "depends_on": {**_LIST, "maxItems": 100, "description": "UUIDs or hrefs"},
        "timeout_seconds": _TIME_LIMIT,
    },
}
_RERUN: Final = {
    "type": "object",
    "additionalProperties": False,
    "description": "What changes; all else is as it was. Without a body nothing changes.",
    "properties": {
        "arguments": {
            "type": "object",
            "description": "Each takes the place of the one with its name; null removes it.",
        },
        "queue": _NAME,
        "priority": {"type": "integer", "minimum": -1000, "maximum": 1000},
        "timeout_seconds": _TIME_LIMIT,
    },
}
_PAGE: Final = {
    "type": "object",
    "properties": {"count": _NUMBER, "results": {"type": "array", "items": {"type": "object"}}},
}

_TASK_PAGE: Final = {
    "type": "object",
    "properties": {
        "count": {
            "type": "integer",
            "description": "Exact for filters on state and name alone, else up to 10,000. Above that an estimate,"
            " and the answer has the header Pulp-Count: estimate.",
        },
        "results": {"type": "array", "items": {"type": "object"}},
    },
}


_WAITING_FOR: Final = {
    "type": "object",
    "nullable": True,
    "description": "Why the task waits now; null if it does not, and with as_of.",
    "properties": {
        "reason": {"type": "string", "enum": [code.value for code in Code]},
        "message": {"type": "string", "description": "One plain sentence."},
        "tasks": {**_LIST, "description": "Hrefs of the tasks that it waits for."},
        "resource": {"type": "string", "nullable": True},
        "access": {"type": "string", "nullable": True, "description": "How it is held: exclusive or shared."},
        "root_cause": {
            "type": "object",
            "nullable": True,
            "description": "The same of the last task in the row, if it waits for a task that waits itself.",
        },
    },
}
_TASK: Final = {"type": "object", "properties": {"pulp_href": _TEXT, "waiting_for": _WAITING_FOR}}


def document() -> dict[str, Any]:
    """The document. Clients keep it, and fetch it again when a version in it differs from the status's."""
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Pulp Tasks",
            "version": "v3",
            "x-pulp-app-versions": {"core": EMULATED},
            "x-pulp-domain-enabled": False,
        },
        "paths": _paths(),
        "components": {
            "securitySchemes": {"basicAuth": {"type": "http", "scheme": "basic"}},
            "schemas": {"Submission": _SUBMISSION, "Rerun": _RERUN},
        },
    }


def _paths() -> dict[str, Any]:
    root = "/pulp/api/v3"
    state = {"type": "string", "enum": ["canceled"]}
    reason = {"type": "string", "nullable": True, "maxLength": MAX_REASON}
    cancel = {"type": "object", "properties": {"state": state, "reason": reason}, "required": ["state"]}
    submission = {"$ref": "#/components/schemas/Submission"}
    read = {"fields": _LIST, "exclude_fields": _LIST, "minimal": _FLAG, "as_of": _TEXT}
    return {
        f"{root}/status/": {"get": call("status_read", secured=False)},
        f"{root}/livez/": {"get": call("livez_read", secured=False)},
        f"{root}/readyz/": {"get": call("readyz_read", secured=False, codes=(200, 503))},
        f"{root}/": {"get": call("root_read", secured=False)},
        f"{root}/docs/": {"get": call("docs_read", secured=False, media_type="text/html")},
        f"{root}/docs/api.json": {"get": call("docs_api.json_get", secured=False)},
        f"{root}/docs/api.yaml": {"get": call("docs_api.yaml_get", secured=False, media_type="application/yaml")},
        f"{root}/tasks/": {
            "get": call("tasks_list", query=_TASK_FILTERS, schema=_TASK_PAGE, codes=(200, 400, 504)),
            "post": call("tasks_create", body=submission, schema=ACCEPTED, codes=(202, 400, 403, 413, 422)),
        },
        "{task_href}": {
            "get": call("tasks_read", href="task_href", query=read, schema=_TASK, codes=(200, 400, 404, 504)),
            "patch": call("tasks_cancel", href="task_href", body=cancel, codes=(200, 400, 403, 404, 409, 413, 504)),
        },
        "{task_href}rerun/": {
            "post": call(
                "tasks_rerun",
                href="task_href",
                body={"$ref": "#/components/schemas/Rerun"},
                schema=ACCEPTED,
                needs_body=False,
                codes=(202, 400, 403, 404, 409, 413, 422),
            )
        },
        "{task_href}progress/": {
            "get": call("tasks_progress", href="task_href", query={"as_of": _TEXT}, codes=(200, 400, 404, 504))
        },
        "{task_href}history/": {
            "get": call(
                "tasks_history",
                href="task_href",
                query={"limit": _NUMBER, "after": _TEXT},
                schema=_PAGE,
                codes=(200, 400, 404, 504),
            )
        },
        f"{root}/operations/": {"get": call("operations_list", schema=OPERATIONS)},
        "{operation_href}": {"get": call("operations_read", href="operation_href", schema=OPERATION, codes=(200, 404))},
        **repositories.paths(root),
        f"{root}/workers/": {"get": call("workers_list", query=_WORKER_FILTERS, schema=_PAGE, codes=(200, 400))},
        "{worker_href}": {"get": call("workers_read", href="worker_href", codes=(200, 404))},
        f"{root}/events/": {
            "get": call(
                "events_stream",
                query={"task": _TEXT, "type": _LIST, "since": _TIME, "last_event_id": _TEXT},
                codes=(200, 400, 410),
                media_type="text/event-stream",
            )
        },
    }
