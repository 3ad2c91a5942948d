"""The listening socket, and which connections are admitted."""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

from pulp_events.settings import SettingsError

from pulp_api.errors import AddressInUse
from pulp_api.front.addresses import site_of
from pulp_api.front.open_connections import OpenConnections
from pulp_api.front.protocol import BoundedProtocol
from pulp_api.front.refusals import Refusal
from pulp_api.front.tls import Certificates

_AT_ONCE: Final = 16
_HANDSHAKES_AT_ONCE: Final = 8
"""How many connections are accepted before the event loop does other work; a handshake takes 1 to 2 ms."""
_HANDSHAKE_S: Final = 10.0
_GOODBYE_S: Final = 2.0
_MOST_REFUSED: Final = 64
"""How many refused connections are closed in order; further ones are reset at once."""
_NO_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_S: Final = 0.2
_SEND_BUFFER_BYTES: Final = 262_144
"""The kernel buffers twice this. Without a limit it buffers megabytes for a client that reads nothing."""
_log = logging.getLogger("pulp.api")


def listen(host: str, port: int, *, stalled_s: float) -> socket.socket:
    """A socket that listens; port 0 means any that is free. `::` is every address of this machine, of IPv4 as well.

    A client that takes nothing for `stalled_s` is cut off (where the kernel can do that, as Linux does): a subscriber
    comes back with its cursor. Raises `AddressInUse`, `SettingsError`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        both = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"port {port} on {host} is in use: stop what listens there, or set PULP_API_PORT to another port"
            ) from error
        raise SettingsError(f"PULP_API_HOST={host}, PULP_API_PORT={port}: cannot listen there: {error}") from error
    # Inherited by connections; asyncio sets it only on sockets that name their protocol. Without it an answer's body
    # waits until the client has acknowledged the head, which a client puts off for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stalled_s * 1000))
    return listener


class Listener:
    """Accepts the connections that the watch admits, and gives each a protocol.

    asyncio's own server accepts without asking, and without a descriptor left it logs a traceback a thousand times a
    second.
    """

    def __init__(
        self,
        listening: socket.socket,
        watch: OpenConnections,
        protocol_of: Callable[[str], BoundedProtocol],
        certificates: Certificates | None,
    ) -> None:
        listening.setblocking(False)
        self._socket = listening
        self._watch = watch
        self._protocol_of = protocol_of
        self._certificates = certificates
        self._at_once = _HANDSHAKES_AT_ONCE if certificates else _AT_ONCE
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._refused: deque[socket.socket] = deque()
        self._begin()

    def close(self) -> None:
        """Stop accepting connections."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket.fileno())
        for task in self._connecting:
            task.cancel()
        while self._refused:
            self._end_refused()

    async def wait_closed(self) -> None:
        """Part of uvicorn's interface of a server; uvicorn itself waits for the connections."""

    def _begin(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            accepted.setblocking(False)
            self._take(accepted, site_of(address[0]))

    def _pause(self, error: OSError) -> None:
        """Stop listening for a while: the kernel would report the waiting connection again at once."""
        self._watch.tally.note(f"no connection could be accepted: {error.strerror}", connections=len(self._watch))
        if error.errno in _NO_RESOURCES:
            self._watch.give_up_some()
        self._loop.remove_reader(self._socket.fileno())
        self._retry = self._loop.call_later(_RETRY_S, self._begin)

    def _take(self, accepted: socket.socket, site: str) -> None:
        refusal = self._watch.admit(site)
        if refusal is not None:
            self._watch.tally.note(refusal.detail, address=site)
            self._refuse(accepted, refusal)
            return
        protocol = self._protocol_of(site)
        self._watch.add(protocol)
        protocol.connecting = task = self._loop.create_task(self._connect(accepted, protocol))
        self._connecting.add(task)
        task.add_done_callback(lambda task: self._connected(task, accepted, protocol))

    def _connected(self, task: asyncio.Task[None], accepted: socket.socket, protocol: BoundedProtocol) -> None:
        """Called also if the task was cancelled before it began."""
        self._connecting.discard(task)
        protocol.connecting = None
        if not protocol.is_connected:
            self._watch.remove(protocol)
            accepted.close()

    def _refuse(self, accepted: socket.socket, refusal: Refusal) -> None:
        """Send the reason, unless TLS is used, and close once the client has had time to read it."""
        with contextlib.suppress(OSError):
            if self._certificates is None and len(self._refused) < _MOST_REFUSED:
                accepted.send(refusal.encode())
                accepted.shutdown(socket.SHUT_WR)
                self._refused.append(accepted)
                self._loop.call_later(_GOODBYE_S, self._end_refused)
                return
        accepted.close()

    def _end_refused(self) -> None:
        if self._refused:
            self._refused.popleft().close()

    async def _connect(self, accepted: socket.socket, protocol: BoundedProtocol) -> None:
        context = None if self._certificates is None else self._certificates.context
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=context,
                ssl_handshake_timeout=None if context is None else _HANDSHAKE_S,
                ssl_shutdown_timeout=None if context is None else _GOODBYE_S,
            )
        except (OSError, ssl.SSLError) as error:
            self._watch.tally.note("no TLS connection could be made", address=protocol.site, error=error)
