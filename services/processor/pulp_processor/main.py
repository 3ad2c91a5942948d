"""The processor's process."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, Never

from confluent_kafka.admin import AclOperation
from pulp_archive import reach
from pulp_events.errors import PulpError
from pulp_events.findings import faults
from pulp_events.log import KafkaLog, TimedLog
from pulp_events.schedule_codec import SCHEDULE_TYPES
from pulp_events.schedule_log import KafkaScheduleLog
from pulp_events.webhook_codec import WEBHOOK_TYPES
from pulp_events.webhook_log import KafkaWebhookLog
from pulp_runtime.gc_tuning import collect_seldom
from pulp_runtime.heartbeat import Heartbeat
from pulp_runtime.preconditions.connections import PROCESSOR
from pulp_runtime.preconditions.looking import place_of
from pulp_runtime.preconditions.watch import Watch
from pulp_runtime.startup import PreconditionFailed, prepare
from pulp_runtime.telemetry.metered_log import MeteredOrderedLog, MeteredTimedLog
from pulp_runtime.telemetry.serving import Telemetry, telling
from pulp_runtime.telemetry.tracing import TracedTimedLog
from pulp_runtime.tick_submission import MakeTickSubmitter, OpenTickSubmitter

from pulp_processor.consuming import internals, shutdown
from pulp_processor.consuming.aiokafka_settings import check_group, refusal
from pulp_processor.consuming.app import ProcessorApp, group_of
from pulp_processor.consuming.lag import Lag
from pulp_processor.consuming.watchdog import watch
from pulp_processor.dead_letters.publisher import DeadLetterPublisher
from pulp_processor.delivering.deliverer import Deliverer
from pulp_processor.dispatching.dispatcher import Dispatcher
from pulp_processor.instance import Instance
from pulp_processor.publishing.publisher import StatePublisher
from pulp_processor.reacting.reactor import Reactor
from pulp_processor.scheduling.scheduler import Scheduler
from pulp_processor.settings import Settings

_TOPIC_PERIOD_S: Final = 5.0
_POSITIONS_PERIOD_S: Final = 2.0
_STOP_S: Final = 5.0
_log = logging.getLogger("pulp.processor")


async def serve(
    settings: Settings, stopping: asyncio.Event | None = None, *, make_submitter: MakeTickSubmitter | None = None
) -> None:
    """Project until SIGTERM or SIGINT; then finish the batches in flight, leave the group, and return.

    Raises `PulpError` for what a restart may not fix, and for a stalled partition, which a restart does fix. If
    `stopping` is given, it runs until that is set and does not handle signals. Without `make_submitter` it runs no
    schedules.
    """
    async with Heartbeat(settings.heartbeat) as heartbeat, telling(settings.telemetry, "processor") as telemetry:
        await _serve(settings, stopping, heartbeat, make_submitter, telemetry)


async def _serve(
    settings: Settings,
    stopping: asyncio.Event | None,
    heartbeat: Heartbeat,
    make_submitter: MakeTickSubmitter | None,
    telemetry: Telemetry,
) -> None:
    meter, tracing = telemetry
    internals.install()
    installed = await prepare(settings, PROCESSOR, rights=[AclOperation.READ])
    await check_group(settings.kafka, group_of(settings))
    await _check_archive(settings)
    give_up = _keep_running if stopping else shutdown.end_process
    if stopping is None:
        stopping = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    async with _instance(settings) as instance, _log_of(settings, installed.partitions) as log:
        app = ProcessorApp(settings, installed.topic_id, meter=meter, tracing=tracing)
        meter.add_source("kafka", Lag(app.in_hand, log.end_offsets).readings)
        told = _told(log, settings, telemetry)
        reactor = Reactor(
            told,
            settings.postgres,
            lambda: app.owned,
            cancel_grace_s=settings.cancel_grace_s,
            lease_margin_s=settings.lease_margin_s,
            is_tracing=tracing is not None,
        )
        app.after_commit = reactor.wake
        companions = [_deliverer(settings, log, telemetry)]
        if make_submitter is not None:
            companions.append(_scheduler(settings, log, make_submitter(told, installed.partitions), telemetry))
        if settings.publishes_states:
            companions.append(StatePublisher(settings.kafka, settings.topics, settings.postgres).run)
        dispatcher = Dispatcher(
            log,
            settings.postgres,
            quotas=settings.quotas,
            unserved_s=settings.unserved_s,
            companions=companions,
            meter=meter,
            tracing=tracing,
        )
        meter.add_source("process", dispatcher.readings)
        publisher = DeadLetterPublisher(settings.kafka, settings.topics, settings.postgres, lambda: app.owned)
        services = [
            reactor.run(),
            dispatcher.run(),
            publisher.run(),
            watch(settings.stall_s, app.progress, log.end_offsets),
            app.watch_topic(_TOPIC_PERIOD_S),
            app.watch_positions(_POSITIONS_PERIOD_S),
            Watch(place_of(settings, broker_clock=log.broker_clock)).keep(),
        ]
        if instance is not None:
            services.append(instance.keep())
        collect_seldom()
        await _run(app, services, stopping, give_up, heartbeat)


async def _check_archive(settings: Settings) -> None:
    """Raises `PreconditionFailed` if Kafka has deleted records that the archive does not hold, unless the settings let
    that pass."""
    if settings.archive is None:
        return
    for finding in (found := await asyncio.to_thread(reach.look, settings.archive, settings.kafka, settings.topics)):
        _log.warning("%s", finding)
    if settings.refuses_bad_topics and faults(found):
        raise PreconditionFailed(faults(found), "or let it pass with PULP_TOPIC_CHECK=warn")


def _told(log: TimedLog, settings: Settings, telemetry: Telemetry) -> TimedLog:
    """The log of tasks, whose appends are measured and traced if these are on."""
    told = MeteredTimedLog(log, telemetry.meter) if telemetry.meter.is_on else log
    return told if telemetry.tracing is None else TracedTimedLog(told, telemetry.tracing, settings.topics.events)


def _scheduler(
    settings: Settings, log: KafkaLog, open_submitter: OpenTickSubmitter, telemetry: Telemetry
) -> Callable[[], Coroutine[Any, Any, Never]]:
    topic = settings.topics.schedules
    schedules = KafkaScheduleLog(log, settings.kafka, topic)
    return Scheduler(
        MeteredOrderedLog(schedules, SCHEDULE_TYPES, telemetry.meter) if telemetry.meter.is_on else schedules,
        settings.kafka,
        topic,
        settings.postgres,
        open_submitter,
        log.end_offsets,
        grace_s=settings.schedule_grace_s,
        tracing=telemetry.tracing,
    ).run


def _deliverer(settings: Settings, log: KafkaLog, telemetry: Telemetry) -> Callable[[], Coroutine[Any, Any, Never]]:
    topics = settings.topics
    subscriptions = KafkaWebhookLog(log, settings.kafka, topics.subscriptions)
    return Deliverer(
        MeteredOrderedLog(subscriptions, WEBHOOK_TYPES, telemetry.meter) if telemetry.meter.is_on else subscriptions,
        settings.kafka,
        topics.subscriptions,
        topics.events,
        settings.postgres,
        settings.webhooks,
        log.end_offsets,
        is_scoped=settings.is_scoped,
        tracing=telemetry.tracing,
    ).run


def _keep_running() -> None:
    """The process belongs to the caller of `serve`."""


async def _run(
    app: ProcessorApp,
    services: list[Coroutine[Any, Any, None]],
    stopping: asyncio.Event,
    give_up: Callable[[], None],
    heartbeat: Heartbeat,
) -> None:
    """Run until `stopping` is set; raises the first error of the app or of a service."""
    tasks = [asyncio.create_task(coroutine) for coroutine in services]
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
        ended = asyncio.gather(*tasks, waiting, return_exceptions=True)
        try:  # alongside the services' ends: others wait for the partitions as well as for the dispatcher's lease
            await app.close_writers()
            await shutdown.stop(app, _STOP_S, give_up)
        finally:
            await ended
        await app.close_writers()  # an assignment may have come meanwhile
        if app.fault.done():
            app.fault.exception()  # mark it as retrieved: another error may have been raised first


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
