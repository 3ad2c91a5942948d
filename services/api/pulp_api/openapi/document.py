"""Builds the OpenAPI document. pulp-cli finds calls by operationId, and needs hrefs as paths."""

from collections.abc import Mapping
from typing import Any, Final

from pulp_api.openapi import (
    auditing,
    dead_letters,
    elsewhere,
    numbers,
    people,
    purging,
    queue,
    repositories,
    rights,
    schedules,
    subscriptions,
    system,
)
from pulp_api.openapi.calls import call, with_refusals
from pulp_api.openapi.paths import by_ids
from pulp_api.openapi.schemas import answer, components, page
from pulp_api.v3 import long_poll
from pulp_api.v3.answers import AcceptedResponse
from pulp_api.v3.dialect import ROOT
from pulp_api.v3.explaining import ExplanationResponse
from pulp_api.v3.filters import TASK_FILTERS
from pulp_api.v3.parameters import FLAG, LIST, MOMENT, NAMED, QueryParameter, controls
from pulp_api.v3.routes import HISTORY_PARAMETERS, HistoryEntryResponse, ProfileArtifactsResponse
from pulp_api.v3.system import EMULATED
from pulp_api.v3.tasks import SingleTaskResponse, TaskResponse

_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": NAMED}
_TAG: Final = {**_NAME, "maxLength": 640}
_TIME_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": 315_360_000, "nullable": True}
_SECONDS: Final = {"type": "number", "minimum": 0, "maximum": 86_400}
_RETRY: Final = {
    "type": "object",
    "nullable": True,
    "required": ["retries"],
    "description": "How often to retry a task after a failed attempt. Null: never. Default: as the operation declares.",
    "properties": {
        "retries": {"type": "integer", "minimum": 0, "maximum": 100},
        "backoff_seconds": {**_SECONDS, "default": 10},
        "max_backoff_seconds": {**_SECONDS, "default": 600},
    },
}
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
        "depends_on": {**LIST, "maxItems": 100, "description": "UUIDs or hrefs"},
        "timeout_seconds": {**_TIME_LIMIT, "description": "For one attempt."},
        "retry": _RETRY,
        "deadline_seconds": {**_TIME_LIMIT, "description": "For all attempts together, counted from acceptance."},
    },
}
_RERUN: Final = {
    "type": "object",
    "additionalProperties": False,
    "description": "The changes; everything else stays as it was. Without a body nothing changes.",
    "properties": {
        "arguments": {
            "type": "object",
            "description": "Each replaces the argument of the same name; null removes it.",
        },
        "queue": _NAME,
        "priority": {"type": "integer", "minimum": -1000, "maximum": 1000},
        "timeout_seconds": _TIME_LIMIT,
    },
}
_AS_OF: Final = QueryParameter("as_of", MOMENT)
_SUBMIT: Final = {"$ref": "#/components/schemas/Submission"}
_ACCEPTED: Final = answer(AcceptedResponse)
_SINGLE_TASK: Final = answer(SingleTaskResponse)
_TASK_PAGE: Final = page(
    answer(TaskResponse),
    "Exact for filters on state and name alone, otherwise up to 10,000. Above that it is an estimate, and the answer "
    "has the header Pulp-Count: estimate.",
)


def document(*, with_ids: bool = False, only_served: bool = False) -> dict[str, Any]:
    """The document. Clients cache it until a version in it differs from that in the status.

    Paths are hrefs, as pulp-cli needs them; `with_ids` has them with ids in place of hrefs, for other tools.
    `only_served` leaves out the calls of Pulp 3 that are not served here.
    """
    return _whole(_paths() if only_served else _merged(elsewhere.paths(), _paths()), with_ids=with_ids)


def _whole(paths: Mapping[str, Mapping[str, Any]], *, with_ids: bool) -> dict[str, Any]:
    paths = {
        path: {method: with_refusals(method, each) for method, each in calls.items()} for path, calls in paths.items()
    }
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Pulp Tasks",
            "version": "v3",
            "x-pulp-app-versions": {"core": EMULATED},
            "x-pulp-domain-enabled": False,
        },
        "paths": by_ids(paths) if with_ids else paths,
        "components": {
            "securitySchemes": {
                "basicAuth": {"type": "http", "scheme": "basic"},
                "bearerAuth": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {"Submission": _SUBMISSION, "Rerun": _RERUN, **components()},
        },
    }


def _merged(*parts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for path, calls in part.items():
            found.setdefault(path, {}).update(calls)
    return found


def _paths() -> dict[str, Any]:
    read = [*controls("fields exclude_fields minimal"), _AS_OF, QueryParameter("purged", FLAG), *long_poll.PARAMETERS]
    return {
        f"{ROOT}/tasks/": {
            "get": call(
                "tasks_list",
                query=[*TASK_FILTERS.parameters, QueryParameter("as_of", MOMENT)],
                schema=_TASK_PAGE,
                codes=(200, 400, 404, 410, 422, 504),
            ),
            "post": call("tasks_create", body=_SUBMIT, schema=_ACCEPTED, codes=(202, 400, 403, 413, 422)),
        },
        "{task_href}": {
            "get": call(
                "tasks_read", href="task_href", query=read, schema=_SINGLE_TASK, codes=(200, 400, 404, 410, 504)
            ),
            "patch": call(
                "tasks_cancel",
                href="task_href",
                body=system.CANCEL,
                schema=_SINGLE_TASK,
                codes=(200, 400, 403, 404, 409, 413, 504),
            ),
            "delete": purging.DELETE,
        },
        f"{ROOT}/tasks/purge/": {"post": purging.PURGE},
        "{task_href}why/": {
            "get": call("tasks_why", href="task_href", schema=answer(ExplanationResponse), codes=(200, 404, 504))
        },
        "{task_href}rerun/": {
            "post": call(
                "tasks_rerun",
                href="task_href",
                body={"$ref": "#/components/schemas/Rerun"},
                schema=_ACCEPTED,
                needs_body=False,
                codes=(202, 400, 403, 404, 409, 413, 422),
            )
        },
        "{task_href}progress/": {
            "get": call("tasks_progress", href="task_href", query=[_AS_OF], codes=(200, 400, 404, 410, 504))
        },
        "{task_href}profile_artifacts/": {
            "get": call(
                "tasks_profile_artifacts",
                href="task_href",
                schema=answer(ProfileArtifactsResponse),
                codes=(200, 404, 504),
            )
        },
        "{task_href}history/": {
            "get": call(
                "tasks_history",
                href="task_href",
                query=HISTORY_PARAMETERS,
                schema=page(answer(HistoryEntryResponse)),
                codes=(200, 400, 404, 504),
            )
        },
        **system.paths(ROOT),
        **people.paths(ROOT),
        **queue.paths(ROOT),
        **numbers.paths(ROOT),
        **dead_letters.paths(ROOT),
        **repositories.paths(ROOT),
        **schedules.paths(ROOT),
        **subscriptions.paths(ROOT),
        **rights.paths(ROOT),
        **auditing.paths(ROOT),
    }
