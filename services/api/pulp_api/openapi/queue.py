"""The OpenAPI paths of what waits, by queue and by resource. Pure."""

from typing import Any

from pulp_api.openapi.calls import call
from pulp_api.openapi.schemas import answer, page
from pulp_api.v3.parameters import MOMENT, TEXT, QueryParameter, controls
from pulp_api.v3.queue import LineResponse, QueueResponse, ResourceResponse


def paths(root: str) -> dict[str, Any]:
    """The calls, by path."""
    resource = QueryParameter("resource", {**TEXT, "description": "TYPE:ID"}, is_required=True)
    as_of, refusals = QueryParameter("as_of", MOMENT), (400, 404, 410, 422, 504)
    return {
        f"{root}/queues/": {
            "get": call(
                "queues_list",
                query=[QueryParameter("name", TEXT), as_of],
                schema=page(answer(QueueResponse)),
                codes=(200, *refusals),
            )
        },
        f"{root}/resources/": {
            "get": call(
                "resources_list",
                query=[*controls("limit offset"), as_of],
                schema=page(answer(ResourceResponse)),
                codes=(200, *refusals),
            )
        },
        f"{root}/resources/line/": {
            "get": call(
                "resources_line",
                query=[resource, *controls("limit"), as_of],
                schema=answer(LineResponse),
                codes=(200, *refusals),
            )
        },
    }
