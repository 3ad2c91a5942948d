"""The OpenAPI paths and schemas of subscriptions."""

from typing import Any, Final

from pulp_events.filters import MOST_VALUES
from pulp_events.webhook import WebhookState
from pulp_events.webhook_events import MOST_URL

from pulp_api.openapi.calls import call
from pulp_api.subscriptions import LONGEST_OVERLAP_S
from pulp_api.v3.parameters import NUMBER, TEXT, TIME, Schema, controls
from pulp_api.v3.subscriptions import OUTCOME, OUTCOMES, SUBSCRIPTION_FILTERS

_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 255}
_VALUES: Final = {"type": "array", "maxItems": MOST_VALUES, "items": _NAME}
_IDS: Final = {"type": "array", "maxItems": MOST_VALUES, "items": {"type": "string", "format": "uuid"}}
_FILTER: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "types": {**_VALUES, "description": "Of events, such as `finished`."},
        "tasks": _IDS,
        "operations": _VALUES,
        "resources": {**_VALUES, "description": "As `TYPE:ID`."},
        "actors": {**_VALUES, "description": "Who submitted the task, such as `user:NAME`."},
        "groups": _IDS,
    },
}
_SINCE: Final = {"type": "string", "description": "`beginning`, `now`, a time in RFC 3339 with its zone, or a cursor."}
_URL: Final = {"type": "string", "minLength": 1, "maxLength": MOST_URL}
_NEW: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "url"],
    "properties": {"name": _NAME, "url": _URL, "filter": _FILTER, "since": {**_SINCE, "default": "now"}},
}
_REDELIVERY: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"since": {**_SINCE, "nullable": True}},
}
_ROTATION: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "overlap_seconds": {"type": "integer", "minimum": 0, "maximum": LONGEST_OVERLAP_S, "default": 86_400}
    },
}
_TEXT_OR_NULL: Final = {**TEXT, "nullable": True}
_TIME_OR_NULL: Final = {**TIME, "nullable": True}
_NUMBER_OR_NULL: Final = {**NUMBER, "nullable": True}
_PARKED: Final = {
    "type": "object",
    "properties": {"task": TEXT, "position": TEXT, "error": _TEXT_OR_NULL, "parked_at": TIME},
}
_FIELDS: Final[dict[str, Any]] = {
    "pulp_href": TEXT,
    "prn": TEXT,
    "pulp_created": TIME,
    "pulp_last_updated": TIME,
    "name": TEXT,
    "url": TEXT,
    "filter": _FILTER,
    "state": {"type": "string", "enum": [*WebhookState]},
    "reason": {**_TEXT_OR_NULL, "description": "Why it is parked."},
    "created_by": TEXT,
    "updated_by": _TEXT_OR_NULL,
    "version": NUMBER,
    "previous_secret_until": {**_TIME_OR_NULL, "description": "How long the secret before signs as well."},
    "cursor": {**_TEXT_OR_NULL, "description": "What comes before it is settled."},
    "delivered": {**_NUMBER_OR_NULL, "description": "How many events, repeated ones included."},
    "failures_in_a_row": {**_NUMBER_OR_NULL, "description": "Of the endpoint."},
    "next_attempt": _TIME_OR_NULL,
    "parked_tasks": {**_NUMBER_OR_NULL, "description": "Tasks whose events wait for a redelivery."},
    "last_success": _TIME_OR_NULL,
    "last_failure": _TIME_OR_NULL,
    "last_error": _TEXT_OR_NULL,
}
SUBSCRIPTION: Final = {"type": "object", "properties": _FIELDS}
_READ: Final = {"type": "object", "properties": {**_FIELDS, "parked": {"type": "array", "items": _PARKED}}}
_WITH_SECRET: Final = {
    "type": "object",
    "properties": {**_FIELDS, "secret": {"type": "string", "description": "Nothing shows it again."}},
}
DELIVERY: Final = {
    "type": "object",
    "properties": {
        "event_id": {**TEXT, "description": "The `webhook-id` of the request."},
        "event_type": TEXT,
        "position": _TEXT_OR_NULL,
        "task": _TEXT_OR_NULL,
        "outcome": {"type": "string", "enum": list(OUTCOMES)},
        "attempts": NUMBER,
        "status": {**_NUMBER_OR_NULL, "description": "Of HTTP, of the last answer."},
        "error": _TEXT_OR_NULL,
        "took_ms": _NUMBER_OR_NULL,
        "first_at": TIME,
        "last_at": TIME,
        "next_attempt": _TIME_OR_NULL,
    },
}


def paths(root: str) -> dict[str, Any]:
    """The calls by path."""
    href = "subscription_href"
    changed = (200, 400, 403, 404, 504)
    return {
        f"{root}/subscriptions/": {
            "get": call(
                "subscriptions_list",
                query=SUBSCRIPTION_FILTERS.parameters,
                schema=_page(SUBSCRIPTION),
                codes=(200, 400),
            ),
            "post": call("subscriptions_create", body=_NEW, schema=_WITH_SECRET, codes=(201, 400, 403, 413, 504)),
        },
        f"{{{href}}}": {
            "get": call("subscriptions_read", href=href, schema=_READ, codes=(200, 404)),
            "delete": call("subscriptions_delete", href=href, codes=(204, 403, 404, 504)),
        },
        f"{{{href}}}pause/": {"post": call("subscriptions_pause", href=href, schema=SUBSCRIPTION, codes=changed)},
        f"{{{href}}}resume/": {"post": call("subscriptions_resume", href=href, schema=SUBSCRIPTION, codes=changed)},
        f"{{{href}}}redeliver/": {
            "post": call(
                "subscriptions_redeliver",
                href=href,
                body=_REDELIVERY,
                needs_body=False,
                schema=SUBSCRIPTION,
                codes=(*changed, 413),
            )
        },
        f"{{{href}}}rotate-secret/": {
            "post": call(
                "subscriptions_rotate_secret",
                href=href,
                body=_ROTATION,
                needs_body=False,
                schema=_WITH_SECRET,
                codes=(*changed, 413),
            )
        },
        f"{{{href}}}test/": {
            "post": call("subscriptions_test", href=href, schema=DELIVERY, codes=(200, 202, 403, 404, 504))
        },
        f"{{{href}}}deliveries/": {
            "get": call(
                "subscriptions_deliveries",
                href=href,
                query=[*controls("limit offset"), OUTCOME],
                schema=_page(DELIVERY),
                codes=(200, 400, 404),
            )
        },
    }


def _page(of: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": {"count": NUMBER, "results": {"type": "array", "items": of}}}
