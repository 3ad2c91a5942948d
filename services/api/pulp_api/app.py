"""The application: routes, error bodies in the dialect of the path, and the bounds on a request."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from pulp_events.errors import TaskAlreadyFinal, TaskError, TaskNotCancellable, TaskNotFound, TopicMismatch
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulp_api import respond, v2, v3, v3_events
from pulp_api.auth import Authenticator
from pulp_api.context import correlation_id_of
from pulp_api.respond import API, MAX_BODY_BYTES, BodyTooLarge, FieldErrors, json
from pulp_api.service import Service
from pulp_api.stream import Hub

_log = logging.getLogger("pulp.api")
_TOO_LARGE: Final = f"the request body has more than {MAX_BODY_BYTES} bytes"


def build(service: Service, authenticator: Authenticator, hub: Hub) -> FastAPI:
    """The API over its parts."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.service, app.state.authenticator, app.state.hub = service, authenticator, hub
    for router in (v2.router, v3_events.router, v3.router):
        app.include_router(router)
    app.add_exception_handler(Exception, _failed)
    for kind, _ in respond.STATUS:
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(TopicMismatch, _gone)
    app.add_exception_handler(FieldErrors, _field_errors)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(BodyTooLarge, _too_large)
    app.middleware("http")(_correlate)
    app.add_middleware(BoundedBody)
    return app


class BoundedBody:
    """Refuses a body over `MAX_BODY_BYTES` with 413, before it is read to the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
            await _body_for(scope["path"], 413, _TOO_LARGE, scope.get("method", ""))(scope, receive, send)
            return
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                raise BodyTooLarge
            return message

        await self._app(scope, bounded, send)


async def _correlate(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    response.headers["Correlation-ID"] = correlation_id_of(request)
    return response


async def _failed(request: Request, error: Exception) -> Response:
    status = respond.status_of(error)
    if status >= 500:
        _log.log(logging.ERROR if status == 500 else logging.WARNING, "a request failed", exc_info=error)
    is_v2 = request.url.path.startswith(f"{API}/v2/")
    if isinstance(error, TaskError):
        response = _task_error(request, error, is_v2=is_v2)
    else:
        response = _body_for(request.url.path, status, respond.message_of(error), request.method)
    response.headers.update(respond.error_headers(error, request))
    return response


def _task_error(request: Request, error: TaskError, *, is_v2: bool) -> Response:
    task_id = str(error.task_id)
    if not is_v2:
        if isinstance(error, TaskNotFound):
            is_uuid = len(task_id) == 36
            return json({"detail": "No Task matches the given query." if is_uuid else "Not found."}, 404)
        return json({"detail": str(error)}, respond.status_of(error))
    if isinstance(error, TaskNotCancellable):
        return json(_v2_body(request.url.path, request.method, 501, str(error), {"args": [task_id]}), 501)
    assert isinstance(error, TaskNotFound | TaskAlreadyFinal)
    extra = {"resources": {"resource_id": task_id}}
    message = f"Missing resource(s): resource_id={task_id}"
    return json(_v2_body(request.url.path, request.method, 404, message, extra), 404)


async def _gone(request: Request, error: Exception) -> Response:
    return _body_for(request.url.path, 410, str(error), request.method)


async def _field_errors(request: Request, error: Exception) -> Response:
    assert isinstance(error, FieldErrors)
    return json(error.errors, 400)


async def _too_large(request: Request, error: Exception) -> Response:
    return _body_for(request.url.path, 413, _TOO_LARGE, request.method)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f'Method "{request.method}" not allowed.' if error.status_code == 405 else str(error.detail)
    if error.status_code == 404:
        detail = "Not found."
    response = _body_for(request.url.path, error.status_code, detail, request.method)
    response.headers.update(error.headers or {})
    return response


def _body_for(path: str, status: int, message: str, method: str) -> Response:
    if path.startswith(f"{API}/v2/"):
        extra = {"resources": {"path": path}} if status == 404 else {}
        return json(_v2_body(path, method, status, message, extra), status)
    return json({"detail": message}, status)


def _v2_body(path: str, method: str, status: int, message: str, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "_href": path,
        "http_status": status,
        "http_request_method": method,
        "error_message": message,
        "exception": None,
        "traceback": None,
        "error": {"code": f"HTTP{status}", "description": message, "data": extra, "sub_errors": []},
        **extra,
    }
