"""The OpenAPI paths of the server itself: its status, its documents, workers, task groups, maintenance. Pure."""

from typing import Any, Final

from pulp_api.authenticated_call import MAX_REASON
from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.v3.answers import AcceptedResponse
from pulp_api.v3.events import PARAMETERS as STREAM_PARAMETERS
from pulp_api.v3.operations import PARAMETERS as OPERATION_PARAMETERS
from pulp_api.v3.operations import OperationResponse
from pulp_api.v3.parameters import FLAG, NUMBER, TEXT, QueryParameter, Schema, controls, or_null
from pulp_api.v3.system import ReadyResponse, StatusResponse
from pulp_api.v3.task_groups import GROUP_FILTERS, TaskGroupResponse
from pulp_api.v3.workers import WORKER_FILTERS, WorkerResponse

CANCEL: Final[Schema] = {
    "type": "object",
    "properties": {
        "state": {"type": "string", "enum": ["canceled"]},
        "reason": {"type": "string", "nullable": True, "maxLength": MAX_REASON},
    },
    "required": ["state"],
}
_ORPHANS: Final = {
    "type": "object",
    "properties": {
        "content_hrefs": {"type": "array", "nullable": True, "items": TEXT, "enum": [None], "description": "Refused."},
        "orphan_protection_time": or_null({"type": "integer", "enum": [0]}),
    },
}
_REPAIR: Final = {
    "type": "object",
    "additionalProperties": False,
    "description": "The arguments of the operation `repair`, as it declares them, and one of Pulp 3.",
    "properties": {
        "verify_checksums": {"type": "boolean", "enum": [True], "default": True},
        "repo_id": or_null(TEXT),
        "feed": or_null(TEXT),
        "concurrency": NUMBER,
        "verify_tls": FLAG,
        "credential": or_null(TEXT),
    },
}
_DOCUMENT: Final = [
    QueryParameter("pk_path", {**FLAG, "description": "Paths with ids in place of hrefs."}),
    QueryParameter("served", {**FLAG, "description": "Leave out the calls of Pulp 3 that are not served here."}),
    QueryParameter("component", {**TEXT, "description": "There is only `core`; the document is empty for any other."}),
]


def paths(root: str) -> dict[str, Any]:
    """The calls by path."""
    fields, group, worker = controls("fields exclude_fields"), answer(TaskGroupResponse), answer(WorkerResponse)
    href = "task_group_href"
    return {
        f"{root}/task-groups/": {
            "get": call("task_groups_list", query=GROUP_FILTERS.parameters, schema=page(group), codes=(200, 400, 504))
        },
        "{task_group_href}": {
            "get": call("task_groups_read", href=href, query=fields, schema=group, codes=(200, 400, 404, 504)),
            "patch": call(
                "task_groups_cancel",
                href=href,
                body=CANCEL,
                schema=group,
                codes=(200, 400, 403, 404, 409, 413, 504),
            ),
        },
        f"{root}/operations/": {
            "get": call(
                "operations_list",
                query=OPERATION_PARAMETERS,
                schema=page(answer(OperationResponse)),
                codes=(200, 400),
            )
        },
        "{operation_href}": {
            "get": call("operations_read", href="operation_href", schema=answer(OperationResponse), codes=(200, 404))
        },
        f"{root}/workers/": {
            "get": call("workers_list", query=WORKER_FILTERS.parameters, schema=page(worker), codes=(200, 400))
        },
        "{worker_href}": {
            "get": call("workers_read", href="worker_href", query=fields, schema=worker, codes=(200, 404))
        },
        f"{root}/orphans/cleanup/": {"post": _maintenance("orphans_cleanup_cleanup", _ORPHANS)},
        f"{root}/repair/": {"post": _maintenance("repair_post", _REPAIR)},
        f"{root}/events/": {
            "get": call(
                "events_stream",
                query=STREAM_PARAMETERS,
                codes=(200, 400, 410),
                media_type="text/event-stream",
            )
        },
        **_open(root),
    }


def _open(root: str) -> dict[str, Any]:
    """The calls that need no login."""
    docs, yaml = f"{root}/docs/", "application/yaml"
    return {
        f"{root}/status/": {"get": call("status_read", schema=answer(StatusResponse), secured=False)},
        f"{root}/livez/": {"get": call("livez_read", secured=False)},
        f"{root}/readyz/": {"get": call("readyz_read", schema=answer(ReadyResponse), secured=False, codes=(200, 503))},
        f"{root}/": {"get": call("root_read", secured=False)},
        docs: {"get": call("docs_read", secured=False, media_type="text/html")},
        f"{docs}api.json": {"get": call("docs_api.json_get", query=_DOCUMENT, secured=False)},
        f"{docs}asyncapi.json": {"get": call("docs_asyncapi.json_get", secured=False)},
        f"{docs}events/": {"get": call("docs_events_read", secured=False, media_type="text/html")},
        f"{docs}schemas/{{name}}.json": {
            "get": call("docs_schemas_read", href="name", secured=False, codes=(200, 404))
        },
        f"{docs}api.yaml": {"get": call("docs_api.yaml_get", query=_DOCUMENT, secured=False, media_type=yaml)},
    }


def _maintenance(operation_id: str, body: Schema) -> dict[str, Any]:
    codes = (202, 400, 403, 413, 422)
    return call(operation_id, body=body, schema=answer(AcceptedResponse), needs_body=False, codes=codes)
