"""The processor's process."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, Never

from confluent_kafka.admin import AclOperation
from pulp_events import admin
from pulp_events.errors import PulpError
from pulp_events.log import KafkaLog
from pulp_runtime.gc_tuning import collect_seldom
from pulp_runtime.heartbeat import Heartbeat
from pulp_runtime.preconditions.looking import place_of
from pulp_runtime.preconditions.watch import Watch
from pulp_runtime.startup import prepare

from pulp_processor.app import ProcessorApp, group_of
from pulp_processor.consuming import leaving
from pulp_processor.consuming.aiokafka_settings import check_group, refusal
from pulp_processor.dead_letters.sender import DeadLetterSender
from pulp_processor.instance import Instance
from pulp_processor.reacting.reactor import Reactor
from pulp_processor.settings import Settings
from pulp_processor.watchdog import watch

_TOPIC_PERIOD_S: Final = 5.0
_POSITIONS_PERIOD_S: Final = 2.0
_STOP_S: Final = 5.0
_log = logging.getLogger("pulp.processor")


async def serve(settings: Settings, stopping: asyncio.Event | None = None) -> None:
    """Project until SIGTERM or SIGINT; then finish the batches in flight, leave the group, and return.

    Raises `PulpError` for what a restart may not mend, or where a restart is the cure (a stalled partition). With
    `stopping` given it ends when that is set, and leaves signals alone.
    """
    async with Heartbeat(settings.heartbeat) as heartbeat:
        await _serve(settings, stopping, heartbeat)


async def _serve(settings: Settings, stopping: asyncio.Event | None, heartbeat: Heartbeat) -> None:
    installed = await prepare(settings)
    await asyncio.to_thread(admin.check_rights, settings.kafka, settings.topics.events, AclOperation.READ)
    await check_group(settings.kafka, group_of(settings))
    leave = _stay if stopping else leaving.end_process
    if stopping is None:
        stopping = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    async with _instance(settings) as instance, _log_of(settings, installed.partitions) as log:
        app = ProcessorApp(settings, installed.topic_id)
        reactor = Reactor(
            log,
            settings.postgres,
            lambda: app.owned,
            cancel_grace_s=settings.cancel_grace_s,
            lease_margin_s=settings.lease_margin_s,
        )
        app.committed = reactor.wake
        sender = DeadLetterSender(settings.kafka, settings.topics, settings.postgres, lambda: app.owned)
        beside = [
            reactor.run(),
            sender.run(),
            watch(settings.stall_s, app.standings, log.end_offsets),
            app.watch_topic(_TOPIC_PERIOD_S),
            app.watch_positions(_POSITIONS_PERIOD_S),
            Watch(place_of(settings, broker_clock=log.broker_clock)).keep(),
        ]
        if instance is not None:
            beside.append(instance.keep())
        collect_seldom()
        await _run(app, beside, stopping, leave, heartbeat)


def _stay() -> None:
    """Somebody else's process goes on."""


async def _run(
    app: ProcessorApp,
    beside: list[Coroutine[Any, Any, None]],
    stopping: asyncio.Event,
    leave: Callable[[], None],
    heartbeat: Heartbeat,
) -> None:
    """Until it is to stop; raises the first error of the app or of what runs beside it."""
    tasks = [asyncio.create_task(coroutine) for coroutine in beside]
    tasks.append(asyncio.create_task(_until_stopped(app)))
    waiting = asyncio.create_task(stopping.wait())
    try:
        await app.start()
        heartbeat.up()
        _log.info("processor is up", extra={"group": app.conf.id, "instance": app.settings.instance})
        ends: list[asyncio.Future[Any]] = [waiting, app.fault, *tasks]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
    finally:
        for task in (*tasks, waiting):
            task.cancel()
        await asyncio.gather(*tasks, waiting, return_exceptions=True)
        await app.close_writers()
        await leaving.stop(app, _STOP_S, leave)
        await app.close_writers()  # those of an assignment that came meanwhile
        if app.fault.done():
            app.fault.exception()  # seen: another error may have come first


async def _until_stopped(app: ProcessorApp) -> Never:
    await app.wait_until_stopped()
    if isinstance(app.crash_reason, PulpError):
        raise app.crash_reason
    if (refused := refusal(app.crash_reason)) is not None:
        raise refused from app.crash_reason
    raise PulpError(f"the stream processor has stopped: {app.crash_reason!r}") from app.crash_reason


@asynccontextmanager
async def _instance(settings: Settings) -> AsyncIterator[Instance | None]:
    if settings.instance is None:
        yield None
        return
    instance = Instance(settings.postgres, settings.instance)
    try:
        await instance.take()
        yield instance
    finally:
        await instance.close()


@asynccontextmanager
async def _log_of(settings: Settings, partitions: int) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(settings.kafka, settings.topics.events, partitions)
    try:
        await log.start()
        yield log
    finally:
        await log.close()
