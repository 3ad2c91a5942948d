"""Describes one call in the OpenAPI document. Pure."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pulp_api.openapi.words import SUMMARIES
from pulp_api.v3.parameters import TEXT, QueryParameter, Schema

_FAILURE: Final[Schema] = {}
"""The body of a failure: `detail`, or messages by field, or the task that was not cancelled."""

_OF_A_LOGIN: Final = (401, 429, 503)
"""Statuses of every call that needs a login: no login, too many calls, or something is away."""
_OF_A_CHANGE: Final = (413, 415)
"""Statuses of every call but GET: a body that is too large, or declared as something other than JSON."""


def call(
    operation_id: str,
    *,
    summary: str | None = None,
    href: str | None = None,
    query: Sequence[QueryParameter] = (),
    schema: Schema | None = None,
    body: Schema | None = None,
    needs_body: bool = True,
    codes: tuple[int, ...] = (200,),
    media_type: str = "application/json",
    secured: bool = True,
) -> dict[str, Any]:
    """The OpenAPI operation object; `codes` are the statuses besides those of every call that needs a login."""
    parameters: list[dict[str, Any]] = []
    if href is not None:
        parameters.append({"name": href, "in": "path", "required": True, "schema": TEXT})
    parameters += [_query_parameter(parameter) for parameter in query]
    if secured:
        codes = (*codes, *_OF_A_LOGIN)
    described: dict[str, Any] = {
        "operationId": operation_id,
        "summary": summary or SUMMARIES[operation_id],
        "parameters": parameters,
        "responses": {str(code): _response(code, schema, media_type) for code in sorted({*codes})},
    }
    if body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": body}}, "required": needs_body}
    if secured:
        described["security"] = [{"basicAuth": []}, {"bearerAuth": []}]
    return described


def with_refusals(method: str, described: dict[str, Any]) -> dict[str, Any]:
    """The call with the statuses that follow from its method alone."""
    if method == "get":
        return described
    more = {str(code): _response(code, None, "") for code in _OF_A_CHANGE}
    return {**described, "responses": dict(sorted({**more, **described["responses"]}.items()))}


def _query_parameter(parameter: QueryParameter) -> dict[str, Any]:
    is_joined = parameter.schema["type"] == "array" and not parameter.is_repeated
    joined = {"explode": False, "style": "form"} if is_joined else {}
    required = {"required": True} if parameter.is_required else {}
    return {"name": parameter.name, "in": "query", **required, "schema": parameter.schema, **joined}


def _response(code: int, schema: Schema | None, media_type: str) -> dict[str, Any]:
    if code >= 400:
        return {"description": HTTPStatus(code).phrase, "content": {"application/json": {"schema": _FAILURE}}}
    if code == HTTPStatus.NO_CONTENT:
        return {"description": HTTPStatus(code).phrase}
    return {
        "description": HTTPStatus(code).phrase,
        "content": {media_type: {"schema": schema or {"type": "object"}}},
    }
