"""The API's process."""

import select
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from pulp_events.clock import ServerClock
from pulp_events.errors import SettingsError
from pulp_events.filters import Origin
from pulp_events.log import KafkaLog, RecordLog, TimedLog
from pulp_events.schedule_codec import SCHEDULE_TYPES
from pulp_events.schedule_log import KafkaScheduleLog, ScheduleLog
from pulp_events.webhook_codec import WEBHOOK_TYPES
from pulp_events.webhook_log import KafkaWebhookLog, WebhookLog
from pulp_projections.connection import pool
from pulp_projections.personal.master import MasterKeys
from pulp_projections.reading.origins import origins
from pulp_projections.reading.positions import Positions
from pulp_runtime.gc_tuning import collect_seldom
from pulp_runtime.heartbeat import Heartbeat
from pulp_runtime.preconditions import connections
from pulp_runtime.preconditions.looking import Place, place_of
from pulp_runtime.preconditions.watch import Watch, watching
from pulp_runtime.startup import prepare
from pulp_runtime.telemetry.metered_log import MeteredOrderedLog, MeteredTimedLog
from pulp_runtime.telemetry.metric import Meter
from pulp_runtime.telemetry.serving import Telemetry, telling
from pulp_runtime.telemetry.tracing import TracedTimedLog
from starlette.types import ASGIApp

from pulp_api.app import build
from pulp_api.archived import DetachedRecords
from pulp_api.auditing.audit import Audit, auditing
from pulp_api.checkpoints import Checkpoints
from pulp_api.fairness.connections import Connections
from pulp_api.front.forwarded import Forwarding
from pulp_api.front.listener import listen
from pulp_api.front.server import Server
from pulp_api.front.tls import Certificates
from pulp_api.limiting.quotas import Quotas
from pulp_api.logins.authenticator import Authenticator
from pulp_api.logins.remote_users import RemoteUser
from pulp_api.service import Service
from pulp_api.settings import Settings
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.seats import Seats
from pulp_api.streaming.task_origins import TaskOrigins
from pulp_api.subjects import Subjects, erasures_told, telling_audit
from pulp_api.task_rights import TaskRights

_POOL_WAIT_S: Final = 3.0
_RECONNECT_S: Final = 5.0
"""How long the pool tries to replace a lost connection, with growing pauses; then the next request starts over. With
the pool's default of five minutes the pauses grow to minutes, long after Postgres is back."""
_SESSION: Final = {
    "statement_timeout": "30s",  # so that no query holds a connection forever
    # Queries read pages by an index, mostly from memory; none needs more than one core.
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
}


async def serve(settings: Settings) -> None:
    """Serve requests until SIGTERM or SIGINT; then finish those in progress, end the streams, and return.

    Raises `DependencyAway`, `TopicMismatch`, `AddressInUse`, `SettingsError`.
    """
    async with Heartbeat(settings.heartbeat) as heartbeat, telling(settings.telemetry, "api") as telemetry:
        await _serve(settings, heartbeat, telemetry)


async def _serve(settings: Settings, heartbeat: Heartbeat, telemetry: Telemetry) -> None:
    certificates = None if settings.tls is None else Certificates(settings.tls)
    master = MasterKeys(settings.personal_key_file)
    installed = await prepare(settings, connections.api(settings.connections))
    log = KafkaLog(settings.kafka, settings.topics.events, installed.partitions, timeout_s=settings.append_timeout_s)
    positions = Positions(settings.postgres)
    async with (
        connection_pool(settings.postgres, settings.connections) as pool,
        auditing(settings.kafka, settings.topics.audit) as audit,
        watching(_place(settings, log.broker_clock)) as watch,
    ):
        lendable = Connections(pool)

        async def look(task_ids: Collection[UUID]) -> Mapping[UUID, Origin]:
            async with lendable.connection() as connection:
                return await origins(connection, task_ids)

        hub = Hub(
            settings.kafka,
            settings.topics.events,
            installed.topic_id,
            installed.partitions,
            log.end_offsets,
            TaskOrigins(positions, look),
        )
        try:
            await log.start()
            await positions.start()
            service = Service(
                log=_told(log, settings, telemetry),
                connections=lendable,
                positions=positions,
                partitions=installed.partitions,
                max_argument_bytes=settings.max_argument_bytes,
                queues=settings.queues,
                unserved_s=settings.unserved_s,
                listed_s=settings.listed_s,
                meter=telemetry.meter,
                master_keys=master,
                archive=None
                if settings.archive is None
                else DetachedRecords(settings.archive, settings.topics.events, installed.topic_id),
            )
            subjects = Subjects(lendable.connection, telling_audit(settings.kafka, settings.topics.audit), master)
            schedules, subscriptions = _ordered_logs(log, settings, telemetry.meter)
            server = Server(
                _application(settings, service, hub, audit, watch, schedules, subscriptions, subjects, log, telemetry),
                hub,
                settings.keep_alive_s,
                limits=settings.limits,
                proxies=settings.proxies,
                certificates=certificates,
            )
            collect_seldom()
            with listen(settings.host, settings.port, stalled_s=settings.limits.stalled_s) as listener:
                heartbeat.up()
                async with erasures_told(subjects):
                    await server.serve([listener])
        finally:
            await hub.close()
            await positions.close()
            await log.close()


