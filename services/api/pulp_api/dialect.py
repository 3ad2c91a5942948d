"""What a dialect of the API decides: its paths, and its answer to a request that fails."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

from fastapi import Request, Response
from pulp_events.errors import TaskError

from pulp_api.logins.auth import Forbidden
from pulp_api.logins.basic import Unauthenticated
from pulp_api.repositories import NoRepository
from pulp_api.schedules import NoSchedule
from pulp_api.submitting.arguments import InvalidArguments
from pulp_api.submitting.repository_bodies import BadRepository

API: Final = "/pulp/api"
NOT_CANCELLABLE: Final = "Cancel Not Implemented for Task: {}"
"""The user guide's words for a task that cannot be cancelled; the blank is for its id."""


class ErrorReply(NamedTuple):
    """The status and the JSON body of an answer to a request that failed."""

    status: int
    body: Any


class Dialect(Protocol):
    """One dialect. The edge finds a request's dialect by the prefix of the path, once: see `dialect_of`."""

    @property
    def prefix(self) -> str:
        """The prefix of the dialect's paths."""

    def failure(self, request: Request, status: int, message: str, data: Mapping[str, Any] | None = None) -> ErrorReply:
        """Any failure; `data` are further fields for a dialect whose bodies have room for them."""

    def routed(self, path: str, raw_path: str) -> str:
        """The path by which a route is found for a request with this path; `raw_path` is still percent-encoded."""

    def denied(self, request: Request, status: int, error: Unauthenticated | Forbidden) -> ErrorReply:
        """The request names no user, or one who has no right to do this."""

    def missing(self, request: Request, kind: str, name: str) -> ErrorReply:
        """Nothing of this kind has this name."""

    def unknown_path(self, request: Request) -> Response:
        """No route takes the path."""

    def task_failure(self, request: Request, status: int, error: TaskError) -> ErrorReply:
        """A task is missing, or its state does not allow the request; `status` is the usual one."""

    def no_repository(self, request: Request, error: NoRepository) -> ErrorReply:
        """A repository is missing."""

    def no_schedule(self, request: Request, error: NoSchedule) -> ErrorReply:
        """A schedule is missing."""

    def bad_parameters(self, request: Request, messages: Mapping[str, list[str]]) -> ErrorReply:
        """Query parameters have the wrong type: name → messages."""

    def bad_arguments(self, request: Request, error: InvalidArguments) -> ErrorReply:
        """The arguments of a submission are refused."""

    def bad_repository(self, request: Request, error: BadRepository) -> ErrorReply:
        """Fields of a repository are refused."""


def dialect_of(request: Request) -> Dialect:
    """The dialect that the request belongs to."""
    found: Dialect = request.state.dialect
    return found
