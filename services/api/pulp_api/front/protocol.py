"""One connection of a client: when its requests are answered, how long it may take, and how the connection ends."""

import asyncio
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from pulp_api.fairness.turn import Turn
from pulp_api.fairness.turns import Clients
from pulp_api.front import refusals
from pulp_api.front.direct import DIRECT, Direct
from pulp_api.front.open_connections import TOO_SLOW, OpenConnections
from pulp_api.front.outlet import Outlet
from pulp_api.front.pace import ClientPace
from pulp_api.front.receiving import BoundedReceiver, Part
from pulp_api.front.refusals import Refusal

_LINGER_BYTES: Final = 64_000_000
_LINGER_S: Final = 10.0
"""Up to these limits, data that a client still sends after its last answer is read and discarded. Closing the
connection at once would reset it, and the client would lose the answer."""


class BoundedProtocol(BoundedReceiver):
    """A connection within its limits. `OpenConnections` checks it regularly and may `drop` it, connected or not."""

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], watch: OpenConnections, site: str
    ) -> None:
        super().__init__(config, state, app_state, watch, site)
        self.answered = 0
        """Requests that were answered."""
        self.unsent = 0
        """Bytes of answers that this process held at the last check."""
        self.since_s = self.loop.time()
        """When the connection began, or was answered last."""
        self.connecting: asyncio.Task[None] | None = None
        self._outlet: Outlet | None = None
        self._pace = ClientPace()
        self._turn: Turn | None = None
        self._direct: Direct | None = None
        self._deferred: tuple[RequestResponseCycle, Any] | None = None
        """A request and the application. It waits until the client has taken the answer before: this process would
        hold both answers."""
        self._lingered_bytes = 0

    # For the watch and the listener.

    @property
    def is_connected(self) -> bool:
        """Whether the connection has its transport; then it ends by `connection_lost`."""
        return self._outlet is not None

    @property
    def is_answering(self) -> bool:
        """A request is being answered. Until its body is complete, this server waits for the client instead."""
        cycle = self._newest
        return cycle is not None and not cycle.response_complete and self._part is not Part.BODY

    @property
    def is_waiting(self) -> bool:
        """A request waits for its turn to be answered."""
        return self._turn is not None and not self._turn.has_begun

    @property
    def clients(self) -> Clients:
        """The clients for which the newest request counts."""
        return (self.site,) if self._turn is None else self._turn.clients

    @property
    def is_lingering(self) -> bool:
        """Its last answer is written."""
        return self._is_lingering

    @property
    def rate(self) -> float:
        """Bytes a second that the client has taken lately; infinite if nothing waits for it."""
        return float("inf") if self._outlet is None else self._pace.rate(self._outlet)

    def drop(self) -> None:
        """End the connection at once."""
        if self._outlet is not None:
            self._outlet.abort()
        elif self.connecting is not None:
            self.connecting.cancel()

    # Deadlines.

    def check(self, step_s: float) -> None:
        """Enforce the deadlines, `step_s` after the last check."""
        if self._outlet is None:
            return  # the TLS handshake has a deadline of its own
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

    def _check_reader(self, step_s: float) -> None:
        """Drop the connection if the client takes its answers too slowly."""
        outlet = self._outlet
        assert outlet is not None
        if self._pace.has_all(outlet):
            return
        self._watch.hold_unsent(self, outlet.unsent())
        limits = self._limits
        if self._pace.is_too_slow(outlet, step_s, window_s=limits.stalled_s, least_rate=limits.least_rate):
            self._watch.tally.note(TOO_SLOW, address=self.site)
            outlet.abort()

    def _grew(self) -> None:
        assert self._outlet is not None
        self._watch.hold_unsent(self, self._outlet.unsent())

    # Beginning and end of the connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is established, with TLS if it is used."""
        self._outlet = Outlet(transport, self._close, self._grew)
        self.waited_s = 0.0
        super().connection_made(transport)
        self.transport = self._outlet  # type: ignore[assignment]
        self.flow = FlowControl(self.transport)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with the refusal and end the connection, after the answers that are still due."""
        assert self._outlet is not None
        self._watch.tally.note(refusal.detail, address=self.site)
        cycle = self._newest
        is_busy = cycle is not None and not cycle.response_complete
        if cycle is not None and (self.pipeline or self._ignores_input or (is_busy and not cycle.more_body)):
            self._ignores_input = True
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

    def shutdown(self) -> None:
        """The server stops: finish only answers that have begun."""
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
        """The connection has ended."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves its timer running if the client has reset the connection
        if self._outlet is not None:
            self._outlet.forget()
        self._watch.remove(self)
        if self._turn is not None:
            self._watch.turns.give_up(self._turn)
        if self._direct is not None:
            self._direct.lost()
        self._forget()

    def _forget(self) -> None:
        """Break reference cycles: very many connections can end between two runs of the garbage collector."""
        self._turn = self._incomplete = self._deferred = self.connecting = self._direct = None
        self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def _close(self) -> None:
        """Close once all is written; if more of the request may come, once the client has stopped sending."""
        assert self._outlet is not None
        if self._part is Part.NOTHING or self._is_lingering:
            self._outlet.finish()
            return
        self._is_lingering, self.waited_s = True, 0.0
        self._watch.hold(self, -self.held)
        self._outlet.end_writing()
        self.flow.resume_reading()

    def _discard(self, size_bytes: int) -> None:
        self._lingered_bytes += size_bytes
        if self._lingered_bytes > _LINGER_BYTES and self._outlet is not None:
            self._outlet.abort()

    # Answering in turn.

    def begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer the request: its turn has come."""
        self._direct = Direct(cycle, app)
        cycle.scope[DIRECT] = self._direct  # type: ignore[typeddict-unknown-key]
        super()._start_asgi_task(cycle, self._direct)  # type: ignore[arg-type]  # uvicorn's types of ASGI are narrower

    def on_response_complete(self) -> None:
        """The application has answered."""
        self.answered += 1
        self.since_s = self.loop.time()
        self._watch.hold(self, -self.held)
        super().on_response_complete()

    def resume_writing(self) -> None:
        """The client has taken most of an answer: the next request may be answered."""
        super().resume_writing()
        found, self._deferred = self._deferred, None
        if found is not None:
            self._ask_for_turn(*found)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer a request only when all of it is here: a client that sends slowly must not hold a turn."""
        if cycle is self.cycle and cycle.more_body and self._part is Part.BODY:
            self._incomplete = cycle, app
        elif self.flow.write_paused:
            self._deferred = cycle, app
        else:
            self._ask_for_turn(cycle, app)

    def _ask_for_turn(self, cycle: RequestResponseCycle, app: Any) -> None:
        clients = (self.site,) if self._head.login is None else (self.site, self._head.login)
        self._turn = Turn(self.begin, self._watch.turns, cycle, app, clients)
        self._watch.turns.ask(self._turn)

    def _answer_incomplete(self) -> None:
        found, self._incomplete = self._incomplete, None
        if found is not None:
            part, self._part = self._part, Part.NOTHING
            self._start_asgi_task(*found)
            self._part = part

    @property
    def _newest(self) -> RequestResponseCycle | None:
        """The newest request; uvicorn has None in this attribute before the first one."""
        return self.cycle
