"""The answers to refused arguments of a submission, and refused fields of a repository, in the dialect of the path."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request, Response

from pulp_api.failures import failure_body
from pulp_api.respond import API, json
from pulp_api.submitting.arguments import BadArguments, Problem
from pulp_api.submitting.remembering import NotThereYet
from pulp_api.submitting.repository_bodies import BadRepository

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
        return json(_v2_body(request, str(error), error.problems, {"example": error.example}), 400)
    return json({"detail": str(error), "arguments": _by_path(error.problems), "example": error.example}, 400)


async def not_there_yet(request: Request, error: Exception) -> Response:
    """400: the resource has no result that the operation needs."""
    assert isinstance(error, NotThereYet)
    return json(failure_body(request.url.path, request.method, 400, str(error)), 400)


async def bad_repository(request: Request, error: Exception) -> Response:
    """400, with the fields of a repository that cannot be used, and what each must be."""
    assert isinstance(error, BadRepository)
    if request.url.path.startswith(f"{API}/v2/"):
        return json(_v2_body(request, str(error), error.problems), 400)
    return json(_by_path(error.problems), 400)


def _by_path(problems: Sequence[Problem]) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {}
    for problem in problems:
        messages.setdefault(problem.path or "arguments", []).append(problem.message)
    return messages


def _v2_body(
    request: Request, message: str, problems: Sequence[Problem], more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    names = {
        key: list(dict.fromkeys(problem.path for problem in problems if problem.kind == kind)) for kind, key, _ in _V2
    }
    found = {key: paths for key, paths in names.items() if paths}
    body = failure_body(request.url.path, request.method, 400, message, {**found, **(more or {})})
    body["error"]["code"] = next(code for _, key, code in _V2 if key in found)
    return body
