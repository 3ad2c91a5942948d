"""Errors: the one table that maps them to statuses, and the answers, whose bodies the request's dialect makes."""

import logging
from collections.abc import Mapping
from typing import Final

import psycopg
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pulp_accounts.tokens import TokenConflict
from pulp_events.audit import What
from pulp_events.errors import (
    AppendOutcomeUnknown,
    BadInput,
    BeforeHistory,
    EventTooLarge,
    HistoryIncomplete,
    LogError,
    OffsetOutOfRange,
    PositionNotReached,
    PulpError,
    ReadError,
    TaskAlreadyFinal,
    TaskError,
    TaskNotCancellable,
    TaskNotFound,
    TaskNotPurgeable,
    TaskUnfinished,
    TooMuchHistory,
    TopicMismatch,
)
from pulp_projections.away import AWAY
from pulp_projections.dead_letters import DeadLetterNotFound, NotParked, StillUndecodable
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pulp_api.auditing.audit import Audit
from pulp_api.canceller import CancelUndecided
from pulp_api.dialect import ErrorReply, dialect_of
from pulp_api.errors import BadProperty, NoSuch, NotServed
from pulp_api.limiting.quotas import QuotaExceeded, QuotaForbids
from pulp_api.logins.auth import Forbidden
from pulp_api.logins.basic import CHALLENGE, SCRIPT_CHALLENGE, IssuerAway, RequestOrigin, Unauthenticated
from pulp_api.logins.cookies import CsrfFailed
from pulp_api.logins.crossing import CrossSite, NotJson
from pulp_api.logins.limits import LoginsLimited
from pulp_api.repositories import NoRepository, RepositoryExists
from pulp_api.respond import json, lag_header, position_header
from pulp_api.schedules import NoSchedule, ScheduleRemovedAtOnce
from pulp_api.streaming.seats import RETRY_S, NoSeat, TooManyStreams
from pulp_api.subjects import NoSubject
from pulp_api.submitting.arguments import InvalidArguments
from pulp_api.submitting.repository_bodies import BadRepository
from pulp_api.submitting.submission import ArgumentsTooLarge
from pulp_api.submitting.submitter import KeyReused
from pulp_api.task_reader import MissingTask

_log = logging.getLogger("pulp.api")
_NUL: Final = "a text has a null character (U+0000): leave it out"


class GroupNotCancellable(PulpError):
    """No task of this group can be cancelled."""

    def __init__(self, group_id: str) -> None:
        super().__init__(f"Cancel Not Implemented for TaskGroup: {group_id}")
        self.group_id = group_id


class NoGroup(PulpError):
    """No task was submitted in this group."""

    def __init__(self, group_id: str) -> None:
        super().__init__(f"there is no task group {group_id}")
        self.group_id = group_id


STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    # The first that fits counts: subclasses before their parents.
    (KeyReused, 422),
    (EventTooLarge, 413),
    (ArgumentsTooLarge, 413),
    (DeadLetterNotFound, 404),
    (NotParked, 409),
    (StillUndecodable, 409),
    (BadInput, 400),
    (psycopg.DataError, 400),  # a text or a number that does not fit its column
    (Unauthenticated, 401),
    (QuotaExceeded, 429),
    (QuotaForbids, 403),
    (Forbidden, 403),
    (CrossSite, 403),
    (CsrfFailed, 403),
    (NotJson, 415),
    (LoginsLimited, 429),
    (NoRepository, 404),
    (NoSuch, 404),
    (NoGroup, 404),
    (NoSchedule, 404),
    (NoSubject, 404),
    (RepositoryExists, 409),
    (ScheduleRemovedAtOnce, 409),
    (TokenConflict, 409),
    (TaskNotFound, 404),
    (TaskAlreadyFinal, 409),
    (TaskNotCancellable, 409),
    (TaskUnfinished, 409),
    (TaskNotPurgeable, 409),
    (BeforeHistory, 404),
    (HistoryIncomplete, 410),
    (TooMuchHistory, 422),
    (PositionNotReached, 504),
    (OffsetOutOfRange, 410),
    (TopicMismatch, 410),
    (NotServed, 501),
    (GroupNotCancellable, 501),
    (TooManyStreams, 429),
    (NoSeat, 503),
    (IssuerAway, 503),
    (LogError, 503),
    (ReadError, 503),
    *((kind, 503) for kind in AWAY),  # the pool's timeout among them
)


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for an unexpected one."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


async def failed(request: Request, error: Exception) -> Response:
    """The answer to an error of the table, or to an unexpected one."""
    status = status_of(error)
    if status == 404 and _is_no_id(request):
        return await http_failed(request, HTTPException(405))
    where = {"method": request.method, "path": request.url.path, "correlation_id": request.state.correlation_id}
    if status == 500:
        _log.error("unexpected error", extra=where, exc_info=error)
    elif status > 500:
        _log.warning("a request failed", extra={**where, "status": status, "error": error})
    if isinstance(error, Forbidden):
        _audit_forbidden(request, error)
    failure = _failure_of(request, status, error)
    return _answer(failure, _headers_of(error, failure.status, request))


