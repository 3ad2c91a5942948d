"""What holds for every request: it has a correlation id, its body is bounded, HEAD is GET without the body, an error
that nobody expects is logged once and answered like the others, and a client that goes away is no error."""

import asyncio
import contextlib
import logging
from typing import Final
from uuid import UUID

from pulp_events.ids import new_id
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulp_api.failures import failed, failure_body
from pulp_api.respond import json

MAX_BODY_BYTES: Final = 1_000_000
MAX_DRAINED_BYTES: Final = 64_000_000
DRAIN_S: Final = 10.0
TOO_LARGE: Final = f"the request body has more than {MAX_BODY_BYTES} bytes"
_log = logging.getLogger("pulp.api")


class BodyTooLarge(Exception):
    """The request has more than `MAX_BODY_BYTES`."""


class Edge:
    """The outermost layer. A body that is too large is refused with 413, and never kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = _Answer(send, _correlation_id(headers.get("correlation-id", "")), scope["method"])
        method = scope["method"] if answer.has_body else "GET"
        scope = {
            **scope,
            "method": method,
            "state": {**scope.get("state", {}), "correlation_id": answer.correlation_id},
        }
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
            if "expect" not in headers:  # else the client waits for an answer before it sends the body
                await _drain(receive)
            body = failure_body(scope["path"], method, 413, TOO_LARGE)
            await json(body, 413, {"Connection": "close"})(scope, receive, answer)
            return
        try:
            await self._app(scope, _bounded(receive), answer)
        except ClientDisconnect:  # nobody waits for an answer
            _log.debug("the client went away", extra={"method": method, "path": scope["path"]})
        except Exception as error:
            if answer.is_started:
                raise  # nothing can be said any more: the server cuts the connection
            response = await failed(Request(scope), error)
            await response(scope, receive, answer)


class _Answer:
    """Sends an answer. Without a body it ends with its headers, also where a stream would follow."""

    def __init__(self, send: Send, correlation_id: str, method: str) -> None:
        self.correlation_id = correlation_id
        self.has_body = method != "HEAD"
        self._is_read = method in ("GET", "HEAD")
        self.is_started = False
        self._is_ended = False
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            MutableHeaders(scope=message)["Correlation-ID"] = self.correlation_id
            if message["status"] == 307 and self._is_read:
                message["status"] = 301  # the slash that is missing at the end, as Pulp answers it; 307 for the others
        elif not self.has_body:
            if self._is_ended:
                return
            self._is_ended, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            if message.get("more_body", False):
                await _drain(receive)
            raise BodyTooLarge(TOO_LARGE)
        return message

    return bounded


async def _drain(receive: Receive) -> None:
    """Let the client send what it began to send, within limits: a connection that is closed before is reset, and the
    answer is lost on the way."""
    drained = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while drained < MAX_DRAINED_BYTES:
                message = await receive()
                drained += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _correlation_id(sent: str) -> str:
    """What the client sent if it is a GUID, else a fresh one."""
    try:
        return str(UUID(sent))
    except ValueError:
        return str(new_id())
