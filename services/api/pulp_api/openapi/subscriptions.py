"""The OpenAPI paths and schemas of subscriptions."""

from typing import Any, Final

from pulp_events.filters import MOST_VALUES
from pulp_events.webhook_events import MOST_URL

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.subscriptions import LONGEST_OVERLAP_S
from pulp_api.v3.parameters import NAMED
from pulp_api.v3.subscription_shapes import (
    DeliveryResponse,
    SingleSubscriptionResponse,
    SubscriptionResponse,
    SubscriptionSecretResponse,
)
from pulp_api.v3.subscriptions import DELIVERY_PARAMETERS, SUBSCRIPTION_FILTERS

_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": NAMED}
_VALUES: Final = {"type": "array", "maxItems": MOST_VALUES, "items": _NAME}
_IDS: Final = {"type": "array", "maxItems": MOST_VALUES, "items": {"type": "string", "format": "uuid"}}
_FILTER: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "types": {**_VALUES, "description": "Types of events, such as `finished`."},
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


def paths(root: str) -> dict[str, Any]:
    """The calls by path."""
    href = "subscription_href"
    changed = (200, 400, 403, 404, 504)
    shown, secret, delivery = map(answer, (SubscriptionResponse, SubscriptionSecretResponse, DeliveryResponse))
    return {
        f"{root}/subscriptions/": {
            "get": call(
                "subscriptions_list",
                query=SUBSCRIPTION_FILTERS.parameters,
                schema=page(shown),
                codes=(200, 400),
            ),
            "post": call(
                "subscriptions_create",
                body=_NEW,
                schema=secret,
                codes=(201, 400, 403, 413, 504),
            ),
        },
        f"{{{href}}}": {
            "get": call("subscriptions_read", href=href, schema=answer(SingleSubscriptionResponse), codes=(200, 404)),
            "delete": call("subscriptions_delete", href=href, codes=(204, 403, 404, 504)),
        },
        f"{{{href}}}pause/": {"post": call("subscriptions_pause", href=href, schema=shown, codes=changed)},
        f"{{{href}}}resume/": {"post": call("subscriptions_resume", href=href, schema=shown, codes=changed)},
        f"{{{href}}}redeliver/": {
            "post": call(
                "subscriptions_redeliver",
                href=href,
                body=_REDELIVERY,
                needs_body=False,
                schema=shown,
                codes=(*changed, 413),
            )
        },
        f"{{{href}}}rotate-secret/": {
            "post": call(
                "subscriptions_rotate_secret",
                href=href,
                body=_ROTATION,
                needs_body=False,
                schema=secret,
                codes=(*changed, 413),
            )
        },
        f"{{{href}}}test/": {
            "post": call("subscriptions_test", href=href, schema=delivery, codes=(200, 202, 403, 404, 504))
        },
        f"{{{href}}}deliveries/": {
            "get": call(
                "subscriptions_deliveries",
                href=href,
                query=DELIVERY_PARAMETERS,
                schema=page(delivery),
                codes=(200, 400, 404),
            )
        },
    }
