"""The OpenAPI paths and schemas of repositories."""

from typing import Any, Final

from pulp_api.openapi.calls import call
from pulp_api.openapi.operations import ACCEPTED
from pulp_api.submitting.repository_bodies import MOST_DESCRIPTION, MOST_NAME
from pulp_api.v3.parameters import NUMBER, TEXT, TIME, Schema, controls
from pulp_api.v3.repositories import REPOSITORY_FILTERS

_TEXT_OR_NULL: Final = {**TEXT, "nullable": True}
_NUMBER_OR_NULL: Final = {**NUMBER, "nullable": True}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}
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
_CHANGE: Final = {"type": "object", "additionalProperties": False, "properties": {"name": TEXT, **_SAID}}
_NEW: Final = {**_CHANGE, "required": ["name"]}
_RUN: Final = {
    "type": "object",
    "nullable": True,
    "properties": {
        "task": {"type": "string", "description": "The href of the task."},
        "state": TEXT,
        "submitted_at": TIME,
        "started_at": {**TIME, "nullable": True},
        "finished_at": {**TIME, "nullable": True},
        "error": {"type": "object", "nullable": True, "properties": {"code": TEXT, "description": TEXT}},
    },
}
REPOSITORY: Final = {
    "type": "object",
    "properties": {
        "pulp_href": TEXT,
        "prn": TEXT,
        "pulp_created": TIME,
        "pulp_last_updated": TIME,
        "versions_href": TEXT,
        "pulp_labels": {**_OBJECT, "description": "Those of the notes that are texts."},
        "latest_version_href": _TEXT_OR_NULL,
        "name": TEXT,
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
        "created_by": TEXT,
        "updated_by": TEXT,
        "version": {**_NUMBER_OR_NULL, "description": "The newest; null before the first successful sync."},
        "content": {**_OBJECT, "description": "What the newest successful sync has counted."},
        "last_sync": _RUN,
        "last_publish": _RUN,
    },
}
_VERSION: Final = {
    "type": "object",
    "properties": {
        "pulp_href": TEXT,
        "number": NUMBER,
        "repository": TEXT,
        "pulp_created": {**TIME, "nullable": True},
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
            "get": call(f"{name}_list", query=REPOSITORY_FILTERS.parameters, schema=listed, codes=(200, 400, 504)),
            "post": call(f"{name}_create", body=_NEW, schema=shown, codes=(201, 400, 403, 409, 413)),
        }
        for path, name in (("repositories", "repositories"), ("repositories/rpm/rpm", "repositories_rpm_rpm"))
    }
    name = "repositories_rpm_rpm"
    read, pages = controls("fields exclude_fields"), controls("limit offset")
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
    }


def _page(of: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": {"count": NUMBER, "results": {"type": "array", "items": of}}}
