"""Errors: the one table that maps them to statuses, and their bodies in the dialect of the path."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pulp_events.audit import What
from pulp_events.errors import (
    AppendOutcomeUnknown,
    BadInput,
    EventTooLarge,
    LogError,
    PositionNotReached,
    PulpError,
    ReadError,
    TaskAlreadyFinal,
    TaskError,
    TaskNotCancellable,
    TaskNotFound,
    TaskUnfinished,
    TopicMismatch,
)
from pulp_projections.away import AWAY
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pulp_api.auditing.audit import Audit
from pulp_api.html import page, wants_html
from pulp_api.limiting.quotas import QuotaExceeded, QuotaForbids
from pulp_api.logins.auth import Forbidden
from pulp_api.logins.basic import CHALLENGE, SCRIPT_CHALLENGE, Origin, Unauthenticated
from pulp_api.logins.crossing import CrossSite, NotJson
from pulp_api.logins.limits import LoginsLimited
from pulp_api.repositories import NoRepository, RepositoryExists
from pulp_api.respond import API, json, lag_header, position_header
from pulp_api.service import CancelUndecided, KeyReused, MissingTask
from pulp_api.streaming.seats import RETRY_S, NoSeat, TooManyStreams
from pulp_api.submitting.submission import ArgumentsTooLarge

_log = logging.getLogger("pulp.api")


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
    (BadInput, 400),
    (psycopg.DataError, 400),  # a text or a number that no column can hold
    (Unauthenticated, 401),
    (QuotaExceeded, 429),
    (QuotaForbids, 403),
    (Forbidden, 403),
    (CrossSite, 403),
    (NotJson, 415),
    (LoginsLimited, 429),
    (NoRepository, 404),
    (NoGroup, 404),
    (RepositoryExists, 409),
    (TaskNotFound, 404),
    (TaskAlreadyFinal, 409),
    (TaskNotCancellable, 409),
    (TaskUnfinished, 409),
    (PositionNotReached, 504),
    (TopicMismatch, 410),
    (TooManyStreams, 429),
    (NoSeat, 503),
    (LogError, 503),
    (ReadError, 503),
    *((kind, 503) for kind in AWAY),  # the pool's timeout among them
)
NOT_CANCELLABLE: Final = "Cancel Not Implemented for Task: {}"
"""The user guide's words for a task that cannot be cancelled; of its id."""


class FieldErrors(Exception):
    """A query parameter or a field is wrong: a body of `{field: [message]}`, or a list, as Pulp answers."""

    def __init__(self, errors: Mapping[str, list[str]] | Sequence[str]) -> None:
        super().__init__(str(errors))
        self.errors = errors


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for one that nobody expects."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def failure_body(
    path: str, method: str, status: int, message: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body in the dialect of the path; `extra` is what the v2 body of this status holds beside the message."""
    if not path.startswith(f"{API}/v2/"):
        return {"detail": message}
    if status == 404 and not extra:
        extra = {"resources": {"path": path}}
    data = dict(extra or {})
    code = "PLP0009" if status == 404 else "PLP0000"
    return {
        "_href": path,
        "http_status": status,
        "http_request_method": method,
        "error_message": message,
        "exception": None,
        "traceback": None,
        "error": {"code": code, "description": message, "data": data, "sub_errors": []},
        **data,
    }


async def failed(request: Request, error: Exception) -> Response:
    """The answer to an error of the table, or to one that nobody expects."""
    status = status_of(error)
    where = {"method": request.method, "path": request.url.path, "correlation_id": request.state.correlation_id}
    if status == 500:
        _log.error("unexpected error", extra=where, exc_info=error)
    elif status > 500:
        _log.warning("a request failed", extra={**where, "status": status, "error": error})
    if isinstance(error, Forbidden):
        _audit_forbidden(request, error)
    if isinstance(error, TaskError):
        return _task_failed(request, error)
    if isinstance(error, NoRepository | RepositoryExists):
        return _repository_failed(request, error)
    if isinstance(error, NoGroup):
        return _answer(request, 404, str(error), {"resources": {"task_group": error.group_id}})
    return _answer(request, status, _message_of(error, status, request), headers=_headers_of(error, status, request))


def _audit_forbidden(request: Request, error: Forbidden) -> None:
    audit: Audit = request.app.state.audit
    audit.note(
        What.FORBIDDEN,
        actor=error.actor,
        address=Origin.of(request).address,
        detail=f"{request.method} {request.url.path}: {error}",
        correlation_id=request.state.correlation_id,
    )


async def bad_fields(request: Request, error: Exception) -> Response:
    """The answer to `FieldErrors`."""
    assert isinstance(error, FieldErrors)
    return json(error.errors, 400)


async def bad_parameters(request: Request, error: Exception) -> Response:
    """The answer where the framework refused a parameter."""
    assert isinstance(error, RequestValidationError)
    found = {str(problem["loc"][-1]): [str(problem["msg"])] for problem in error.errors()}
    if not request.url.path.startswith(f"{API}/v2/"):
        return json(found, 400)
    text = "; ".join(f"{name}: {messages[0]}" for name, messages in found.items())
    return _answer(request, 400, text, {"property_names": list(found)})


async def http_failed(request: Request, error: Exception) -> Response:
    """The answer where no route takes the request."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = {"Allow": ", ".join(_methods_of(request))}
        return _answer(request, 405, f'Method "{request.method}" not allowed.', headers=allowed)
    if error.status_code == 404 and not request.url.path.startswith((f"{API}/v2/", f"{API}/v3/")):
        return _nothing_here(request)
    detail = "Not found." if error.status_code == 404 else str(error.detail)
    return _answer(request, error.status_code, detail, headers=error.headers)


