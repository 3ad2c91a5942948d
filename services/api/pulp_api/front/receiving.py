"""The bounds on what a client may send on one connection, around uvicorn's HTTP parser.

httptools keeps a head until it is complete, whatever its size and however long it takes; so the bytes are counted here,
before the parser gets them.
"""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from pulp_api.front import refusals
from pulp_api.front.heads import Head, is_host, split_absolute
from pulp_api.front.limits import BODY_BYTES
from pulp_api.front.open_connections import OpenConnections
from pulp_api.front.refusals import Refusal

_PIECE_BYTES: Final = 65_536
"""The most bytes that are parsed at a time; one read can hold many requests."""
_MOST_PIPELINED: Final = 8
"""The most requests that may wait on one connection for the answers to earlier ones."""
_LEAST_FRAMING_BYTES: Final = 65_536
_FRAMING_SHARE: Final = 4
"""The framing of small chunks may take a quarter of the body's bytes, and `_LEAST_FRAMING_BYTES` in any case."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Part(Enum):
    """The part of a request that is being received."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class BoundedReceiver(HttpToolsProtocol, ABC):
    """Parses requests and refuses those that exceed a limit. A subclass handles the requests."""

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], watch: OpenConnections, site: str
    ) -> None:
        super().__init__(config, state, app_state)
        self.site = site
        """The address of the client, or its IPv6 network; it counts towards the limit on one address."""
        self.held = 0
        """Bytes of requests that are not answered yet."""
        self.waited_s = 0.0
        """How long this server has waited for the client, in the connection's present state."""
        self._watch = watch
        self._limits = watch.limits
        self._part = Part.NOTHING
        self._head = Head()
        self._heads = 0
        """Heads that were complete."""
        self._head_bytes = self._body_bytes = self._framing_bytes = 0
        self._refusal: Refusal | None = None
        """Why the parser was stopped."""
        self._ignores_input = False
        self._is_lingering = False
        self._incomplete: tuple[RequestResponseCycle, Any] | None = None
        """A request whose body is still being received, and the application."""

    @property
    def is_receiving(self) -> bool:
        """Part of a request has been received, and part is missing."""
        return self._part is not Part.NOTHING

    # For the subclass to define.

    @abstractmethod
    def refuse(self, refusal: Refusal) -> None:
        """Answer with the refusal, and end the connection."""

    @abstractmethod
    def _answer_incomplete(self) -> None:
        """Answer the incomplete request, if any: it is complete now, or refused for its size."""

    @abstractmethod
    def _close(self) -> None:
        """End the connection once all answers are written."""

    @abstractmethod
    def _discard(self, size_bytes: int) -> None:
        """Note how many bytes the client has sent after its last answer."""

    # Called by asyncio.

    def data_received(self, data: bytes) -> None:
        """Parse it, within the limits."""
        self._unset_keepalive_if_required()
        if self._is_lingering:
            self._discard(len(data))
            return
        while data and not self._ignores_input and not self.transport.is_closing():
            room = self._limits.head_bytes - self._head_bytes if self._part is Part.HEAD else _PIECE_BYTES
            piece, data = data[:room], data[room:]
            data = self._parse(piece) + data

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._part, self.waited_s = Part.HEAD, 0.0
        self._head = Head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; a field of a trailer is discarded, as no handler uses trailers."""
        if self._part is not Part.HEAD:
            return
        super().on_header(name, value)
        if len(self.headers) > self._limits.head_fields:
            raise self._stopped(refusals.TOO_MANY_FIELDS)
        if refusal := self._head.field(self.headers[-1][0], value):
            raise self._stopped(refusal)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._part, self.waited_s = Part.BODY, 0.0
        self._heads += 1
        self._head_bytes = self._body_bytes = self._framing_bytes = 0
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise self._stopped(None)
        absolute = split_absolute(self.url)
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if refusal := self._head.complete(method, version, is_absolute=absolute is not None):
            raise self._stopped(refusal)
        if absolute is not None:
            self._take_absolute(*absolute)
        super().on_headers_complete()
        if self._head.length > BODY_BYTES:
            self._answer_incomplete()
        elif self.expect_100_continue and self._incomplete is not None:
            self.transport.write(_CONTINUE)
            self.cycle.waiting_for_100_continue = False

    def on_body(self, body: bytes) -> None:
        """A part of the body, or of one chunk."""
        self._body_bytes += len(body)
        if self._incomplete is not None:
            if self._body_bytes <= BODY_BYTES:
                self.cycle.body += body
                return
            self._answer_incomplete()
        super().on_body(body)
        if self.cycle.response_complete and self._body_bytes > BODY_BYTES:
            self._close()  # the request is answered, but its body still arrives

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._part, self.waited_s = Part.NOTHING, 0.0
        super().on_message_complete()
        self._answer_incomplete()

    def _parse(self, piece: bytes) -> bytes:
        """Parse a piece. Returns what follows a request to switch protocols, which is never granted."""
        if self._part is Part.NOTHING:
            self._part, self.waited_s, self._head_bytes = Part.HEAD, 0.0, 0
        self._watch.hold(self, len(piece))
        part, heads, body_bytes = self._part, self._heads, self._body_bytes
        rest = b""
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            rest = piece[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.refuse(self._refusal or refusals.MALFORMED)
            return b""
        if heads == self._heads and self._part is Part.HEAD:
            self._head_bytes += len(piece)
            if self._head_bytes >= self._limits.head_bytes:
                self.refuse(refusals.URL_TOO_LONG if len(self.url) > self._head_bytes // 2 else refusals.HEAD_TOO_LARGE)
        elif heads == self._heads and part is Part.BODY:
            self._framing_bytes += len(piece) - (self._body_bytes - body_bytes)
            if self._framing_bytes > _LEAST_FRAMING_BYTES + self._body_bytes // _FRAMING_SHARE:
                self.refuse(refusals.SMALL_CHUNKS)
        return rest

    def _stopped(self, refusal: Refusal | None) -> httptools.HttpParserError:
        """The error that stops the parser; without a refusal, requests that are complete are still answered."""
        self._refusal = refusal
        self._ignores_input = refusal is None
        return httptools.HttpParserError()

    def _take_absolute(self, authority: bytes, rest: bytes) -> None:
        """RFC 9112, 3.2.2: with an absolute target its host counts, not the field `Host`."""
        if not is_host(authority):
            raise self._stopped(refusals.HOST)
        self.url = rest
        self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"]
        self.headers.append((b"host", authority))
