"""The Pulp 2 dialect: where it is, and how it answers a request that fails."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from fastapi import Depends, Request, Response
from pulp_events.errors import TaskError, TaskNotCancellable

from pulp_api.dialect import API, NOT_CANCELLABLE, ErrorReply
from pulp_api.logins.auth import Forbidden
from pulp_api.logins.basic import Unauthenticated, WrongPassword
from pulp_api.repositories import NoRepository
from pulp_api.respond import json
from pulp_api.schedules import NoSchedule
from pulp_api.submitting.arguments import InvalidArguments, Problem
from pulp_api.submitting.repository_bodies import BadRepository

ROOT: Final = f"{API}/v2"
_PROBLEMS: Final = (
    ("invalid", "property_names"),
    ("missing", "missing_property_names"),
    ("unknown", "unsupported_property_names"),
)
"""Kind of problem → the field with the argument names in Pulp 2."""
_CODES_BY_FIELD: Final = {
    "resources": "PLP0009",
    "reasons": "PLP0010",
    "property_names": "PLP0015",
    "missing_property_names": "PLP0016",
    "unsupported_property_names": "PLP0017",
    "resource_id": "PLP0018",
}
"""Field of a report → the error code of the class that has it. The first that is present counts."""
_CODES: Final = {
    400: "PLP1000",
    401: "PLP0025",
    403: "PLP0042",
    404: "PLP0009",
    409: "PLP0010",
    500: "PLP0000",
    501: "PLP0014",
    504: "PLP0011",
}
_GENERAL: Final = "PLP0001"
_DENIALS: Final[Sequence[tuple[type[Exception], str, str]]] = (
    (Forbidden, "permission_denied", "PLP0026"),
    (WrongPassword, "invalid_username_or_password", "PLP0030"),
    (Unauthenticated, "authentication_failed", "PLP0025"),
)
"""Error → `auth_error_code`, and the error code."""
_REPOSITORIES: Final = re.compile(rf"{re.escape(ROOT)}/+repositories/")
_SLASHES: Final = re.compile("//+")
_TWO_SLASHES: Final = re.compile("/actions//+([^/]+/*)$")
_ACTION: Final = re.compile("/actions/([^/]+/?)$")


class PulpTwo:
    """Pulp 2's error reports."""

    prefix: Final = f"{ROOT}/"

    def routed(self, path: str, raw_path: str) -> str:
        """The path below the repositories with single slashes, since clients join paths carelessly there.

        Two slashes before an action stay: with them the client of 2.0 asks for another answer. The parts stay
        percent-encoded, since an id may hold a slash: `decoded` reads one.
        """
        if _REPOSITORIES.match(path) is None:
            return path
        encoded = "/".join(quote(unquote(part), safe="") for part in raw_path.split("/"))
        single = _SLASHES.sub("/", encoded)
        return _ACTION.sub(r"/actions//\1", single) if _TWO_SLASHES.search(encoded) else single

    def failure(self, request: Request, status: int, message: str, data: Mapping[str, Any] | None = None) -> ErrorReply:
        """The report. It contains `data` twice, where clients of 2.0 and of 2.21 look for it."""
        path = request.url.path
        if status == 404 and not data:
            data = {"resources": {"path": path}}
        found = dict(data or {})
        by_field = (code for field, code in _CODES_BY_FIELD.items() if field in found)
        code = next(by_field, _CODES.get(status, _GENERAL))
        body = {
            "_href": path,
            "http_status": status,
            "http_request_method": request.method,
            "error_message": message,
            "exception": None,
            "traceback": None,
            "error": {"code": code, "description": message, "data": found, "sub_errors": []},
            **found,
        }
        return ErrorReply(status, body)

    def denied(self, request: Request, status: int, error: Unauthenticated | Forbidden) -> ErrorReply:
        """401, for a missing right as well: Pulp 2's clients show the reason only from that answer."""
        reason, code = next((reason, code) for kind, reason, code in _DENIALS if isinstance(error, kind))
        denied = self.failure(request, 401, str(error), {"auth_error_code": reason})
        denied.body["error"]["code"] = code
        return denied

    def unknown_path(self, request: Request) -> Response:
        """404."""
        status, body = self.failure(request, 404, "Not found.")
        return json(body, status)

    def task_failure(self, request: Request, status: int, error: TaskError) -> ErrorReply:
        """404, since Pulp 2 does not keep an ended task; 501 for a task that cannot be cancelled."""
        task_id = str(error.task_id)
        if isinstance(error, TaskNotCancellable):
            return self.failure(request, 501, NOT_CANCELLABLE.format(task_id), {"args": [task_id]})
        return self.missing(request, "resource_id", task_id)

    def no_repository(self, request: Request, error: NoRepository) -> ErrorReply:
        """404."""
        return self.missing(request, "repository", error.repo_id)

    def no_schedule(self, request: Request, error: NoSchedule) -> ErrorReply:
        """404."""
        return self.missing(request, "schedule", str(error.schedule_id))

    def missing(self, request: Request, kind: str, name: str) -> ErrorReply:
        """404."""
        return self.failure(request, 404, f"Missing resource(s): {kind}={name}", {"resources": {kind: name}})

    def bad_parameters(self, request: Request, messages: Mapping[str, list[str]]) -> ErrorReply:
        """400, with the names of the parameters."""
        text = "; ".join(f"{name}: {found[0]}" for name, found in messages.items())
        return self.failure(request, 400, text, {"property_names": list(messages)})

    def bad_arguments(self, request: Request, error: InvalidArguments) -> ErrorReply:
        """400, with the names of the arguments by kind of problem, and a valid submission."""
        return self._bad_properties(request, str(error), error.problems, {"example": error.example})

    def bad_repository(self, request: Request, error: BadRepository) -> ErrorReply:
        """400, with the names of the fields by kind of problem."""
        return self._bad_properties(request, str(error), error.problems, {})

    def _bad_properties(
        self, request: Request, message: str, problems: Sequence[Problem], more: Mapping[str, Any]
    ) -> ErrorReply:
        names = {
            key: list(dict.fromkeys(problem.path for problem in problems if problem.kind == kind))
            for kind, key in _PROBLEMS
        }
        return self.failure(request, 400, message, {key: paths for key, paths in names.items() if paths} | dict(more))


def decoded(name: str) -> Any:
    """A part of a path that `PulpTwo.routed` has left encoded, as a parameter of a route."""

    def part(request: Request) -> str:
        return unquote(request.path_params[name])

    return Depends(part)


def coded(request: Request, status: int, code: str, message: str) -> Response:
    """The answer to a failure that has its own code in Pulp 2."""
    reply = PulpTwo().failure(request, status, message)
    reply.body["error"]["code"] = code
    return json(reply.body, reply.status)
