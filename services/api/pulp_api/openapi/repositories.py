"""What the OpenAPI document says of repositories."""

from typing import Any, Final

from pulp_api.openapi.calls import call
from pulp_api.openapi.operations import ACCEPTED
from pulp_api.submitting.repository_bodies import MOST_DESCRIPTION, MOST_NAME

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TEXT_OR_NULL: Final[dict[str, Any]] = {"type": "string", "nullable": True}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_NUMBER: Final[dict[str, Any]] = {"type": "integer"}
_NUMBER_OR_NULL: Final[dict[str, Any]] = {"type": "integer", "nullable": True}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_LIST: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}

_FILTERS: Final[dict[str, dict[str, Any]]] = {
    "limit": _NUMBER,
    "offset": _NUMBER,
    "ordering": _LIST,
    "fields": _LIST,
    "exclude_fields": _LIST,
    "name": _TEXT,
    "name__in": _LIST,
    "name__contains": _TEXT,
    "name__icontains": _TEXT,
    "name__startswith": _TEXT,
}
_SAID: Final[dict[str, Any]] = {
    "display_name": {**_TEXT_OR_NULL, "maxLength": MOST_NAME},
    "description": {**_TEXT_OR_NULL, "maxLength": MOST_DESCRIPTION},
    "notes": {**_OBJECT, "nullable": True, "description": "Whatever its users note; null takes a key away."},
    "feed": {**_TEXT_OR_NULL, "description": "Where a sync that names no feed fetches from."},
    "sync_options": {
        **_OBJECT,
        "nullable": True,
        "description": "Arguments of `sync` that a submission may leave out; null takes one away.",
    },
    "publish_options": {**_OBJECT, "nullable": True, "description": "The same of `publish`."},
}
_CHANGE: Final = {"type": "object", "additionalProperties": False, "properties": {"name": _TEXT, **_SAID}}
_NEW: Final = {**_CHANGE, "required": ["name"]}
_REPAIR: Final = {
    "type": "object",
    "description": "Arguments of the operation `repair`.",
    "properties": {"verify_checksums": {"type": "boolean", "enum": [True], "default": True}},
}
_RUN: Final = {
    "type": "object",
    "nullable": True,
    "properties": {
        "task": {"type": "string", "description": "The href of the task."},
        "state": _TEXT,
        "submitted_at": _TIME,
        "started_at": {**_TIME, "nullable": True},
        "finished_at": {**_TIME, "nullable": True},
        "error": {"type": "object", "nullable": True, "properties": {"code": _TEXT, "description": _TEXT}},
    },
}
REPOSITORY: Final = {
    "type": "object",
    "properties": {
        "pulp_href": _TEXT,
        "prn": _TEXT,
        "pulp_created": _TIME,
        "pulp_last_updated": _TIME,
        "versions_href": _TEXT,
        "pulp_labels": {**_OBJECT, "description": "Those of the notes that are texts."},
        "latest_version_href": _TEXT_OR_NULL,
        "name": _TEXT,
        "description": _TEXT_OR_NULL,
        "retain_repo_versions": _NUMBER_OR_NULL,
        "remote": _TEXT_OR_NULL,
        "display_name": _TEXT_OR_NULL,
        "notes": _OBJECT,
        "feed": _TEXT_OR_NULL,
        "feed_source": {
            "type": "string",
            "nullable": True,
            "enum": ["repository", "sync", None],
            "description": "Who says so: the repository, or else its newest sync.",
        },
        "sync_options": _OBJECT,
        "publish_options": _OBJECT,
        "created_by": _TEXT,
        "updated_by": _TEXT,
        "version": {**_NUMBER_OR_NULL, "description": "The newest; null before the first successful sync."},
        "content": {**_OBJECT, "description": "What the newest successful sync has counted."},
        "last_sync": _RUN,
        "last_publish": _RUN,
    },
}
_VERSION: Final = {
    "type": "object",
    "properties": {
        "pulp_href": _TEXT,
        "number": _NUMBER,
        "repository": _TEXT,
        "pulp_created": {**_TIME, "nullable": True},
        "base_version": _TEXT_OR_NULL,
        "content_summary": _OBJECT,
    },
}


def paths(root: str) -> dict[str, Any]:
    """The calls by path."""
    listed, shown = _page(REPOSITORY), REPOSITORY
    href, version = "rpm_rpm_repository_href", "rpm_rpm_repository_version_href"
    collections = {
        f"{root}/{path}/": {
            "get": call(f"{name}_list", query=_FILTERS, schema=listed, codes=(200, 400, 504)),
            "post": call(f"{name}_create", body=_NEW, schema=shown, codes=(201, 400, 403, 409, 413)),
        }
        for path, name in (("repositories", "repositories"), ("repositories/rpm/rpm", "repositories_rpm_rpm"))
    }
    name = "repositories_rpm_rpm"
    read = {"fields": _LIST, "exclude_fields": _LIST}
    pages = {"limit": _NUMBER, "offset": _NUMBER}
    return collections | {
        f"{{{href}}}": {
            "get": call(f"{name}_read", href=href, query=read, schema=shown, codes=(200, 404, 504)),
            "patch": call(
                f"{name}_partial_update",
                href=href,
                body=_CHANGE,
                schema=shown,
                codes=(200, 400, 403, 404, 413),
            ),
            "delete": call(f"{name}_delete", href=href, schema=ACCEPTED, codes=(202, 400, 403, 404)),
        },
        f"{{{href}}}versions/": {
            "get": call(
                f"{name}_versions_list",
                href=href,
                query=pages,
                schema=_page(_VERSION),
                codes=(200, 404),
            )
        },
        f"{{{version}}}": {"get": call(f"{name}_versions_read", href=version, schema=_VERSION, codes=(200, 404))},
        f"{root}/repair/": {
            "post": call("repair", body=_REPAIR, schema=ACCEPTED, needs_body=False, codes=(202, 400, 403, 413, 422))
        },
    }


def _page(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"count": _NUMBER, "results": {"type": "array", "items": of}}}
