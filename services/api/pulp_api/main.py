"""The API's process."""

import asyncio
import contextlib
import errno
import logging
import select
import signal
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from pulp_events.collecting import collect_seldom
from pulp_events.errors import PulpError
from pulp_events.heartbeat import Heartbeat
from pulp_events.log import KafkaLog
from pulp_events.settings import SettingsError
from pulp_projections.connection import pool
from pulp_projections.positions import Positions
from pulp_projections.startup import prepare
from starlette.types import ASGIApp

from pulp_api.app import build
from pulp_api.audit import auditing
from pulp_api.auth import Authenticator
from pulp_api.service import Service
from pulp_api.settings import Settings
from pulp_api.stream import Hub

_STALLED_S: Final = 30.0
_POOL_WAIT_S: Final = 3.0
_RECONNECT_S: Final = 5.0
"""For so long a connection that was lost is tried again with growing pauses; then the next request begins anew. With
the pool's own five minutes the pauses grow to minutes, in which Postgres is back long since."""
_SESSION: Final = {
    "statement_timeout": "30s",  # one query must not hold a connection for ever
    # What is read are pages: found by an index, mostly in memory, and no reason to take more than one core.
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
}
_log = logging.getLogger("pulp.api")


class AddressInUse(PulpError):
    """Something else listens on the address."""


async def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT; then finish those under way, end the streams, and return.

    Raises `DependencyAway`, `TopicMismatch`, `AddressInUse`, `SettingsError`.
    """
    async with Heartbeat(settings.heartbeat) as heartbeat:
        await _serve(settings, heartbeat)


async def _serve(settings: Settings, heartbeat: Heartbeat) -> None:
    installed = await prepare(
        kafka=settings.kafka, postgres=settings.postgres, topics=settings.topics, timeout_s=settings.startup_timeout_s
    )
    log = KafkaLog(settings.kafka, settings.topics.events, installed.partitions, timeout_s=settings.append_timeout_s)
    positions = Positions(settings.postgres)
    hub = Hub(settings.kafka, settings.topics.events, installed.topic_id, installed.partitions, log.end_offsets)
    async with (
        connection_pool(settings.postgres, settings.connections) as pool,
        auditing(settings.kafka, settings.topics.audit) as audit,
    ):
        try:
            await log.start()
            await positions.start()
            service = Service(
                log=log,
                pool=pool,
                positions=positions,
                partitions=installed.partitions,
                max_argument_bytes=settings.max_argument_bytes,
                queues=settings.queues,
                unserved_s=settings.unserved_s,
            )
            app = build(service, Authenticator(service.connection), hub, audit)
            collect_seldom()
            with listen(settings.host, settings.port) as listener:
                heartbeat.up()
                await Server(app, hub, settings.keep_alive_s).serve([listener])
        finally:
            await hub.close()
            await positions.close()
            await log.close()


def connection_pool(conninfo: str, most: int) -> AsyncConnectionPool:
    """The pool of a process, not yet open."""
    return pool(
        conninfo,
        "pulp-api",
        connect_timeout_s=3,
        settings=_SESSION,
        prepared_most=32,  # a page of tasks has a plan of some 170 KiB for the values that it is asked with
        min_size=min(2, most),
        max_size=most,
        timeout=_POOL_WAIT_S,
        reconnect_timeout=_RECONNECT_S,
        check=_check,
    )


async def _check(connection: AsyncConnection) -> None:
    """Raises if the connection has ended. A round trip only where something has come, which its end would be."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)


def listen(host: str, port: int, *, stalled_s: float = _STALLED_S) -> socket.socket:
    """A socket that listens; port 0 means any that is free.

    A client that takes nothing for `stalled_s` is cut off (where the kernel can do that, as Linux does): a subscriber
    comes back with its cursor. Raises `AddressInUse`, `SettingsError`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"port {port} on {host} is in use: stop what listens there, or set PULP_API_PORT to another port"
            ) from error
        raise SettingsError(f"PULP_API_HOST={host}, PULP_API_PORT={port}: cannot listen there: {error}") from error
    # Inherited by connections; asyncio sets it only on sockets that name their protocol. Without it an answer's body
    # waits until the client has acknowledged the head, which a client puts off for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stalled_s * 1000))
    return listener


class Server(uvicorn.Server):
    """Uvicorn, which ends the event streams first: they would keep a graceful stop waiting.

    An idle connection is closed after `keep_alive_s`, and at once when the server stops.
    """

    def __init__(self, app: ASGIApp, hub: Hub, keep_alive_s: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                log_level=logging.WARNING,  # what is below we say ourselves
                access_log=False,
                timeout_graceful_shutdown=10,
                timeout_keep_alive=keep_alive_s,
                server_header=False,
            )
        )
        self._hub = hub

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn to begin."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            _log.info("listening", extra={"host": host, "port": port})

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully at a signal; uvicorn's own would raise it again afterwards, and end the process by it."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        try:
            yield
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(signum)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn when it was told to stop."""
        closing = asyncio.create_task(self._hub.close())
        await super().shutdown(sockets)
        await closing