def _failure_of(request: Request, status: int, error: Exception) -> ErrorReply:
    dialect = dialect_of(request)
    match error:
        case TaskError():
            return dialect.task_failure(request, status, error)
        case Unauthenticated() | Forbidden():
            return dialect.denied(request, status, error)
        case BadProperty():
            return dialect.failure(request, status, str(error), {error.kind: [error.name]})
        case NoSuch():
            return dialect.missing(request, error.kind, error.name)
        case GroupNotCancellable():
            return dialect.failure(request, status, str(error), {"args": [error.group_id]})
        case NoSchedule():
            return dialect.no_schedule(request, error)
        case NoRepository():
            return dialect.no_repository(request, error)
        case NoGroup():
            return dialect.failure(request, status, str(error), {"resources": {"task_group": error.group_id}})
        case RepositoryExists():
            return dialect.failure(request, status, str(error), {"resource_id": error.repo_id})
        case _:
            return dialect.failure(request, status, _message_of(error, status, request))


def _audit_forbidden(request: Request, error: Forbidden) -> None:
    audit: Audit = request.app.state.audit
    audit.note(
        What.FORBIDDEN,
        actor=error.actor,
        address=RequestOrigin.of(request).address,
        method=getattr(request.state, "auth", None),
        detail=f"{request.method} {request.url.path}: {error}",
        correlation_id=request.state.correlation_id,
    )


async def bad_parameters(request: Request, error: Exception) -> Response:
    """The answer when FastAPI refuses a parameter."""
    assert isinstance(error, RequestValidationError)
    messages = {str(problem["loc"][-1]): [str(problem["msg"])] for problem in error.errors()}
    return _answer(dialect_of(request).bad_parameters(request, messages))


async def bad_arguments(request: Request, error: Exception) -> Response:
    """400, with the refused arguments, what each must be, and a valid submission."""
    assert isinstance(error, InvalidArguments)
    return _answer(dialect_of(request).bad_arguments(request, error))


async def bad_repository(request: Request, error: Exception) -> Response:
    """400, with the refused fields of a repository, and what each must be."""
    assert isinstance(error, BadRepository)
    return _answer(dialect_of(request).bad_repository(request, error))


async def http_failed(request: Request, error: Exception) -> Response:
    """The answer when no route takes the request."""
    assert isinstance(error, HTTPException)
    dialect = dialect_of(request)
    if error.status_code == 404:
        return dialect.unknown_path(request)
    if error.status_code == 405:
        allowed = {"Allow": ", ".join(_methods_of(request))}
        return _answer(dialect.failure(request, 405, f'Method "{request.method}" not allowed.'), allowed)
    return _answer(dialect.failure(request, error.status_code, str(error.detail)), error.headers)


def _is_no_id(request: Request) -> bool:
    """Whether the path is a route's letter by letter, which does not take this method.

    `GET tasks/purge/` looks for no task with the id `purge`.
    """
    path = request.scope["path"]
    is_literal = any(getattr(route, "path", None) == path for route in request.app.routes)
    return is_literal and request.method not in _methods_of(request)


def _methods_of(request: Request) -> list[str]:
    """The methods of all routes of the path; Starlette's error names only those of one.

    A path that is a route's letter by letter, such as `tasks/purge/`, is not the path of a task with that id.
    """
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    routes = request.app.routes
    routes = [route for route in routes if route.path == request.scope["path"]] or routes
    found = [
        method
        for method in methods
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return [*found, "HEAD"] if "GET" in found else found


def _answer(failure: ErrorReply, headers: Mapping[str, str] | None = None) -> Response:
    return json(failure.body, failure.status, headers)


def _message_of(error: Exception, status: int, request: Request) -> str:
    if isinstance(error, AppendOutcomeUnknown):
        return f"{error}. It is not known whether the request took effect: {_advice(request)}"
    if isinstance(error, psycopg.DataError):
        return f"a value cannot be used: {_NUL if 'NUL' in str(error) else error.diag.message_primary or error}"
    if isinstance(error, psycopg.Error):
        return "the read model (Postgres) does not answer: try again later"
    if status == 500:
        return "an unexpected error; the server's log has the details"
    return str(error)


def _advice(request: Request) -> str:
    if request.method != "POST":
        return "repeat it, a second request changes nothing"
    if "idempotency-key" in request.headers:
        return "repeat it with the same Idempotency-Key, and it takes effect once"
    return "look for the task before you repeat it, or send an Idempotency-Key, with which a request takes effect once"


def _headers_of(error: Exception, status: int, request: Request) -> dict[str, str]:
    if status == 401:
        # A page's event source cannot send its own headers; browsers say what it is.
        is_script = request.headers.get("x-requested-with") == "XMLHttpRequest" or (
            request.headers.get("sec-fetch-dest") == "empty"
        )
        return {"WWW-Authenticate": SCRIPT_CHALLENGE if is_script else CHALLENGE}
    if isinstance(error, LoginsLimited | QuotaExceeded):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, MissingTask):
        return lag_header(error.lag)
    written = position_header(error.position) if isinstance(error, CancelUndecided) else {}
    if isinstance(error, TooManyStreams | NoSeat):
        return {"Retry-After": str(RETRY_S)}
    return {"Retry-After": "2", **written} if status in (503, 504) else {}
