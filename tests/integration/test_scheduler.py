"""The scheduler over a real topic and a real Postgres: each tick once, by any scheduler, and never by an old
definition.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

import pytest
from psycopg import AsyncConnection, errors
from pulp_accounts.users import Role
from pulp_api.scheduled import open_tick_submitter
from pulp_events import admin
from pulp_events.events import Accepted, Event, RequestFacts
from pulp_events.ids import new_id
from pulp_events.log import KafkaLog
from pulp_events.schedule import Schedule, task_id_of_tick
from pulp_events.schedule_events import ScheduleEvent, ScheduleRemoved
from pulp_events.schedule_log import KafkaScheduleLog
from pulp_events.topics import Topics
from pulp_processor.scheduling import scheduler as scheduling
from pulp_processor.scheduling.scheduler import Scheduler
from pulp_runtime.telemetry.tracing import TracedTimedLog, Tracing
from pulp_runtime.tick_submission import OpenTickSubmitter, TickSubmitter

from tests.support.backends import Backend
from tests.support.events import accepted, finished, started
from tests.support.schedules import OTHER_SCHEDULE, SCHEDULE, changed, created, due, schedule_event
from tests.support.site import Site, site
from tests.support.traces import sent, traced_process

PERIOD_S = 3600


class Halting:
    """A log of schedules that can be halted just before an append, as if its process had been stopped there."""

    def __init__(self, log: KafkaScheduleLog) -> None:
        self._log = log
        self.may_append = asyncio.Event()
        self.may_append.set()
        self.is_stopped = asyncio.Event()

    async def append(self, event: ScheduleEvent) -> int:
        """See `ScheduleLog.append`."""
        if not self.may_append.is_set():
            self.is_stopped.set()
            await self.may_append.wait()
        return await self._log.append(event)


class Refusing:
    """Submits like another submitter, but Postgres refuses whatever one schedule requests."""

    def __init__(self, inner: TickSubmitter, refused: UUID) -> None:
        self._inner, self._refused = inner, refused

    async def submit(self, schedule: Schedule, tick: datetime) -> UUID | None:
        """See `TickSubmitter`."""
        if schedule.schedule_id == self._refused:
            raise errors.InsufficientPrivilege("permission denied for table removals")
        return await self._inner.submit(schedule, tick)


class Tomorrow(datetime):
    """The clock of a machine that is a day ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # no instance of this class
        """The present time, tomorrow."""
        return datetime.now(tz) + timedelta(days=1)


