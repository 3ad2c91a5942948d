"""One connection of a client: uvicorn's HTTP, with bounds on what comes in and on what waits to go out.

httptools keeps a head until it is complete, however long it is and takes, so the bytes are counted before it gets them.
"""

import asyncio
from enum import Enum, auto
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from pulp_api.fairness.turn import Turn
from pulp_api.fairness.turns import Clients
from pulp_api.front import refusals
from pulp_api.front.heads import Head, is_host, split_absolute
from pulp_api.front.limits import BODY_BYTES
from pulp_api.front.open_connections import TOO_SLOW, OpenConnections
from pulp_api.front.outlet import Outlet
from pulp_api.front.pace import Pace
from pulp_api.front.refusals import Refusal

_PIECE_BYTES: Final = 65_536
"""So much is parsed at a time at most: what a client sends in one go can hold many requests."""
_MOST_WAITING: Final = 8
"""Requests that may wait on one connection for the answers to earlier ones."""
_LEAST_FRAMING_BYTES: Final = 65_536
_FRAMING_SHARE: Final = 4
"""A body may be cut into chunks so small that what frames them takes a fourth of it, and `_LEAST_FRAMING_BYTES`."""
_LINGER_BYTES: Final = 64_000_000
_LINGER_S: Final = 10.0
"""Until then what a client still sends is read and thrown away: a connection that is closed before is reset, and the
answer lost on the way."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Part(Enum):
    """What of a request is being received."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class BoundedProtocol(HttpToolsProtocol):
    """`OpenConnections` looks at it now and then, and may `drop` it; until it is connected as well."""

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], watch: OpenConnections, site: str
    ) -> None:
        super().__init__(config, state, app_state)
        self.site = site
        """The address of the peer, or its site; it counts towards the bound on one address."""
        self.answered = 0
        """Requests that were answered."""
        self.held = 0
        """Bytes of requests that are not answered yet."""
        self.unsent = 0
        """Bytes of answers that this process held when it looked last."""
        self.waited_s = 0.0
        """How long the client has let us wait, in the state in which it is."""
        self.since_s = self.loop.time()
        """When it began, or was answered last."""
        self.connecting: asyncio.Task[None] | None = None
        self._watch = watch
        self._limits = watch.limits
        self._outlet: Outlet | None = None
        self._part = Part.NOTHING
        self._refusal: Refusal | None = None
        self._is_deaf = False
        self._is_lingering = False
        self._head = Head()
        self._turn: Turn | None = None
        self._incomplete: tuple[RequestResponseCycle, Any] | None = None
        """A request whose body is still to come, and the application."""
        self._untaken: tuple[RequestResponseCycle, Any] | None = None
        """The same, where the client has yet to take the answer before: it would be held beside that one."""
        self._heads = 0
        self._head_bytes = self._body_bytes = self._framing_bytes = self._lingered_bytes = 0
        self._pace = Pace()

    # What the watch and the listener ask.

    @property
    def is_connected(self) -> bool:
        """It got its transport, and ends by `connection_lost`."""
        return self._outlet is not None

    @property
    def is_answering(self) -> bool:
        """A request is being answered; until its body is complete the client is the one who is waited for."""
        cycle = self._newest
        return cycle is not None and not cycle.response_complete and self._part is not Part.BODY

    @property
    def is_waiting(self) -> bool:
        """A request waits for its turn to be answered."""
        return self._turn is not None and not self._turn.has_begun

    @property
    def clients(self) -> Clients:
        """For whom the newest request counts."""
        return (self.site,) if self._turn is None else self._turn.clients

    @property
    def is_lingering(self) -> bool:
        """Its last answer is written."""
        return self._is_lingering

    @property
    def rate(self) -> float:
        """Bytes a second that the client took lately; infinite where nothing waits for it."""
        return float("inf") if self._outlet is None else self._pace.rate(self._outlet)

    @property
    def is_receiving(self) -> bool:
        """Of a request something has come, and something is missing."""
        return self._part is not Part.NOTHING

    def drop(self) -> None:
        """End the connection at once."""
        if self._outlet is not None:
            self._outlet.abort()
        elif self.connecting is not None:
            self.connecting.cancel()

    def check(self, step_s: float) -> None:
        """Look at the deadlines, `step_s` after it was looked at last."""
        if self._outlet is None:
            return  # TLS has a deadline of its own
        self._check_reader(step_s)
        if self.is_answering or self.flow.read_paused:
            return
        self.waited_s += step_s
        if self._is_lingering:
            if self.waited_s > _LINGER_S:
                self._outlet.abort()
        elif self._part is Part.HEAD:
            if self.waited_s > self._limits.head_s:
                self.refuse(refusals.HEAD_LATE)
        elif self._part is Part.BODY:
            least = self._limits.least_rate * self.waited_s if self.waited_s > self._limits.stalled_s else 0
            if self.waited_s > self._limits.body_s or self._body_bytes < least:
                self.refuse(refusals.BODY_LATE)
        elif self._newest is None and self.waited_s > self._watch.silence_s(self.site):
            self._watch.tally.note("a connection on which nothing came", address=self.site)
            self._outlet.abort()

    def refuse(self, refusal: Refusal) -> None:
        """Say so and end the connection, unless answers to earlier requests are still to come: after those, then."""
        assert self._outlet is not None
        self._watch.tally.note(refusal.detail, address=self.site)
        cycle = self._newest
        is_busy = cycle is not None and not cycle.response_complete
        if cycle is not None and (self.pipeline or self._is_deaf or (is_busy and not cycle.more_body)):
            self._is_deaf = True
            cycle.keep_alive = False
            return
        if cycle is not None and cycle.more_body:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self._outlet.abort()
                return
        self._outlet.write(refusal.encode())
        self._close()

    def _check_reader(self, step_s: float) -> None:
        outlet = self._outlet
        assert outlet is not None
        if self._pace.has_all(outlet):
            return
        self._watch.hold_unsent(self, outlet.unsent())
        limits = self._limits
        if self._pace.is_too_slow(outlet, step_s, window_s=limits.stalled_s, least_rate=limits.least_rate):
            self._watch.tally.note(TOO_SLOW, address=self.site)
            outlet.abort()

    def begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        """It is this request's turn."""
        super()._start_asgi_task(cycle, app)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It is connected, with TLS if there is any."""
        self._outlet = Outlet(transport, self._close, self._grew)
        self.waited_s = 0.0
        super().connection_made(transport)
        self.transport = self._outlet  # type: ignore[assignment]
        self.flow = FlowControl(self.transport)

    def shutdown(self) -> None:
        """The server stops: only answers that are under way are waited for."""
        cycle = self._newest
        if self._incomplete is not None and self._outlet is not None:
            self._outlet.write(refusals.STOPPING.encode())
            self._outlet.finish()
        elif cycle is not None and not cycle.response_complete and not self._is_lingering:
            super().shutdown()
        elif self._outlet is not None and not self._is_lingering and self.unsent:
            self._outlet.finish()
        else:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where the client has reset the connection
        if self._outlet is not None:
            self._outlet.forget()
        self._watch.remove(self)
        if self._turn is not None:
            self._watch.turns.give_up(self._turn)
        self._let_go()

    def _let_go(self) -> None:
        """Hold nothing that holds this: very many connections can end before the garbage collector looks."""
        self._turn = self._incomplete = self._untaken = self.connecting = None
        self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Parse it, within the bounds."""
        self._unset_keepalive_if_required()
        if self._is_lingering:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > _LINGER_BYTES and self._outlet is not None:
                self._outlet.abort()
            return
        while data and not self._is_deaf and not self.transport.is_closing():
            room = self._limits.head_bytes - self._head_bytes if self._part is Part.HEAD else _PIECE_BYTES
            piece, data = data[:room], data[room:]
            data = self._parse(piece) + data

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._part, self.waited_s = Part.HEAD, 0.0
        self._head = Head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; one of a trailer is thrown away, as nobody asked for it."""
        if self._part is not Part.HEAD:
            return
        super().on_header(name, value)
        if len(self.headers) > self._limits.head_fields:
            raise self._refused(refusals.TOO_MANY_FIELDS)
        if refusal := self._head.field(self.headers[-1][0], value):
            raise self._refused(refusal)

    def on_headers_complete(self) -> None:
        """The application gets the request."""
        self._part, self.waited_s = Part.BODY, 0.0
        self._heads += 1
        self._head_bytes = self._body_bytes = self._framing_bytes = 0
        if len(self.pipeline) >= _MOST_WAITING:
            raise self._refused(None)
        absolute = split_absolute(self.url)
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if refusal := self._head.complete(method, version, is_absolute=absolute is not None):
            raise self._refused(refusal)
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
            self._close()  # it was answered, and goes on all the same

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._part, self.waited_s = Part.NOTHING, 0.0
        super().on_message_complete()
        self._answer_incomplete()

    def on_response_complete(self) -> None:
        """The application has answered."""
        self.answered += 1
        self.since_s = self.loop.time()
        self._watch.hold(self, -self.held)
        super().on_response_complete()

    # How it goes about it.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """A request is answered when all of it is there: who sends slowly takes no turn from those who do not."""
        if cycle is self.cycle and cycle.more_body and self._part is Part.BODY:
            self._incomplete = cycle, app
        elif self.flow.write_paused:
            self._untaken = cycle, app
        else:
            self._ask_for_turn(cycle, app)

    def resume_writing(self) -> None:
        """The client has taken most of an answer: the next one may be made."""
        super().resume_writing()
        found, self._untaken = self._untaken, None
        if found is not None:
            self._ask_for_turn(*found)

    def _ask_for_turn(self, cycle: RequestResponseCycle, app: Any) -> None:
        clients = (self.site,) if self._head.login is None else (self.site, self._head.login)
        self._turn = Turn(self.begin, self._watch.turns, cycle, app, clients)
        self._watch.turns.ask(self._turn)

    def _answer_incomplete(self) -> None:
        """It is complete now, or there is reason enough to answer it as it is."""
        found, self._incomplete = self._incomplete, None
        if found is not None:
            part, self._part = self._part, Part.NOTHING
            self._start_asgi_task(*found)
            self._part = part

    def _parse(self, piece: bytes) -> bytes:
        """What is left of the piece: what follows a wish for another protocol, which is not granted."""
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

    @property
    def _newest(self) -> RequestResponseCycle | None:
        """The newest request; uvicorn has None there until there is one."""
        return self.cycle

    def _refused(self, refusal: Refusal | None) -> httptools.HttpParserError:
        """What makes the parser stop; without a refusal what was accepted is still answered."""
        self._refusal = refusal
        self._is_deaf = refusal is None
        return httptools.HttpParserError()

    def _take_absolute(self, authority: bytes, rest: bytes) -> None:
        """RFC 9112, 3.2.2: the host of such a target counts, not the field `Host`."""
        if not is_host(authority):
            raise self._refused(refusals.HOST)
        self.url = rest
        self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"]
        self.headers.append((b"host", authority))

    def _close(self) -> None:
        """Close when all is written, and, if more of the request may be on its way, when the client has stopped."""
        assert self._outlet is not None
        if self._part is Part.NOTHING or self._is_lingering:
            self._outlet.finish()
            return
        self._is_lingering, self.waited_s = True, 0.0
        self._watch.hold(self, -self.held)
        self._outlet.end_writing()
        self.flow.resume_reading()

    def _grew(self) -> None:
        assert self._outlet is not None
        self._watch.hold_unsent(self, self._outlet.unsent())
