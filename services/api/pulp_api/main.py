"""The API's process."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

import uvicorn
from psycopg_pool import AsyncConnectionPool
from pulp_events.log import KafkaLog
from pulp_projections.positions import Positions
from pulp_projections.startup import prepare

from pulp_api.app import build
from pulp_api.auth import Authenticator
from pulp_api.service import Service
from pulp_api.settings import Settings
from pulp_api.stream import Hub

_log = logging.getLogger("pulp.api")


async def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT; then finish those under way, end the streams, and return."""
    installed = await prepare(
        kafka=settings.kafka, postgres=settings.postgres, topics=settings.topics, timeout_s=settings.startup_timeout_s
    )
    log = KafkaLog(settings.kafka, settings.topics.events, installed.partitions, timeout_s=settings.append_timeout_s)
    positions = Positions(settings.postgres)
    hub = Hub(settings.kafka, settings.topics.events, installed.topic_id, installed.partitions)
    pool = AsyncConnectionPool(
        settings.postgres,
        min_size=2,
        max_size=settings.connections,
        timeout=5,
        open=False,
        kwargs={"autocommit": True, "application_name": "pulp-api"},
        check=AsyncConnectionPool.check_connection,
    )
    async with pool:
        try:
            await log.start()
            await positions.start()
            hub.start(await log.end_offsets())
            service = Service(log=log, pool=pool, positions=positions, partitions=installed.partitions)
            app = build(service, Authenticator(service.connection), hub)
            await _Server(app, settings, hub).serve()
        finally:
            await hub.close()
            await positions.close()
            await log.close()


class _Server(uvicorn.Server):
    """Uvicorn, which ends the event streams first: they would keep a graceful stop waiting."""

    def __init__(self, app: object, settings: Settings, hub: Hub) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]  # an ASGI application
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=10,
                server_header=False,
            )
        )
        self._hub = hub

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully at a signal; uvicorn's own would raise it again afterwards, and end the process by it."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        yield

    async def shutdown(self, sockets: object = None) -> None:
        """Called by uvicorn when it was told to stop."""
        closing = asyncio.create_task(self._hub.close())
        await super().shutdown(sockets)  # type: ignore[arg-type]  # uvicorn's own list
        await closing
