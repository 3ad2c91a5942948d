"""Builds the application: its routes, exception handlers and middleware."""

from collections.abc import Iterator
from typing import cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from pulp_events.log import RecordLog
from pulp_events.schedule_log import ScheduleLog
from pulp_events.webhook_log import WebhookLog
from pulp_runtime.preconditions.watch import Watch
from pulp_runtime.telemetry.metric import NO_METER, Meter
from pulp_runtime.telemetry.tracing import OFF, Tracing
from starlette.exceptions import HTTPException

from pulp_api import failures, live_page
from pulp_api import root_pages as front
from pulp_api.auditing.audit import Audit
from pulp_api.checkpoints import Checkpoints
from pulp_api.dead_letters import DeadLetters
from pulp_api.edge import Edge
from pulp_api.limiting.quotas import Quotas
from pulp_api.logins.authenticator import Authenticator
from pulp_api.measuring import Gauges
from pulp_api.repositories import Repositories
from pulp_api.schedules import Schedules
from pulp_api.service import Service
from pulp_api.streaming.hub import Hub
from pulp_api.streaming.seats import Seats
from pulp_api.subjects import Subjects
from pulp_api.submitting.arguments import InvalidArguments
from pulp_api.submitting.repository_bodies import BadRepository
from pulp_api.subscriptions import Subscriptions
from pulp_api.task_rights import TaskRights
from pulp_api.v2 import content as v2_content
from pulp_api.v2 import elsewhere as v2_elsewhere
from pulp_api.v2 import purging as v2_purging
from pulp_api.v2 import repositories as v2_repositories
from pulp_api.v2 import routes as v2
from pulp_api.v2 import status as v2_status
from pulp_api.v2 import task_groups as v2_groups
from pulp_api.v2 import users as v2_users
from pulp_api.v2.dialect import PulpTwo
from pulp_api.v3 import audit as v3_audit
from pulp_api.v3 import checkpoints as v3_checkpoints
from pulp_api.v3 import daily as v3_daily
from pulp_api.v3 import dead_letters as v3_dead_letters
from pulp_api.v3 import events as v3_events
from pulp_api.v3 import login as v3_login
from pulp_api.v3 import maintenance as v3_maintenance
from pulp_api.v3 import numbers as v3_numbers
from pulp_api.v3 import object_roles as v3_object_roles
from pulp_api.v3 import operations as v3_operations
from pulp_api.v3 import purging as v3_purging
from pulp_api.v3 import queue as v3_queue
from pulp_api.v3 import repositories as v3_repositories
from pulp_api.v3 import routes as v3
from pulp_api.v3 import schedules as v3_schedules
from pulp_api.v3 import subjects as v3_subjects
from pulp_api.v3 import subscriptions as v3_subscriptions
from pulp_api.v3 import system as v3_system
from pulp_api.v3 import task_groups as v3_task_groups
from pulp_api.v3 import tokens as v3_tokens
from pulp_api.v3 import users as v3_users
from pulp_api.v3 import workers as v3_workers
from pulp_api.v3.dialect import FieldErrors, PulpThree, bad_fields


def routes() -> Iterator[APIRoute]:
    """Every route of the API, in the order in which they are tried."""
    parts = (
        *(v3, v3_purging, v2, v3_events, v3_task_groups, v3_workers, v3_operations, v3_queue),
        *(v3_repositories, v3_schedules, v3_subscriptions, v2_repositories, v3_maintenance, v3_users, v3_system, front),
        *(v3_login, v3_tokens, v3_object_roles, v3_numbers, v3_checkpoints, v3_daily, v3_audit, v3_subjects),
        v3_dead_letters,
        *(v2_purging, v2_groups, v2_content, v2_status, v2_users, v2_elsewhere),
    )
    # One flat list: an included router would match each request twice.
    for router in [*(part.router for part in parts), front.outside, live_page.router]:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield route


def build(
    service: Service,
    authenticator: Authenticator,
    hub: Hub,
    audit: Audit,
    seats: Seats,
    watch: Watch | None = None,
    *,
    quotas: Quotas | None = None,
    schedules: ScheduleLog | None = None,
    subscriptions: WebhookLog | None = None,
    checkpoints: Checkpoints | None = None,
    subjects: Subjects | None = None,
    records: RecordLog | None = None,
    task_rights: TaskRights | None = None,
    event_origin: str = "client",
    has_access_log: bool = False,
    hsts_s: int = 0,
    meter: Meter = NO_METER,
    tracing: Tracing | None = None,
) -> FastAPI:
    """Join the parts of the API.

    `event_origin` is the setting; the last two options are those of `Edge`. Parts may be missing: without a watch the
    API reports no preconditions; without `quotas` the defaults apply; without `schedules` or `subscriptions` none can
    be changed; without `checkpoints` there are none; without `subjects` no erasure reaches the audit; without `records`
    no record is appended again; without `task_rights` everybody may see every task.
    """
    app = FastAPI(routes=list(routes()), openapi_url=None, docs_url=None, redoc_url=None, telemetry=_telemetry(tracing))
    app.state.service, app.state.authenticator, app.state.hub = service, authenticator, hub
    app.state.audit, app.state.seats, app.state.watch = audit, seats, watch
    app.state.quotas = quotas or Quotas(service.connection, {}, audit)
    app.state.event_origin, app.state.checkpoints = event_origin, checkpoints
    app.state.subjects = subjects or Subjects(service.connection)
    app.state.task_rights = task_rights or TaskRights(service.connection, is_scoped=False)
    app.state.repositories = Repositories(service.connection, service.pattern_searches, audit)
    app.state.schedules = Schedules(schedules, service.connection, service.submitter)
    app.state.subscriptions = Subscriptions(subscriptions, service.log, hub.topic_id, service.connection)
    app.state.dead_letters = DeadLetters(
        service.log, records, service.positions, service.connection, service.writes, audit
    )
    for kind, _ in failures.STATUS:
        app.add_exception_handler(kind, failures.failed)
    app.add_exception_handler(InvalidArguments, failures.bad_arguments)
    app.add_exception_handler(BadRepository, failures.bad_repository)
    app.add_exception_handler(FieldErrors, bad_fields)
    app.add_exception_handler(RequestValidationError, failures.bad_parameters)
    app.add_exception_handler(HTTPException, failures.http_failed)
    dialects = (PulpTwo(), PulpThree(), front.Outside())
    app.add_middleware(Edge, dialects=dialects, has_access_log=has_access_log, hsts_s=hsts_s, meter=meter)
    Gauges(service, app.state.quotas, seats, watch).register(meter)
    return app


def _telemetry(tracing: Tracing | None) -> TelemetryConfig:
    """FastAPI creates the spans of requests itself if configured; otherwise it need not even check."""
    return cast(TelemetryConfig, OFF if tracing is None else tracing.of_api())