def _nothing_here(request: Request) -> Response:
    """The answer outside of the API: where that is."""
    root = f"{API}/v3/"
    if wants_html(request):
        return page(
            "Not found", f'<p>There is nothing at this address. The API is at <a href="{root}">{root}</a>.</p>', 404
        )
    url = str(request.base_url).rstrip("/") + root
    return json({"detail": f"Not found. The API is at {url}", "api": url}, 404)


def _methods_of(request: Request) -> list[str]:
    """What the path takes, of all its routes: the framework's error knows of one of them."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    routes = request.app.routes
    found = [
        method
        for method in methods
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return [*found, "HEAD"] if "GET" in found else found


def _task_failed(request: Request, error: TaskError) -> Response:
    task_id = str(error.task_id)
    headers = lag_header(error.lag) if isinstance(error, MissingTask) else {}
    if request.url.path.startswith(f"{API}/v2/"):
        if isinstance(error, TaskNotCancellable):
            return _answer(request, 501, NOT_CANCELLABLE.format(task_id), {"args": [task_id]})
        resources = {"resources": {"resource_id": task_id}}  # to Pulp 2 an ended task is none that it holds
        return _answer(request, 404, f"Missing resource(s): resource_id={task_id}", resources, headers)
    if not isinstance(error, TaskNotFound):
        return _answer(request, status_of(error), str(error))
    detail = "No Task matches the given query." if isinstance(error.task_id, UUID) else "Not found."
    return _answer(request, 404, detail, headers=headers)


def _repository_failed(request: Request, error: NoRepository | RepositoryExists) -> Response:
    if isinstance(error, RepositoryExists):
        return _answer(request, 409, str(error), {"resource_id": error.repo_id})
    if request.url.path.startswith(f"{API}/v2/"):
        resources = {"resources": {"repository": error.repo_id}}
        return _answer(request, 404, f"Missing resource(s): repository={error.repo_id}", resources)
    return _answer(request, 404, "No Repository matches the given query.")


def _answer(
    request: Request,
    status: int,
    message: str,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return json(failure_body(request.url.path, request.method, status, message, extra), status, headers)


def _message_of(error: Exception, status: int, request: Request) -> str:
    if isinstance(error, AppendOutcomeUnknown):
        return f"{error}. It is not known whether the request took effect: {_advice(request)}"
    if isinstance(error, psycopg.DataError):
        return f"a value cannot be used: {error.diag.message_primary or error}"
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
        is_script = request.headers.get("x-requested-with") == "XMLHttpRequest"
        return {"WWW-Authenticate": SCRIPT_CHALLENGE if is_script else CHALLENGE}
    if isinstance(error, LoginsLimited | QuotaExceeded):
        return {"Retry-After": str(error.retry_after_s)}
    written = position_header(error.position) if isinstance(error, CancelUndecided) else {}
    if isinstance(error, TooManyStreams | NoSeat):
        return {"Retry-After": str(RETRY_S)}
    return {"Retry-After": "2", **written} if status in (503, 504) else {}
