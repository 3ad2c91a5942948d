"""A call in the OpenAPI document. Pure."""

from http import HTTPStatus
from typing import Any, Final

from pulp_api.openapi.words import SUMMARIES

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_REPEATED: Final = frozenset({"fields", "exclude_fields", "type"})
"""Lists whose items clients send one by one; the others come with commas between."""


def call(
    operation_id: str,
    *,
    href: str | None = None,
    query: dict[str, dict[str, Any]] | None = None,
    schema: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    needs_body: bool = True,
    codes: tuple[int, ...] = (200,),
    media_type: str = "application/json",
    secured: bool = True,
) -> dict[str, Any]:
    """A call as the document tells it; `codes` beside those of every call that needs a login."""
    parameters: list[dict[str, Any]] = []
    if href is not None:
        parameters.append({"name": href, "in": "path", "required": True, "schema": _TEXT})
    for name, kind in (query or {}).items():
        is_joined = kind["type"] == "array" and name not in _REPEATED
        exploded = {"explode": False, "style": "form"} if is_joined else {}
        parameters.append({"name": name, "in": "query", "schema": kind, **exploded})
    if secured:
        codes = (*codes, 401, 503)
    described: dict[str, Any] = {
        "operationId": operation_id,
        "summary": SUMMARIES[operation_id],
        "parameters": parameters,
        "responses": {str(code): _response(code, schema, media_type) for code in sorted(codes)},
    }
    if body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": body}}, "required": needs_body}
    if secured:
        described["security"] = [{"basicAuth": []}]
    return described


def _response(code: int, schema: dict[str, Any] | None, media_type: str) -> dict[str, Any]:
    if code >= 400:
        return {"description": HTTPStatus(code).phrase, "content": {"application/json": {"schema": {}}}}
    return {
        "description": HTTPStatus(code).phrase,
        "content": {media_type: {"schema": schema or {"type": "object"}}},
    }