def _told(log: TimedLog, settings: Settings, telemetry: Telemetry) -> TimedLog:
    """The log, whose appends are measured and traced if these are on."""
    told = MeteredTimedLog(log, telemetry.meter) if telemetry.meter.is_on else log
    if telemetry.tracing is None:
        return told
    return TracedTimedLog(told, telemetry.tracing, settings.topics.events)


def _ordered_logs(log: KafkaLog, settings: Settings, meter: Meter) -> tuple[ScheduleLog, WebhookLog]:
    """The logs of schedules and of subscriptions, whose appends are measured if that is on."""
    schedules = KafkaScheduleLog(log, settings.kafka, settings.topics.schedules)
    subscriptions = KafkaWebhookLog(log, settings.kafka, settings.topics.subscriptions)
    if not meter.is_on:
        return schedules, subscriptions
    return (
        MeteredOrderedLog(schedules, SCHEDULE_TYPES, meter),
        MeteredOrderedLog(subscriptions, WEBHOOK_TYPES, meter),
    )


def _place(settings: Settings, broker_clock: ServerClock) -> Place:
    certificates = () if settings.tls is None else (Path(settings.tls.certificate),)
    return place_of(settings, broker_clock=broker_clock, certificates=certificates)


def _application(
    settings: Settings,
    service: Service,
    hub: Hub,
    audit: Audit,
    watch: Watch,
    schedules: ScheduleLog,
    subscriptions: WebhookLog,
    subjects: Subjects,
    records: RecordLog,
    telemetry: Telemetry,
) -> ASGIApp:
    app = build(
        service,
        _authenticator(settings, service, audit),
        hub,
        audit,
        Seats(settings.limits, meter=telemetry.meter),
        watch,
        quotas=Quotas(service.connection, settings.quotas, audit),
        schedules=schedules,
        subscriptions=subscriptions,
        subjects=subjects,
        checkpoints=Checkpoints(settings.kafka, settings.topics.checkpoints),
        records=records,
        task_rights=TaskRights(service.connection, is_scoped=settings.is_scoped),
        event_origin=settings.event_origin,
        has_access_log=settings.has_access_log,
        hsts_s=settings.hsts_s,
        meter=telemetry.meter,
        tracing=telemetry.tracing,
    )
    inner = Forwarding(app, settings.proxies, settings.forwarded) if settings.proxies else app
    return RemoteUser(inner, settings.remote_user) if settings.remote_user.proxies else inner


def _authenticator(settings: Settings, service: Service, audit: Audit) -> Authenticator:
    try:
        return Authenticator(
            service.connection,
            audit,
            settings=settings.passwords,
            session_s=settings.session_s,
            oidc=settings.oidc,
        )
    except OSError as error:  # an SSLError is one as well
        raise SettingsError(
            f"PULP_OIDC_CA_FILE={settings.oidc.ca_file}: the certificates cannot be read: {error}"
        ) from error


def connection_pool(conninfo: str, most: int) -> AsyncConnectionPool:
    """The pool of a process, not yet open."""
    return pool(
        conninfo,
        "pulp-api",
        connect_timeout_s=3,
        settings=_SESSION,
        prepared_most=32,  # the plan of a page of tasks takes about 170 KiB
        min_size=min(2, most),
        max_size=most,
        timeout=_POOL_WAIT_S,
        reconnect_timeout=_RECONNECT_S,
        check=_check,
    )


async def _check(connection: AsyncConnection) -> None:
    """Raises if the connection has ended. Makes a round trip only if data has arrived, which may be the end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)
