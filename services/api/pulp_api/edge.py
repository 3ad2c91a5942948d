"""Middleware for every request: sets the correlation id and the dialect, bounds the body, answers HEAD like GET without
the body, and logs unexpected errors once. A client that disconnects is not an error."""

import asyncio
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from pulp_events.ids import new_id
from pulp_runtime.telemetry.metric import NO_METER, Meter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulp_api.access_log import AccessLine
from pulp_api.dialect import Dialect, dialect_of
from pulp_api.failures import failed
from pulp_api.front.direct import DIRECT, Direct
from pulp_api.front.limits import BODY_BYTES
from pulp_api.front.refusals import STOPPING
from pulp_api.respond import json

TOO_LARGE: Final = f"the request body has more than {BODY_BYTES} bytes"
_GUID: Final = re.compile(r"(?:urn:)?(?:uuid:)?\{?(?:-?[0-9a-fA-F]){32}\}?")
"""The forms that Python's `UUID` takes, and pulpcore with it."""
_log = logging.getLogger("pulp.api")


class BodyTooLarge(Exception):
    """The request has more than `BODY_BYTES`."""


class Edge:
    """The outermost layer. It refuses a body that is too large with 413, and never keeps it.

    A request belongs to the first of the `dialects` whose prefix fits its path. The access log has a line for each
    request. Browsers that came by https are told to use only https for `hsts_s` seconds; 0 tells them nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        dialects: Sequence[Dialect],
        has_access_log: bool = False,
        hsts_s: int = 0,
        meter: Meter = NO_METER,
    ) -> None:
        self._app = app
        self._meter = meter
        self._dialects = dialects
        self._has_access_log = has_access_log
        self._hsts = f"max-age={hsts_s}" if hsts_s else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        correlation_id = _correlation_id(headers.get("correlation-id", ""))
        dialect = self._dialect_of(scope["path"])
        state = {"correlation_id": correlation_id, "dialect": dialect}
        routed = dialect.routed(scope["path"], scope.get("raw_path", scope["path"].encode()).decode("latin-1"))
        scope = {**scope, "path": routed, "state": {**scope.get("state", {}), **state}}
        access = AccessLine(scope, self._meter) if self._has_access_log or self._meter.is_on else None
        answer = _Answer(send, scope, self._hsts if scope.get("scheme") == "https" else "", access)
        if not answer.has_body:
            scope = {**scope, "method": "GET"}
            if access is not None:
                access.scope = scope
        try:
            await self._answer(scope, headers, receive, answer)
        finally:
            if access is not None:
                direct: Direct | None = scope.get(DIRECT)
                if direct is not None and direct.continues:
                    direct.at_end(partial(self._end, access, direct))
                else:
                    self._end(access)

    def _end(self, access: AccessLine, direct: Direct | None = None) -> None:
        if direct is not None:
            access.size_bytes += direct.size_bytes
        access.ends()
        if self._has_access_log:
            access.write()

    def _dialect_of(self, path: str) -> Dialect:
        return next(dialect for dialect in self._dialects if path.startswith(dialect.prefix))

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, answer: "_Answer") -> None:
        declared = headers.get("content-length", "")
        try:
            if declared.isdecimal() and int(declared[:20]) > BODY_BYTES:
                raise BodyTooLarge
            await self._app(scope, _bounded(receive), answer)
        except BodyTooLarge:
            await _refuse(scope, receive, answer, 413, TOO_LARGE)
        except ClientDisconnect:  # nobody is left to answer
            _log.debug("the client disconnected", extra={"method": scope["method"], "path": scope["path"]})
        except asyncio.CancelledError:  # the server is stopping and its grace period is over
            if answer.is_started:
                raise
            await _refuse(scope, receive, answer, 503, STOPPING.detail)
        except Exception as error:
            response = await failed(Request(scope), error)
            if answer.is_started:
                raise  # too late for another response: the server closes the connection
            await response(scope, receive, answer)


class _Answer:
    """Sends a response. For HEAD it ends after the headers, even if a stream would follow."""

    def __init__(self, send: Send, scope: Scope, hsts: str, access: AccessLine | None) -> None:
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
                message["status"] = 301  # the redirect to the path with a final slash, as Pulp sends it
            if self._access is not None:
                self._access.begins(message["status"])
        elif not self.has_body:
            if self._is_ended:
                return
            self._is_ended, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
        elif self._access is not None:
            self._access.size_bytes += len(message.get("body", b""))
        await self._send(message)


async def _refuse(scope: Scope, receive: Receive, answer: _Answer, status: int, message: str) -> None:
    """Answer, and close the connection: more of the body may be on its way."""
    request = Request(scope)
    body = dialect_of(request).failure(request, status, message).body
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
    """The client's id, unchanged, if it is a GUID, else a new one: clients compare it character by character."""
    return sent if _GUID.fullmatch(sent) else str(new_id())
