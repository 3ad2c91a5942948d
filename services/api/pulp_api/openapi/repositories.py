"""The OpenAPI paths and schemas of repositories."""

from typing import Any, Final

from pulp_events.argument_forms import MOST_ID_CHARACTERS

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.submitting.repository_bodies import MOST_DESCRIPTION, MOST_NAME
from pulp_api.v3.answers import AcceptedResponse
from pulp_api.v3.parameters import NAMED, PRINTED, TEXT, controls
from pulp_api.v3.repositories import REPOSITORY_FILTERS, RepositoryResponse, RepositoryVersionResponse

_TEXT_OR_NULL: Final = {**TEXT, "nullable": True}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_SAID: Final[dict[str, Any]] = {
    "display_name": {**_TEXT_OR_NULL, "maxLength": MOST_NAME, "pattern": PRINTED},
    "description": {**_TEXT_OR_NULL, "maxLength": MOST_DESCRIPTION},
    "notes": {**_OBJECT, "nullable": True, "description": "Free-form notes; null removes a key."},
    "feed": {**_TEXT_OR_NULL, "description": "Where a sync fetches from if it names no feed."},
    "sync_options": {
        **_OBJECT,
        "nullable": True,
        "description": "Default arguments of `sync`; null removes one.",
    },
    "publish_options": {**_OBJECT, "nullable": True, "description": "The same for `publish`."},
}
_NAME: Final = {**TEXT, "minLength": 1, "maxLength": MOST_ID_CHARACTERS, "pattern": NAMED}
_CHANGE: Final = {"type": "object", "additionalProperties": False, "properties": {"name": _NAME, **_SAID}}
_NEW: Final = {**_CHANGE, "required": ["name"]}


def paths(root: str) -> dict[str, Any]:
    """The calls by path."""
    shown, shown_version = answer(RepositoryResponse), answer(RepositoryVersionResponse)
    href, version = "rpm_rpm_repository_href", "rpm_rpm_repository_version_href"
    collections = {
        f"{root}/{path}/": {
            "get": call(f"{name}_list", query=REPOSITORY_FILTERS.parameters, schema=page(shown), codes=(200, 400, 504)),
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
            "delete": call(f"{name}_delete", href=href, schema=answer(AcceptedResponse), codes=(202, 400, 403, 404)),
        },
        f"{{{href}}}versions/": {
            "get": call(
                f"{name}_versions_list",
                href=href,
                query=pages,
                schema=page(shown_version),
                codes=(200, 404),
            )
        },
        f"{{{version}}}": {"get": call(f"{name}_versions_read", href=version, schema=shown_version, codes=(200, 404))},
    }
