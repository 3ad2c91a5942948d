"""The scheduler: it projects the topic of schedules, and runs their ticks.

A tick is run in two steps. First an event says that it is due: the topic has one order, so one of two schedulers is
first, and an event based on an older definition has no effect. Then the task is submitted, with an id derived from
schedule and tick, and a second event says so. Whoever finds a due tick without the second event submits its task again,
which does not create a second task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Never
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from pulp_events import admin
from pulp_events.errors import LogError, ReadError, TopicMismatch
from pulp_events.ids import derived_id
from pulp_events.kafka import Servers
from pulp_events.ordered_topic import OrderedReader, TopicRange, look_at_topic
from pulp_events.schedule import Schedule
from pulp_events.schedule_events import Overlap, ScheduleData, ScheduleEvent, TickRefused, TickSubmitted
from pulp_events.schedule_log import ScheduleLog
from pulp_projections.away import ANY, each_once, keep_trying, reason_of
from pulp_projections.connection import connect
from pulp_projections.reading import queries
from pulp_projections.schedules.projector import ScheduleProjector
from pulp_projections.schedules.reading import ToDecide, time_of, to_decide, to_submit
from pulp_projections.schedules.ticks import BadTimes
from pulp_projections.topic_projector import PositionMoved
from pulp_runtime.telemetry.tracing import Tracing
from pulp_runtime.tick_submission import OpenTickSubmitter, TickRefusal

from pulp_processor.scheduling.deciding import decide

SCHEDULER: Final = "scheduler"
"""The actor of its decisions. The tasks belong to the schedules' authors."""
_PERIOD_S: Final = 1.0
_SOON_S: Final = 0.05
_MOST_DECIDED: Final = 100
"""In one round."""
_MOST_SUBMITTED: Final = 20
"""In one round. A task takes some time to submit, and ticks that come meanwhile are to be decided in time."""
_CATCH_UP_S: Final = 2.0
"""How long a round waits for the projection of tasks, on which it depends whether a schedule's last task has ended."""
_PAUSES_S: Final = (1.0, 2.0, 5.0)
_MOST_REASON: Final = 1024
_log = logging.getLogger("pulp.scheduler")


