"""The answers to a submission with refused arguments, in the dialect of the path."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response

from pulp_api.arguments import BadArguments
from pulp_api.failures import failure_body
from pulp_api.remembering import NotThereYet
from pulp_api.respond import API, json

_V2: Final = (
    ("invalid", "property_names", "PLP0015"),
    ("missing", "missing_property_names", "PLP0016"),
    ("unknown", "unsupported_property_names", "PLP0017"),
)
"""Kind of problem → the field with the argument names in Pulp 2, and the error code. The first kind present counts."""


async def bad_arguments(request: Request, error: Exception) -> Response:
    """400, with the refused arguments, what each must be, and a valid submission.

    In the v3 dialect `arguments` maps each argument to its messages, as Pulp 3 does for fields.
    """
    assert isinstance(error, BadArguments)
    if request.url.path.startswith(f"{API}/v2/"):
        return json(_v2_body(request, error), 400)
    messages: dict[str, list[str]] = {}
    for problem in error.problems:
        messages.setdefault(problem.path or "arguments", []).append(problem.message)
    return json({"detail": str(error), "arguments": messages, "example": error.example}, 400)


async def not_there_yet(request: Request, error: Exception) -> Response:
    """400, in the v2 dialect 404: the resource has no result that the operation needs."""
    assert isinstance(error, NotThereYet)
    if request.url.path.startswith(f"{API}/v2/"):
        return _answer(request, 404, str(error), {"resources": {error.resource_type: error.resource_id}})
    return _answer(request, 400, str(error))


def _v2_body(request: Request, error: BadArguments) -> dict[str, Any]:
    names = {
        key: list(dict.fromkeys(problem.path for problem in error.problems if problem.kind == kind))
        for kind, key, _ in _V2
    }
    found = {key: paths for key, paths in names.items() if paths}
    body = failure_body(request.url.path, request.method, 400, str(error), {**found, "example": error.example})
    body["error"]["code"] = next(code for _, key, code in _V2 if key in found)
    return body


def _answer(request: Request, status: int, message: str, extra: Mapping[str, Any] | None = None) -> Response:
    return json(failure_body(request.url.path, request.method, status, message, extra), status)
