"""The processor's process."""

import asyncio
import logging
import signal

from pulp_events.errors import PulpError
from pulp_events.log import KafkaLog
from pulp_projections.startup import prepare

from pulp_processor.app import ProcessorApp
from pulp_processor.reactor import Reactor
from pulp_processor.settings import Settings
from pulp_processor.writer import watch

_log = logging.getLogger("pulp.processor")


async def serve(settings: Settings) -> None:
    """Project until SIGTERM or SIGINT; then finish the batches in flight, leave the group, and return.

    Raises `PulpError` for what a restart may not mend, or where a restart is the cure (a stalled partition).
    """
    installed = await prepare(
        kafka=settings.kafka, postgres=settings.postgres, topics=settings.topics, timeout_s=settings.startup_timeout_s
    )
    stopping = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    log = KafkaLog(settings.kafka, settings.topics.events, installed.partitions)
    app = ProcessorApp(settings)
    reactor = Reactor(
        log,
        settings.postgres,
        lambda: app.owned,
        cancel_grace_s=settings.cancel_grace_s,
        lease_margin_s=settings.lease_margin_s,
    )
    app.on_committed = reactor.wake
    reacting = asyncio.create_task(reactor.run())
    watchdog = asyncio.create_task(watch(lambda: list(app.writers.values()), log.end_offsets, settings.stall_s))
    try:
        await app.start()
        _log.info("processor is up", extra={"group": app.conf.id, "instance": settings.instance})
        ends = [
            watchdog,
            reacting,
            asyncio.create_task(stopping.wait(), name="stopping"),
            asyncio.create_task(app.wait_until_stopped(), name="faust"),
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (watchdog, reacting):
            if task.done():
                task.result()
        if not stopping.is_set():
            raise PulpError(f"the stream processor has stopped: {app.crash_reason!r}") from app.crash_reason
    finally:
        for task in (watchdog, reacting):
            task.cancel()
        await app.stop()
        await app.close_writers()
        await log.close()