class Slow:
    """Submits nothing, and takes a second of the world's clock to do so."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def submit(self, schedule: Schedule, tick: datetime) -> UUID | None:
        """See `TickSubmitter`."""
        self._world.now += timedelta(seconds=1)
        return task_id_of_tick(schedule.schedule_id, tick)


class Meanwhile:
    """Submits like another submitter, while an event is appended to the topic of schedules."""

    def __init__(self, inner: TickSubmitter, world: "World", event: ScheduleEvent) -> None:
        self._inner, self._world, self._event = inner, world, event

    async def submit(self, schedule: Schedule, tick: datetime) -> UUID | None:
        """See `TickSubmitter`."""
        await self._world.add(self._event)
        return await self._inner.submit(schedule, tick)


class World:
    """An installation with a topic of schedules, and as many schedulers as a test starts."""

    def __init__(self, backend: Backend, topics: Topics, log: KafkaLog, api: Site) -> None:
        self.backend, self.topics, self.log, self.api = backend, topics, log, api
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.schedules = KafkaScheduleLog(log, backend.kafka, topics.schedules)

    def open_submitter(self) -> AbstractAsyncContextManager[TickSubmitter]:
        """The submitter of the tasks of ticks."""
        return open_tick_submitter(self.api.log, self.api.database, 4, {})

    async def clock(self, _: AsyncConnection) -> datetime:
        """The time for the schedulers."""
        return self.now

    def scheduler(
        self,
        log: Halting | None = None,
        open_submitter: OpenTickSubmitter | None = None,
        ends_of_tasks: Callable[[], Awaitable[Mapping[int, int]]] | None = None,
        tracing: Tracing | None = None,
    ) -> Scheduler:
        """A scheduler that is not running yet."""
        return Scheduler(
            log or self.schedules,
            self.backend.kafka,
            self.topics.schedules,
            self.api.database,
            open_submitter or self.open_submitter,
            ends_of_tasks or self.api.log.end_offsets,
            grace_s=60,
            clock=self.clock,
            tracing=tracing,
        )

    async def add(self, *events: ScheduleEvent) -> None:
        """Append events as the API would."""
        for event in events:
            await self.schedules.append(event)

    @property
    def accepted(self) -> list[Event]:
        """The tasks that were submitted."""
        return [event for event in self.api.log.events if isinstance(event.data, Accepted)]

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        return await self.api.execute(statement, *values)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(60):
            while not await holds():  # noqa: ASYNC110  # the tables tell nobody
                await asyncio.sleep(0.02)

    async def until_outcome(self, tick: datetime, outcome: str) -> None:
        """Wait until the tick has this outcome."""

        async def holds() -> bool:
            found = await self.rows("select outcome from schedule_runs where tick = %s", tick)
            return found == [(outcome,)]

        await self.until(holds)

    async def until_projected(self) -> None:
        """Wait until the whole topic is projected."""

        async def holds() -> bool:
            ends = await asyncio.to_thread(admin.end_offsets, self.backend.kafka, self.topics.schedules, 1)
            return await self.rows("select next_offset from schedule_topic") == [(ends[0],)]

        await self.until(holds)


@asynccontextmanager
async def running(*schedulers: Scheduler) -> AsyncIterator[None]:
    """Run the schedulers meanwhile."""
    tasks = [asyncio.create_task(each.run()) for each in schedulers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def world(backend: Backend, database: str, topics: Topics) -> AsyncIterator[World]:
    log = KafkaLog(backend.kafka, topics.events, 4)
    try:
        async with site(database) as api:
            await api.add_user("jo", Role.SUBMITTER)
            yield World(backend, topics, log, api)
    finally:
        await log.close()


async def test_a_tick_submits_an_ordinary_task_of_its_author(world: World) -> None:
    made = created("nightly", interval_seconds=PERIOD_S, start=world.now - timedelta(seconds=PERIOD_S))
    await world.add(made)
    async with running(world.scheduler()):
        await world.until_projected()
        assert world.accepted == []  # the present tick is not later than the creation
        tick = world.now + timedelta(seconds=PERIOD_S)
        world.now = tick + timedelta(seconds=1)
        await world.until_outcome(tick, "submitted")
    [event] = world.accepted
    assert (event.task_id, event.actor, event.source) == (
        task_id_of_tick(SCHEDULE, tick),
        "user:jo",
        f"/pulp/schedules/{SCHEDULE}",
    )
    assert isinstance(event.data, Accepted)
    assert event.data.operation == "sync"
    assert event.data.tags == ("pulp:repository:zoo", "pulp:action:sync", f"pulp:schedule:{SCHEDULE}")
    assert event.data.request == RequestFacts(authentication="schedule")
    [(last_task,)] = await world.rows("select last_task from schedules")
    assert last_task == event.task_id


async def test_a_tick_begins_the_trace_of_its_task(world: World) -> None:
    await world.add(created("nightly", interval_seconds=PERIOD_S, start=world.now - timedelta(seconds=PERIOD_S)))
    tick = world.now + timedelta(seconds=PERIOD_S)
    async with traced_process("processor", "always_on") as (made, spans):

        def open_submitter() -> AbstractAsyncContextManager[TickSubmitter]:
            log = TracedTimedLog(world.api.log, spans, "events")
            return open_tick_submitter(log, world.api.database, 4, {})

        async with running(world.scheduler(open_submitter=open_submitter, tracing=spans)):
            world.now = tick
            await world.until_outcome(tick, "submitted")
        found = {span.name: span for span in await sent(made, spans)}
    [event] = world.accepted
    submit, send = found["submit sync"], found["send events"]
    assert (submit.parent_id, send.parent_id, send.trace_id) == ("", submit.span_id, submit.trace_id)
    assert submit.attributes == {"pulp.schedule.id": str(SCHEDULE), "pulp.schedule.name": "nightly"}
    assert event.traceparent == f"00-{send.trace_id}-{send.span_id}-01"


async def test_two_schedulers_never_run_one_tick_twice(world: World) -> None:
    await world.add(created(interval_seconds=PERIOD_S, start=world.now - timedelta(seconds=PERIOD_S), overlap="allow"))
    ticks = [world.now + timedelta(seconds=PERIOD_S * number) for number in (1, 2, 3)]
    async with running(world.scheduler(), world.scheduler(), world.scheduler()):
        for tick in ticks:
            world.now = tick
            await world.until_outcome(tick, "submitted")
    assert {event.task_id for event in world.accepted} == {task_id_of_tick(SCHEDULE, tick) for tick in ticks}
    created_tasks = await world.rows("select count(*) from tasks")
    assert created_tasks == [(3,)]
    effects = await world.rows("select type, count(*) from schedule_events where effect = 'applied' group by 1")
    assert dict(effects) == {
        "org.pulpproject.schedule.created.v1": 1,
        "org.pulpproject.schedule.due.v1": 3,
        "org.pulpproject.schedule.submitted.v1": 3,
    }


async def test_one_that_was_stopped_and_wakes_runs_no_tick_again(world: World) -> None:
    await world.add(created(interval_seconds=PERIOD_S, start=world.now - timedelta(seconds=PERIOD_S)))
    halting = Halting(world.schedules)
    tick = world.now + timedelta(seconds=PERIOD_S)
    async with running(world.scheduler(halting)):
        await world.until_projected()
        halting.may_append.clear()
        world.now = tick
        await halting.is_stopped.wait()  # it has decided, and appends that only when it wakes
        async with running(world.scheduler()):
            await world.until_outcome(tick, "submitted")
        halting.may_append.set()
        await world.until_projected()

        async def has_woken() -> bool:
            found = await world.rows(
                "select effect from schedule_events where type like '%%due.v1' order by record_offset"
            )
            return [row[0] for row in found] == ["applied", "tick is taken"]

        await world.until(has_woken)
    assert [event.task_id for event in world.accepted] == [task_id_of_tick(SCHEDULE, tick)]


@pytest.mark.parametrize("change", ["changed", "disabled", "removed"])
async def test_one_that_wakes_after_a_change_runs_nothing_by_the_old_definition(world: World, change: str) -> None:
    start = world.now - timedelta(seconds=PERIOD_S)
    await world.add(created(interval_seconds=PERIOD_S, start=start))
    events = {
        "changed": changed(1, interval_seconds=PERIOD_S * 24, start=start),
        "disabled": changed(1, interval_seconds=PERIOD_S, start=start, enabled=False),
        "removed": schedule_event(ScheduleRemoved()),
    }
    halting = Halting(world.schedules)
    async with running(world.scheduler(halting)):
        await world.until_projected()
        halting.may_append.clear()
        world.now += timedelta(seconds=PERIOD_S)
        await halting.is_stopped.wait()
        await world.add(events[change])
        halting.may_append.set()
        await world.until_projected()

        async def has_woken() -> bool:
            found = await world.rows("select effect from schedule_events where type like '%%due.v1'")
            return found in ([("stale",)], [("disabled",)], [("removed",)])

        await world.until(has_woken)
    assert world.accepted == []


async def test_a_tick_comes_not_again_while_its_task_runs_if_the_schedule_says_so(world: World) -> None:
    start = world.now - timedelta(seconds=PERIOD_S)
    await world.add(created(interval_seconds=PERIOD_S, start=start))
    first, second, third = (world.now + timedelta(seconds=PERIOD_S * number) for number in (1, 2, 3))
    async with running(world.scheduler()):
        world.now = first
        await world.until_outcome(first, "submitted")
        world.now = second
        await world.until_outcome(second, "still-running")
        task_id = task_id_of_tick(SCHEDULE, first)
        [event] = world.accepted
        assert isinstance(event.data, Accepted)
        partition = world.api.partition_of(task_id, *event.data.resources)
        await world.api.add(started(task_id), partition)
        await world.api.add(finished(task_id=task_id), partition)
        world.now = third
        await world.until_outcome(third, "submitted")


async def test_a_tick_is_decided_although_new_events_come_all_the_time(world: World) -> None:
    api, soon = world.api, asyncio.get_running_loop().call_later
    projecting = soon(0, api.may_project.set)

    async def ends() -> Mapping[int, int]:
        """An event has just arrived, and is projected a little later."""
        nonlocal projecting
        projecting.cancel()
        api.may_project.clear()
        await api.add(accepted(new_id()), 0)
        projecting = soon(0.2, api.may_project.set)
        return await api.log.end_offsets()

    await world.add(created(interval_seconds=PERIOD_S, start=world.now - timedelta(seconds=PERIOD_S)))
    first, second = (world.now + timedelta(seconds=PERIOD_S * number) for number in (1, 2))
    async with running(world.scheduler(ends_of_tasks=ends)):
        world.now = first
        await world.until_outcome(first, "submitted")
        world.now = second
        await world.until_outcome(second, "still-running")


async def test_of_many_ticks_at_one_time_none_is_missed_while_others_are_submitted(world: World) -> None:
    @asynccontextmanager
    async def slow() -> AsyncIterator[TickSubmitter]:
        yield Slow(world)

    start = world.now - timedelta(seconds=PERIOD_S)
    many = [
        created(f"nightly-{number}", schedule_id=new_id(), interval_seconds=PERIOD_S, start=start)
        for number in range(250)
    ]
    await asyncio.gather(*(world.add(each) for each in many))
    world.now += timedelta(seconds=PERIOD_S)

    async def are_over() -> bool:
        return await world.rows("select count(*) from schedule_runs where outcome <> 'due'") == [(250,)]

    async with running(world.scheduler(open_submitter=slow)):
        await world.until(are_over)
    assert await world.rows("select outcome, count(*) from schedule_runs group by 1") == [("submitted", 250)]


async def test_a_machine_whose_clock_is_wrong_runs_no_tick_before_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "datetime", Tomorrow)
    start = world.now - timedelta(seconds=PERIOD_S)
    tick = world.now + timedelta(seconds=PERIOD_S)
    await world.add(created("other", schedule_id=OTHER_SCHEDULE, interval_seconds=PERIOD_S, start=start))
    await world.add(created(interval_seconds=PERIOD_S, start=start), due(tick))
    scheduler = Scheduler(
        world.schedules,
        world.backend.kafka,
        world.topics.schedules,
        world.api.database,
        world.open_submitter,
        world.api.log.end_offsets,
        grace_s=60,
    )
    async with running(scheduler):  # the tick that is due shows that it runs
        await world.until(lambda: world.rows("select 1 from schedule_runs where outcome = 'submitted'"))
    assert await world.rows("select schedule_id, tick from schedule_runs") == [(SCHEDULE, tick)]


@pytest.mark.parametrize(("missed", "outcome"), [("skip", "missed"), ("run-once", "submitted")])
async def test_after_an_outage_the_schedule_says_what_becomes_of_missed_ticks(
    world: World, missed: str, outcome: str
) -> None:
    start = world.now - timedelta(seconds=PERIOD_S)
    await world.add(created(interval_seconds=PERIOD_S, start=start, missed=missed))
    last = world.now + timedelta(seconds=PERIOD_S * 5)
    world.now = last + timedelta(minutes=20)
    async with running(world.scheduler()):
        await world.until_outcome(last, outcome)
    assert await world.rows("select tick, missed from schedule_runs") == [(last, 4)]
    assert len(world.accepted) == (1 if missed == "run-once" else 0)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            "update users set role = 'viewer' where name = 'jo'",
            "user jo has the role viewer; this needs admin or submitter",
        ),
        ("delete from users where name = 'jo'", "there is no user jo any more, who made the schedule"),
        ("insert into quotas (name, quota) values ('jo', 'unfinished=0')", "user jo has used the quota 'unfinished'"),
    ],
)
async def test_a_tick_is_within_the_rights_that_its_author_has_then(world: World, statement: str, reason: str) -> None:
    start = world.now - timedelta(seconds=PERIOD_S)
    await world.add(created(interval_seconds=PERIOD_S, start=start))
    await world.rows(statement)
    tick = world.now + timedelta(seconds=PERIOD_S)
    world.now = tick
    async with running(world.scheduler()):
        await world.until_outcome(tick, "refused")
    [(told,)] = await world.rows("select reason from schedule_runs")
    assert told.startswith(reason)
    assert world.accepted == []


async def test_a_scheduler_goes_on_where_another_one_died_between_the_two_steps(world: World) -> None:
    start = world.now - timedelta(seconds=PERIOD_S)
    tick = world.now + timedelta(seconds=PERIOD_S)
    await world.add(created(interval_seconds=PERIOD_S, start=start), due(tick))
    world.now = tick
    async with running(world.scheduler()):
        await world.until_outcome(tick, "submitted")
    assert [event.task_id for event in world.accepted] == [task_id_of_tick(SCHEDULE, tick)]


async def test_one_that_died_after_the_append_makes_no_second_task(world: World) -> None:
    start = world.now - timedelta(seconds=PERIOD_S)
    tick = world.now + timedelta(seconds=PERIOD_S)
    await world.add(created(interval_seconds=PERIOD_S, start=start), due(tick))
    task_id = task_id_of_tick(SCHEDULE, tick)
    await world.api.add(accepted(task_id, operation="sync"), 0)
    await world.rows("delete from users where name = 'jo'")  # it was submitted before
    world.now = tick
    async with running(world.scheduler()):
        await world.until_outcome(tick, "submitted")
    assert [event.task_id for event in world.accepted] == [task_id]


async def test_what_postgres_refuses_to_one_schedule_stops_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def refusing() -> AsyncIterator[TickSubmitter]:
        async with world.open_submitter() as submitter:
            yield Refusing(submitter, SCHEDULE)

    start = world.now - timedelta(seconds=PERIOD_S)
    later = start + timedelta(seconds=5)
    await world.add(created(interval_seconds=PERIOD_S, start=start))
    await world.add(created("other", schedule_id=OTHER_SCHEDULE, interval_seconds=PERIOD_S, start=later))
    refused, tick = world.now + timedelta(seconds=PERIOD_S), later + timedelta(seconds=PERIOD_S * 2)
    world.now = tick
    async with running(world.scheduler(open_submitter=refusing)):
        await world.until_outcome(tick, "submitted")
    assert "a schedule cannot submit its task now" in caplog.text
    assert [event.task_id for event in world.accepted] == [task_id_of_tick(OTHER_SCHEDULE, tick)]
    async with running(world.scheduler()):  # once it may
        await world.until_outcome(refused, "submitted")


async def test_a_change_during_the_submission_of_another_task_counts(world: World) -> None:
    change = changed(1, schedule_id=OTHER_SCHEDULE, name="other", enabled=False)

    @asynccontextmanager
    async def meanwhile() -> AsyncIterator[TickSubmitter]:
        async with world.open_submitter() as submitter:
            yield Meanwhile(submitter, world, change)

    start = world.now - timedelta(seconds=PERIOD_S)
    later = start + timedelta(seconds=5)
    await world.add(created(interval_seconds=PERIOD_S, start=start))
    await world.add(created("other", schedule_id=OTHER_SCHEDULE, interval_seconds=PERIOD_S, start=later))
    tick, dropped = world.now + timedelta(seconds=PERIOD_S), later + timedelta(seconds=PERIOD_S * 2)
    world.now = dropped
    async with running(world.scheduler(open_submitter=meanwhile)):
        await world.until_outcome(dropped, "dropped")
        await world.until_outcome(tick, "submitted")
    assert [event.task_id for event in world.accepted] == [task_id_of_tick(SCHEDULE, tick)]


async def test_without_its_topic_it_waits_and_says_what_to_do(world: World, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = world.topics._replace(schedules=f"test-{new_id().hex}.schedules")
    scheduler = World(world.backend, nowhere, world.log, world.api).scheduler()

    async def has_told() -> bool:
        return "pulp-tasks topics create" in caplog.text

    async with running(scheduler):
        await world.until(has_told)