class Scheduler:
    """Runs alongside the elected dispatcher; an earlier one that still runs by mistake is harmless."""

    def __init__(
        self,
        log: ScheduleLog,
        servers: Servers,
        topic: str,
        conninfo: str,
        open_submitter: OpenTickSubmitter,
        ends_of_tasks: Callable[[], Awaitable[Mapping[int, int]]],
        *,
        grace_s: float,
        clock: Callable[[AsyncConnection], Awaitable[datetime]] = time_of,
        tracing: Tracing | None = None,
    ) -> None:
        """`ends_of_tasks` are the end offsets of the events topic. A tick later than the grace was missed.

        The submission of a tick begins a trace, as a request does. `clock` returns the time, given the connection to
        Postgres: it is Postgres's clock, except in tests.
        """
        self._log, self._servers, self._topic, self._conninfo = log, servers, topic, conninfo
        self._open_submitter, self._ends_of_tasks = open_submitter, ends_of_tasks
        self._grace, self._clock = timedelta(seconds=grace_s), clock
        self._tracing = tracing
        self._passed_over: dict[UUID, str] = {}  # and why

    async def run(self) -> Never:
        """Run for ever; wait while Kafka, its topic or Postgres is away."""
        warn = each_once(partial(_log.warning, "schedules do not run now: %s"))
        expected = (*ANY, LogError, ReadError, PositionMoved, TimeoutError)
        await keep_trying(self._connect_and_run, warn, on=expected, pauses_s=_PAUSES_S)
        raise AssertionError("it ends by cancelling only")

    async def _connect_and_run(self) -> Never:
        kafka = admin.connect(self._servers)
        found = await self._look(kafka)
        async with await connect(self._conninfo, "pulp-scheduler") as connection:
            projector = ScheduleProjector(connection, self._topic)
            reader = OrderedReader(self._servers, self._topic, await projector.locate(found), found)
            try:
                await projector.renew_next_ticks()
                pause_s = 0.0
                while True:
                    await projector.project(await reader.poll(pause_s))
                    pause_s = await self._round(connection, kafka, projector, found)
            finally:
                await reader.close()

    async def _look(self, kafka: admin.Connection) -> TopicRange:
        kafka.client.poll(0)  # otherwise its log lines pile up
        return await asyncio.to_thread(look_at_topic, kafka, self._topic)

    async def _round(
        self, connection: AsyncConnection, kafka: admin.Connection, projector: ScheduleProjector, known: TopicRange
    ) -> float:
        """Decide about the ticks that have come, and submit those that are due; how long to wait for more."""
        await projector.check_position()
        now = await self._clock(connection)
        if not (await to_decide(connection, now, most=1) or await to_submit(connection, most=1)):
            return _PERIOD_S
        found = await self._look(kafka)
        if found.topic_id != known.topic_id:
            raise TopicMismatch(f"topic {self._topic} was created again (id {found.topic_id}, not {known.topic_id})")
        if projector.next_offset < found.end:
            return _SOON_S  # a change in the log decides, even if it is not projected yet
        if await self._decide_all(connection, now):
            return _SOON_S  # first, since a tick may be decided too late, but not submitted
        pending = await to_submit(connection, most=_MOST_DECIDED)
        return _SOON_S if await self._submit(pending, kafka, found.end) else _PERIOD_S

    async def _decide_all(self, connection: AsyncConnection, now: datetime) -> bool:
        """Decide about ticks that have come; returns whether any could be decided."""
        waiting = await to_decide(connection, now, most=_MOST_DECIDED)
        has_caught_up = False
        if any(_needs_last_task(each.schedule) for each in waiting):
            has_caught_up = await self._catch_up(connection)
            waiting = await to_decide(connection, now, most=_MOST_DECIDED)
        decided = [await self._decide(each, now, has_caught_up=has_caught_up) for each in waiting]
        return any(decided)

    async def _decide(self, found: ToDecide, now: datetime, *, has_caught_up: bool) -> bool:
        """Decide about the ticks of one schedule; False if that cannot be done now."""
        schedule = found.schedule
        if _needs_last_task(schedule) and not has_caught_up:
            return False  # whether its last task has ended is not known
        try:
            decided = decide(found, now, self._grace)
        except BadTimes as error:
            _log.warning("a schedule cannot run here: %s", error, extra={"schedule_id": str(schedule.schedule_id)})
            return False
        if decided is None:
            return False
        await self._append(schedule, decided, decided.tick, f"version {schedule.version}")
        return True

    async def _submit(self, schedules: Sequence[Schedule], kafka: admin.Connection, end: int) -> bool:
        """Submit pending ticks, as many as one round may; False if some must be tried again.

        It stops as soon as somebody else appends to the topic, which ends at `end`, since that may be a change of a
        schedule. If Postgres refuses one schedule, for example for a missing right, the others still run.
        """
        if not schedules:
            return True
        is_done = True
        # Schedules that Postgres refused come last.
        in_order = sorted(schedules, key=lambda each: each.schedule_id in self._passed_over)
        async with self._open_submitter() as submitter:
            for schedule in in_order[:_MOST_SUBMITTED]:
                if (await self._look(kafka)).end != end:
                    break
                tick = schedule.pending
                assert tick is not None
                outcome: ScheduleData
                try:
                    with self._traced(schedule):
                        task_id = await submitter.submit(schedule, tick)
                except TickRefusal as refusal:
                    outcome = TickRefused(tick=tick, reason=str(refusal)[:_MOST_REASON])
                except (psycopg.ProgrammingError, psycopg.DataError) as error:
                    is_done = False
                    self._pass_over(schedule, error)
                    continue
                else:
                    if task_id is None:
                        continue
                    outcome = TickSubmitted(tick=tick, task_id=task_id)
                self._passed_over.pop(schedule.schedule_id, None)
                await self._append(schedule, outcome, tick, "ended")
                end += 1
        return is_done

    @contextmanager
    def _traced(self, schedule: Schedule) -> Iterator[None]:
        if self._tracing is None:
            yield
            return
        attributes = {"pulp.schedule.id": str(schedule.schedule_id), "pulp.schedule.name": schedule.definition.name}
        span = self._tracing.begin_trace(f"submit {schedule.definition.task.operation}", attributes)
        error = None
        try:
            with self._tracing.within(span):
                yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            if span is not None:
                span.end(error)

    def _pass_over(self, schedule: Schedule, error: psycopg.Error) -> None:
        reason = reason_of(error)
        if self._passed_over.get(schedule.schedule_id) != reason:
            self._passed_over[schedule.schedule_id] = reason
            what = {"schedule": schedule.definition.name, "error": reason}
            _log.warning("a schedule cannot submit its task now, and is tried again", extra=what)

    async def _append(self, schedule: Schedule, data: ScheduleData, tick: datetime, step: str) -> None:
        event = ScheduleEvent(
            id=derived_id("schedule event", schedule.schedule_id, int(tick.timestamp()), step),
            schedule_id=schedule.schedule_id,
            time=datetime.now(UTC),
            actor=SCHEDULER,
            data=data,
        )
        await self._log.append(event)
        what = {"schedule": schedule.definition.name, "tick": tick.isoformat(), "event": type(data).__name__}
        _log.info("a tick of a schedule", extra=what)

    async def _catch_up(self, connection: AsyncConnection) -> bool:
        """Wait until the projection has passed the ends that the events topic has now; whether it has, in time."""
        ends = await self._ends_of_tasks()
        clock = asyncio.get_running_loop()
        deadline = clock.time() + _CATCH_UP_S
        while not _has_passed(await queries.positions(connection), ends):
            if clock.time() >= deadline:
                return False
            await asyncio.sleep(_SOON_S)
        return True


def _has_passed(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(positions.get(partition, 0) >= end for partition, end in ends.items())


def _needs_last_task(schedule: Schedule) -> bool:
    """Whether it must know if its last task has ended."""
    return schedule.last_task is not None and schedule.definition.overlap is Overlap.SKIP
