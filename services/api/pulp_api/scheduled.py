"""Submits the tasks of ticks, by the same checks as a request of the schedule's author would meet at that time."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace
from psycopg import AsyncConnection
from pulp_accounts import quota_store
from pulp_accounts.users import Role
from pulp_events.audit import AuditRecord
from pulp_events.codec import MAX_EVENT_BYTES
from pulp_events.errors import BadInput, InvalidEvent, TaskError
from pulp_events.events import Accepted, RequestFacts
from pulp_events.log import TimedLog
from pulp_events.schedule import Schedule, task_id_of_tick
from pulp_events.schedule_events import TaskTemplate
from pulp_projections.connection import pool
from pulp_projections.personal.master import MasterKeys
from pulp_projections.reading import queries
from pulp_projections.reading.positions import Positions
from pulp_projections.schedules.projector import find_schedule
from pulp_runtime.tick_submission import TickRefusal, TickSubmitter

from pulp_api.auditing.audit import Audit
from pulp_api.caller import Admission, Caller
from pulp_api.freshness import Freshness, behind
from pulp_api.limiting.quotas import Asking, QuotaExceeded, QuotaForbids, Quotas
from pulp_api.logins.auth import Connect, Forbidden, Principal
from pulp_api.purging import check_operation
from pulp_api.recent_writes import RecentWrites
from pulp_api.submitting.personal import PersonalArguments
from pulp_api.submitting.submission import Submission
from pulp_api.submitting.submitter import Submitter
from pulp_api.task_reader import TaskReader

_CONNECTIONS: Final = 2
_REFUSALS: Final = (BadInput, InvalidEvent, TaskError, QuotaExceeded, QuotaForbids, Forbidden)
BY_SCHEDULE: Final = RequestFacts(authentication="schedule")
_log = logging.getLogger("pulp.scheduler")


class _NotPending(Exception):
    """The tick is not pending any more: the schedule was changed or removed, or another process has run the tick."""


class ScheduledSubmitter:
    """A `TickSubmitter` by the API's own submission."""

    def __init__(
        self,
        log: TimedLog,
        freshness: Freshness,
        connect: Connect,
        quotas: Quotas,
        partitions: int,
        *,
        tells_origin: bool = True,
        master: MasterKeys | None = None,
    ) -> None:
        """With `tells_origin` false, events are written as version 1; `master` keys wrap the keys of personal data."""
        self._personal = PersonalArguments(connect, master)
        self._log, self._freshness, self._connect = log, freshness, connect
        self._request = BY_SCHEDULE if tells_origin else UNSET
        self._quotas, self._partitions = quotas, partitions

    async def submit(self, schedule: Schedule, tick: datetime) -> UUID | None:
        """See `TickSubmitter.submit`."""
        task_id = task_id_of_tick(schedule.schedule_id, tick)
        lag = await self._freshness.catch_up()
        async with self._connect() as connection:
            if task_id in await queries.known_tasks(connection, [task_id]):
                return task_id  # an earlier attempt has submitted it, whatever its author may do now
            if lag is not None:
                raise behind(lag)
            principal = await _author(connection, schedule)
        try:
            await self._submit(schedule, tick, task_id, principal)
        except _NotPending:
            return None
        except _REFUSALS as error:
            raise TickRefusal(str(error)) from error
        return task_id

    async def _submit(self, schedule: Schedule, tick: datetime, task_id: UUID, principal: Principal) -> None:
        principal.need(Role.SUBMITTER)
        check_operation(principal, schedule.definition.task.operation)

        async def admit(data: Accepted) -> Admission:
            admission = await self._quotas.submission(Asking(principal, None), data)
            await self._need_pending(schedule, tick)
            return admission

        submitter = Submitter(
            self._log,
            TaskReader(self._freshness),
            self._freshness,
            self._connect,
            RecentWrites(),  # no user's list waits for a schedule's submission
            self._personal,
            partitions=self._partitions,
            max_argument_bytes=MAX_EVENT_BYTES,  # the limit was kept when the schedule was made
            queues=[schedule.definition.task.queue],
            clock=lambda: datetime.now(UTC),
        )
        caller = Caller(actor=principal.actor, correlation_id=None, request=self._request, admit=admit)
        task = schedule.definition.task
        arguments = await self._personal.known(schedule.schedule_id, task.arguments)
        body = submission_of_schedule(replace(task, arguments=arguments))
        await submitter.submit(body, caller, task_id=task_id, schedule_id=schedule.schedule_id)

    async def _need_pending(self, schedule: Schedule, tick: datetime) -> None:
        """The last question before the append. Raises `_NotPending`."""
        async with self._connect() as connection:
            now = await find_schedule(connection, schedule.schedule_id)
        if now is None or now.version != schedule.version or now.pending != tick:
            raise _NotPending


def submission_of_schedule(task: TaskTemplate) -> Submission:
    """The body of a submission like the schedule's."""
    return Submission(
        operation=task.operation,
        arguments=task.arguments,
        resources=task.resources,
        tags=task.tags,
        queue=task.queue,
        priority=task.priority,
        timeout_seconds=task.timeout_seconds,
    )


@asynccontextmanager
async def open_tick_submitter(
    log: TimedLog,
    conninfo: str,
    partitions: int,
    quotas: Mapping[Role, str],
    *,
    tells_origin: bool = True,
    key_file: Path | None = None,
) -> AsyncIterator[TickSubmitter]:
    """A submitter with its own connections to Postgres, for as long as it is open; `key_file` has master keys."""
    master = MasterKeys(key_file)
    positions = Positions(conninfo)
    async with pool(conninfo, "pulp-scheduler", min_size=1, max_size=_CONNECTIONS, timeout=3) as connections:
        await positions.start()
        try:
            freshness = Freshness(log, positions, connections.connection)
            by_users = Quotas(connections.connection, quotas, Audit(_log_refusal))
            yield ScheduledSubmitter(
                log, freshness, connections.connection, by_users, partitions, tells_origin=tells_origin, master=master
            )
        finally:
            await positions.close()


async def _author(connection: AsyncConnection, schedule: Schedule) -> Principal:
    """The author with the role of now. Raises `TickRefusal` if the user has been removed."""
    name = schedule.created_by.removeprefix("user:")
    for user in await quota_store.list_quotas(connection):
        if user.name == name:
            return Principal(user.name, user.role)
    raise TickRefusal(f"there is no user {name} any more, who made the schedule")


def _log_refusal(record: AuditRecord) -> None:
    _log.info("a scheduled task was refused", extra={"actor": record.actor, "detail": record.detail})
