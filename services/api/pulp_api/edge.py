"""What holds for every request: it has a correlation id, its body is bounded, HEAD is GET without the body, an error
that nobody expects is logged once and answered like the others, and a client that goes away is no error."""

import asyncio
import logging
from typing import Final
from uuid import UUID

from pulp_events.ids import new_id
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulp_api.access_log import Access
from pulp_api.failures import failed, failure_body
from pulp_api.front.limits import BODY_BYTES
from pulp_api.front.refusals import STOPPING
from pulp_api.respond import json

TOO_LARGE: Final = f"the request body has more than {BODY_BYTES} bytes"
_log = logging.getLogger("pulp.api")


class BodyTooLarge(Exception):
    """The request has more than `BODY_BYTES`."""


class Edge:
    """The outermost layer. A body that is too large is refused with 413, and never kept.

    With an access log each request is a line in it. With `hsts_s` browsers that came by https are told to come by
    https alone, for so long.
    """

    def __init__(self, app: ASGIApp, *, has_access_log: bool = False, hsts_s: int = 0) -> None:
        self._app = app
        self._has_access_log = has_access_log
        self._hsts = f"max-age={hsts_s}" if hsts_s else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        correlation_id = _correlation_id(headers.get("correlation-id", ""))
        scope = {**scope, "state": {**scope.get("state", {}), "correlation_id": correlation_id}}
        access = Access(scope) if self._has_access_log else None
        answer = _Answer(send, scope, self._hsts if scope.get("scheme") == "https" else "", access)
        if not answer.has_body:
            scope = {**scope, "method": "GET"}
        try:
            await self._answer(scope, headers, receive, answer)
        finally:
            if access is not None:
                access.write()

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, answer: "_Answer") -> None:
        declared = headers.get("content-length", "")
        try:
            if declared.isdecimal() and int(declared[:20]) > BODY_BYTES:
                raise BodyTooLarge
            await self._app(scope, _bounded(receive), answer)
        except BodyTooLarge:
            await _refuse(scope, receive, answer, 413, TOO_LARGE)
        except ClientDisconnect:  # nobody waits for an answer
            _log.debug("the client went away", extra={"method": scope["method"], "path": scope["path"]})
        except asyncio.CancelledError:  # the server stops, and has waited for as long as it may
            if answer.is_started:
                raise
            await _refuse(scope, receive, answer, 503, STOPPING.detail)
        except Exception as error:
            response = await failed(Request(scope), error)
            if answer.is_started:
                raise  # nothing can be said any more: the server cuts the connection
            await response(scope, receive, answer)


class _Answer:
    """Sends an answer. Without a body it ends with its headers, also where a stream would follow."""

    def __init__(self, send: Send, scope: Scope, hsts: str, access: Access | None) -> None:
        self.has_body = scope["method"] != "HEAD"
        self.is_started = False
        self._correlation_id = scope["state"]["correlation_id"]
        self._is_read = scope["method"] in ("GET", "HEAD")
        self._is_ended = False
        self._send = send
        self._hsts = hsts
        self._access = access

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            headers = MutableHeaders(scope=message)
            headers["Correlation-ID"] = self._correlation_id
            if self._hsts:
                headers["Strict-Transport-Security"] = self._hsts
            if message["status"] == 307 and self._is_read:
                message["status"] = 301  # the slash that is missing at the end, as Pulp answers it; 307 for the others
            if self._access is not None:
                self._access.status = message["status"]
        elif not self.has_body:
            if self._is_ended:
                return
            self._is_ended, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
        elif self._access is not None:
            self._access.size_bytes += len(message.get("body", b""))
        await self._send(message)


async def _refuse(scope: Scope, receive: Receive, answer: _Answer, status: int, message: str) -> None:
    """Answer, and end the connection behind it: more of the body may be on its way."""
    body = failure_body(scope["path"], scope["method"], status, message)
    headers = {"Connection": "close", **({"Retry-After": "2"} if status == 503 else {})}
    await json(body, status, headers)(scope, receive, answer)


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_BYTES:
            raise BodyTooLarge
        return message

    return bounded


def _correlation_id(sent: str) -> str:
    """What the client sent if it is a GUID, else a fresh one."""
    try:
        return str(UUID(sent))
    except ValueError:
        return str(new_id())
