"""What holds for every request: its correlation id comes back, and its body is bounded."""

from typing import Final
from uuid import UUID, uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulp_api.failures import failure_body
from pulp_api.respond import json

MAX_BODY_BYTES: Final = 1_000_000
TOO_LARGE: Final = f"the request body has more than {MAX_BODY_BYTES} bytes"


class BodyTooLarge(Exception):
    """The request has more than `MAX_BODY_BYTES`."""


class Edge:
    """The outermost layer. A body that is too large is refused with 413, before it is read to the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        correlation_id = _correlation_id(headers.get("correlation-id", ""))
        scope.setdefault("state", {})["correlation_id"] = correlation_id

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Correlation-ID"] = correlation_id
            await send(message)

        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
            body = failure_body(scope["path"], scope["method"], 413, TOO_LARGE)
            await json(body, 413, {"Connection": "close"})(scope, receive, answer)
            return
        await self._app(scope, _bounded(receive), answer)


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise BodyTooLarge(TOO_LARGE)
        return message

    return bounded


def _correlation_id(sent: str) -> str:
    """What the client sent if it is a GUID, else a fresh one."""
    try:
        return str(UUID(sent))
    except ValueError:
        return str(uuid4())
