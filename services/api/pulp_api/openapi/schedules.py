"""The OpenAPI paths and schemas of schedules."""

from typing import Any, Final

from pulp_events.schedule_events import LEAST_INTERVAL_S, MOST_CRON, MOST_INTERVAL_S, Missed, Overlap

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.v3.parameters import FLAG, NAMED, TIME, QueryParameter, controls
from pulp_api.v3.schedule_shapes import PreviewResponse, ScheduleResponse, ScheduleRunResponse
from pulp_api.v3.schedules import MOST_PREVIEWED, RUN_PARAMETERS, SCHEDULE_FILTERS

_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": NAMED}
_RESOURCE: Final = {
    "type": "object",
    "required": ["type", "id"],
    "properties": {
        "type": _NAME,
        "id": _NAME,
        "access": {"type": "string", "enum": ["exclusive", "shared"], "default": "exclusive"},
    },
}
_BODY: Final[dict[str, Any]] = {
    "name": _NAME,
    "task_name": {**_NAME, "description": "The operation."},
    "arguments": {"type": "object"},
    "resources": {"type": "array", "maxItems": 100, "nullable": True, "items": _RESOURCE},
    "tags": {"type": "array", "maxItems": 99, "nullable": True, "items": {**_NAME, "maxLength": 640}},
    "queue": _NAME,
    "priority": {"type": "integer", "minimum": -1000, "maximum": 1000},
    "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 315_360_000, "nullable": True},
    "cron": {
        "type": "string",
        "maxLength": MOST_CRON,
        "nullable": True,
        "description": "Five fields, in `time_zone`. Exactly one of cron, interval_seconds and at must be set.",
    },
    "interval_seconds": {
        "type": "integer",
        "minimum": LEAST_INTERVAL_S,
        "maximum": MOST_INTERVAL_S,
        "nullable": True,
        "description": "Elapsed time between two ticks, counted from `start`.",
    },
    "at": {**TIME, "nullable": True, "description": "The only tick."},
    "start": {**TIME, "nullable": True, "description": "The earliest possible tick."},
    "time_zone": {**_NAME, "description": "A name of the IANA database, such as Europe/Berlin; UTC by default."},
    "enabled": FLAG,
    "missed": {
        "type": "string",
        "enum": [*Missed],
        "description": "What happens to ticks that passed while nothing could run them.",
    },
    "overlap": {
        "type": "string",
        "enum": [*Overlap],
        "description": "What happens to a tick while the last task is unfinished.",
    },
}
_CHANGE: Final = {"type": "object", "additionalProperties": False, "properties": _BODY}
_NEW: Final = {**_CHANGE, "required": ["name", "task_name"]}
_COUNT: Final = QueryParameter("count", {"type": "integer", "minimum": 1, "maximum": MOST_PREVIEWED, "default": 5})


def paths(root: str) -> dict[str, Any]:
    """The calls by path."""
    href, read = "task_schedule_href", controls("fields exclude_fields")
    schedule, preview = answer(ScheduleResponse), answer(PreviewResponse)
    changed = (200, 400, 403, 404, 413, 504)
    return {
        f"{root}/task-schedules/": {
            "get": call(
                "task_schedules_list", query=SCHEDULE_FILTERS.parameters, schema=page(schedule), codes=(200, 400)
            ),
            "post": call("task_schedules_create", body=_NEW, schema=schedule, codes=(201, 400, 403, 413, 504)),
        },
        f"{root}/task-schedules/preview/": {
            "post": call("task_schedules_preview_new", query=[_COUNT], body=_NEW, schema=preview, codes=(200, 400, 413))
        },
        f"{{{href}}}": {
            "get": call("task_schedules_read", href=href, query=read, schema=schedule, codes=(200, 404)),
            "patch": call("task_schedules_partial_update", href=href, body=_CHANGE, schema=schedule, codes=changed),
            "delete": call("task_schedules_delete", href=href, codes=(204, 403, 404, 504)),
        },
        f"{{{href}}}enable/": {"post": call("task_schedules_enable", href=href, schema=schedule, codes=changed)},
        f"{{{href}}}disable/": {"post": call("task_schedules_disable", href=href, schema=schedule, codes=changed)},
        f"{{{href}}}preview/": {
            "get": call("task_schedules_preview", href=href, query=[_COUNT], schema=preview, codes=(200, 400, 404))
        },
        f"{{{href}}}runs/": {
            "get": call(
                "task_schedules_runs",
                href=href,
                query=RUN_PARAMETERS,
                schema=page(answer(ScheduleRunResponse)),
                codes=(200, 400, 404),
            )
        },
    }
