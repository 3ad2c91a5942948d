"""The Pulp 3 dialect: where it is, and how it answers a request that fails."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from fastapi import Request, Response
from pulp_events.errors import TaskError, TaskNotFound

from pulp_api.dialect import API, ErrorReply
from pulp_api.logins.auth import Forbidden
from pulp_api.logins.basic import Unauthenticated
from pulp_api.repositories import NoRepository
from pulp_api.respond import json
from pulp_api.schedules import NoSchedule
from pulp_api.submitting.arguments import InvalidArguments, Problem
from pulp_api.submitting.repository_bodies import BadRepository

ROOT: Final = f"{API}/v3"


class FieldErrors(Exception):
    """A query parameter or a field is wrong: a body of `{field: [message]}`, or a list, as Pulp 3 answers."""

    def __init__(self, errors: Mapping[str, list[str]] | Sequence[str]) -> None:
        super().__init__(str(errors))
        self.errors = errors


def object_of(found: Any) -> dict[str, Any]:
    """The value of a body, which must be an object. Raises `FieldErrors` in Pulp's words."""
    if isinstance(found, dict):
        return found
    kind = type(found).__name__
    told = "No data provided" if found is None else f"Invalid data. Expected a dictionary, but got {kind}."
    raise FieldErrors({"non_field_errors": [told]})


class PulpThree:
    """Pulp 3's errors: a sentence under `detail`, or lists of messages by field."""

    prefix: str = f"{ROOT}/"

    def failure(self, request: Request, status: int, message: str, data: Mapping[str, Any] | None = None) -> ErrorReply:
        """The message alone."""
        return ErrorReply(status, {"detail": message})

    def routed(self, path: str, raw_path: str) -> str:
        """The path as it is."""
        return path

    def denied(self, request: Request, status: int, error: Unauthenticated | Forbidden) -> ErrorReply:
        """The usual status with the message."""
        return self.failure(request, status, str(error))

    def missing(self, request: Request, kind: str, name: str) -> ErrorReply:
        """404."""
        return self.failure(request, 404, "Not found.")

    def unknown_path(self, request: Request) -> Response:
        """404."""
        status, body = self.failure(request, 404, "Not found.")
        return json(body, status)

    def task_failure(self, request: Request, status: int, error: TaskError) -> ErrorReply:
        """404 in Pulp 3's words for a missing task; else the usual status with the error's message."""
        if not isinstance(error, TaskNotFound):
            return self.failure(request, status, str(error))
        detail = "No Task matches the given query." if isinstance(error.task_id, UUID) else "Not found."
        return self.failure(request, 404, detail)

    def no_repository(self, request: Request, error: NoRepository) -> ErrorReply:
        """404."""
        return self.failure(request, 404, "No Repository matches the given query.")

    def no_schedule(self, request: Request, error: NoSchedule) -> ErrorReply:
        """404."""
        is_id = isinstance(error.schedule_id, UUID)
        return self.failure(request, 404, "No TaskSchedule matches the given query." if is_id else "Not found.")

    def bad_parameters(self, request: Request, messages: Mapping[str, list[str]]) -> ErrorReply:
        """400, with the messages by parameter."""
        return ErrorReply(400, messages)

    def bad_arguments(self, request: Request, error: InvalidArguments) -> ErrorReply:
        """400; `arguments` maps each refused argument to its messages, and `example` is a valid submission."""
        return ErrorReply(400, {"detail": str(error), "arguments": _by_path(error.problems), "example": error.example})

    def bad_repository(self, request: Request, error: BadRepository) -> ErrorReply:
        """400, with the messages by field."""
        return ErrorReply(400, _by_path(error.problems))


async def bad_fields(request: Request, error: Exception) -> Response:
    """The answer to `FieldErrors`."""
    assert isinstance(error, FieldErrors)
    return json(error.errors, 400)


def _by_path(problems: Sequence[Problem]) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {}
    for problem in problems:
        messages.setdefault(problem.path or "arguments", []).append(problem.message)
    return messages
