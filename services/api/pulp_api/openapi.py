"""The OpenAPI document for pulp-cli: its client finds calls by operationId, and needs hrefs as paths."""

from typing import Any, Final

EMULATED: Final = "3.123.1"
"""The release of pulpcore whose interface this one follows; clients decide by it what they may use."""

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
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
    "worker": _TEXT,
    "created_resources": _TEXT,
    "reserved_resources": _TEXT,
    "reserved_resources__in": _LIST,
    "exclusive_resources": _TEXT,
    "exclusive_resources__in": _LIST,
    "shared_resources": _TEXT,
    "shared_resources__in": _LIST,
    "pulp_id__in": _LIST,
    "pulp_href__in": _LIST,
    "prn__in": _LIST,
} | {
    f"{field}{lookup}": _FLAG if lookup == "__isnull" else _TIME
    for field in ("pulp_created", "started_at", "finished_at", "unblocked_at")
    for lookup in ("", "__lt", "__lte", "__gt", "__gte", "__isnull")
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
_PAGE: Final = {
    "type": "object",
    "properties": {"count": _NUMBER, "results": {"type": "array", "items": {"type": "object"}}},
}


def document() -> dict[str, Any]:
    """The document. Clients keep it, and fetch it again when a version in it differs from the status's."""
    cancel = {"type": "object", "properties": {"state": {"type": "string", "enum": ["canceled"]}}}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Pulp Tasks",
            "version": "v3",
            "x-pulp-app-versions": {"core": EMULATED},
            "x-pulp-domain-enabled": False,
        },
        "paths": {
            "/pulp/api/v3/status/": {"get": _call("status_read", secured=False)},
            "/pulp/api/v3/tasks/": {
                "get": _call("tasks_list", query=_TASK_FILTERS, schema=_PAGE),
                "post": _call("tasks_create", body={"type": "object"}, codes=(202, 400)),
            },
            "{task_href}": {
                "get": _call(
                    "tasks_read", href="task_href", query={"fields": _LIST, "exclude_fields": _LIST, "as_of": _TEXT}
                ),
                "patch": _call("tasks_cancel", href="task_href", body=cancel, codes=(200, 409)),
            },
            "/pulp/api/v3/workers/": {"get": _call("workers_list", query=_WORKER_FILTERS, schema=_PAGE)},
            "{worker_href}": {"get": _call("workers_read", href="worker_href")},
        },
        "components": {"securitySchemes": {"basicAuth": {"type": "http", "scheme": "basic"}}},
    }


def _call(
    operation_id: str,
    *,
    href: str | None = None,
    query: dict[str, dict[str, Any]] | None = None,
    schema: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    codes: tuple[int, ...] = (200,),
    secured: bool = True,
) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    if href is not None:
        parameters.append({"name": href, "in": "path", "required": True, "schema": _TEXT})
    for name, kind in (query or {}).items():
        exploded = {"explode": False, "style": "form"} if kind is _LIST and "fields" not in name else {}
        parameters.append({"name": name, "in": "query", "schema": kind, **exploded})
    content = {"application/json": {"schema": schema or {"type": "object"}}}
    call: dict[str, Any] = {
        "operationId": operation_id,
        "parameters": parameters,
        "responses": {str(code): {"description": "", "content": content} for code in codes},
    }
    if body is not None:
        call["requestBody"] = {"content": {"application/json": {"schema": body}}, "required": True}
    if secured:
        call["security"] = [{"basicAuth": []}]
    return call
