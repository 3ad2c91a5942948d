"""The worker's process."""

import asyncio
import logging
import signal

from pulp_events.log import KafkaLog
from pulp_projections.positions import Positions
from pulp_projections.startup import prepare

from pulp_worker.loading import load_operations
from pulp_worker.settings import Settings
from pulp_worker.worker import Worker

_log = logging.getLogger("pulp.worker")


async def serve(settings: Settings) -> None:
    """Run tasks until SIGTERM or SIGINT; then drain, and return. A second signal cuts the draining short.

    Raises `PulpError` for a fault at start, and `NameInUse` when another worker has taken its name.
    """
    operations = load_operations(settings.modules)
    installed = await prepare(
        kafka=settings.kafka, postgres=settings.postgres, topics=settings.topics, timeout_s=settings.startup_timeout_s
    )
    settings.storage.mkdir(parents=True, exist_ok=True)
    stopping, hastening = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (hastening if stopping.is_set() else stopping).set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop)
    log = KafkaLog(settings.kafka, settings.topics.events, installed.partitions)
    positions = Positions(settings.postgres)
    try:
        await log.start()
        await positions.start()
        worker = Worker(settings, operations, log=log, positions=positions)
        await worker.start()
        _log.info("worker is up", extra={"worker": settings.name, "operations": sorted(operations)})
        await worker.run(stopping, hastening)
    finally:
        await positions.close()
        await log.close()
