"""Uvicorn's server, with a listener and a shutdown of our own."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from pulp_api.front import descriptors
from pulp_api.front.addresses import Proxies
from pulp_api.front.limits import Limits
from pulp_api.front.listener import Listener
from pulp_api.front.open_connections import OpenConnections
from pulp_api.front.protocol import BoundedProtocol
from pulp_api.front.tls import Certificates
from pulp_api.streaming.hub import Hub

_STOP_S: Final = 10
_FILES_S: Final = 5.0
"""How often the TLS files are checked for changes."""
_log = logging.getLogger("pulp.api")


class Server(uvicorn.Server):
    """Uvicorn, which ends the event streams first: they would keep a graceful stop waiting.

    Each connection is a `BoundedProtocol`. An idle one is closed after `keep_alive_s`, and at once when the server
    stops.
    """

    def __init__(
        self,
        app: ASGIApp,
        hub: Hub,
        keep_alive_s: int,
        *,
        limits: Limits | None = None,
        proxies: Proxies | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                log_config=None,
                log_level=logging.CRITICAL,  # the tally logs refusals instead, as a client can cause any number of them
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_STOP_S,
                timeout_keep_alive=keep_alive_s,
                server_header=False,
            )
        )
        self._hub = hub
        self._certificates = certificates
        limits = limits or Limits()
        limits = replace(limits, clients=_possible(limits.clients))
        self.watch = OpenConnections(limits, proxies or Proxies(), keep_alive_s=keep_alive_s, clock_s=time.monotonic)
        self._watching: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening; uvicorn calls this."""
        await self.lifespan.startup()
        self.servers = []
        for listening in sockets or []:
            host, port = listening.getsockname()[:2]
            self.servers.append(Listener(listening, self.watch, self._protocol, self._certificates))  # type: ignore[arg-type]
            _log.info("listening", extra={"host": host, "port": port, "tls": self._certificates is not None})
        self._watching = [
            asyncio.create_task(self.watch.keep_watch()),
            asyncio.create_task(self.watch.turns.keep_moving()),
        ]
        if self._certificates is not None:
            self._watching.append(asyncio.create_task(_follow_files(self._certificates)))
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully at a signal. Uvicorn itself would raise it again afterwards, which kills the process."""
        loop = asyncio.get_running_loop()
        taken = [signal.SIGTERM, signal.SIGINT]
        for signum in taken:
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        if self._certificates is not None:
            taken.append(signal.SIGHUP)
            loop.add_signal_handler(signal.SIGHUP, self._certificates.reload)
        try:
            yield
        finally:
            for signum in taken:
                loop.remove_signal_handler(signum)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the connections; uvicorn calls this when it must stop."""
        closing = asyncio.create_task(self._hub.close())
        await super().shutdown(sockets)
        await closing
        for task in self._watching:
            task.cancel()

    def _protocol(self, site: str) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state, self.watch, site)


def _possible(clients: int) -> int:
    """The number of connections that the file descriptors allow, up to `clients`."""
    possible = descriptors.raise_limit()
    if possible < clients:
        _log.warning(
            "the limit on open files allows fewer connections than PULP_API_CLIENTS: raise it (ulimit -n)",
            extra={"clients": clients, "possible": possible},
        )
    return min(clients, possible)


async def _follow_files(certificates: Certificates) -> None:
    while True:
        await asyncio.sleep(_FILES_S)
        certificates.reload_if_changed()
