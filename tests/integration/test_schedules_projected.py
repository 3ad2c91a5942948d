"""Events of schedules in Postgres: each exactly once, with the same result from the start of the topic."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from pulp_events.errors import TopicMismatch
from pulp_events.ordered_topic import TopicRange
from pulp_events.reader import Record
from pulp_events.schedule_events import ScheduleEvent, ScheduleRemoved, TickSubmitted
from pulp_projections.connection import connect
from pulp_projections.schedules.projector import (
    ScheduleProjector,
    find_schedule,
    forget_schedules,
)
from pulp_projections.schedules.reading import list_schedules, recent_runs
from pulp_projections.topic_projector import PositionMoved

from tests.support.schedules import (
    MIDNIGHT,
    MIDNIGHT_MS,
    OTHER_SCHEDULE,
    SCHEDULE,
    MemoryScheduleLog,
    changed,
    created,
    due,
    schedule_event,
)

TICK = MIDNIGHT + timedelta(hours=1)
TABLES = ("schedules", "schedule_runs", "schedule_events")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await connect(database, "test") as opened:
        yield opened


def found(end: int, topic_id: str = "a") -> TopicRange:
    return TopicRange(topic_id, 0, end)


async def records_of(*events: ScheduleEvent) -> Sequence[Record]:
    log = MemoryScheduleLog(lambda: MIDNIGHT_MS)
    for event in events:
        await log.append(event)
    return log.records


async def projector(connection: psycopg.AsyncConnection, end: int, topic_id: str = "a") -> ScheduleProjector:
    made = ScheduleProjector(connection, "pulp.schedules.events")
    await made.locate(found(end, topic_id))
    return made


async def rows(connection: psycopg.AsyncConnection) -> dict[str, list[Any]]:
    shown = {}
    for table in TABLES:
        cursor = await connection.execute(f"select * from {table} order by 1, 2")
        shown[table] = await cursor.fetchall()
    return shown


async def test_each_event_is_written_once_however_often_it_is_read(connection: psycopg.AsyncConnection) -> None:
    records = await records_of(created(), due(TICK), created("other", schedule_id=OTHER_SCHEDULE))
    first = await projector(connection, len(records))
    assert await first.project(records[:2]) == 2
    assert await first.project(records) == 3  # earlier ticks are left out
    before = await rows(connection)
    again = await projector(connection, len(records))
    assert again.next_offset == 3
    assert await again.project(records) == 3
    assert await rows(connection) == before
    assert [len(before[table]) for table in TABLES] == [2, 1, 3]


async def test_of_two_projectors_one_writes(connection: psycopg.AsyncConnection) -> None:
    records = await records_of(created(), due(TICK))
    left, right = await projector(connection, 2), await projector(connection, 2)
    await left.project(records)
    with pytest.raises(PositionMoved):
        await right.project(records)
    with pytest.raises(PositionMoved):
        await right.check_position()
    await left.check_position()


async def test_a_name_is_taken_until_its_schedule_is_removed(connection: psycopg.AsyncConnection) -> None:
    events = [
        created(),
        created(schedule_id=OTHER_SCHEDULE),
        created("other", schedule_id=OTHER_SCHEDULE),
        changed(1, schedule_id=OTHER_SCHEDULE, name="nightly"),
        schedule_event(ScheduleRemoved()),
        changed(1, schedule_id=OTHER_SCHEDULE, name="nightly"),
    ]
    records = await records_of(*events)
    await (await projector(connection, len(records))).project(records)
    cursor = await connection.execute("select effect from schedule_events order by record_offset")
    effects = [row[0] for row in await cursor.fetchall()]
    assert effects == ["applied", "name is taken", "applied", "name is taken", "applied", "applied"]
    page = await list_schedules(connection, limit=10)
    assert [row.schedule.schedule_id for row in page.rows] == [OTHER_SCHEDULE]


async def test_the_topic_alone_brings_everything_back(connection: psycopg.AsyncConnection) -> None:
    submitted = schedule_event(TickSubmitted(tick=TICK, task_id=OTHER_SCHEDULE), actor="scheduler")
    records = await records_of(created(), due(TICK, missed=2), submitted, changed(1, cron="0 5 * * *"))
    await (await projector(connection, len(records))).project(records)
    before = await rows(connection)
    await forget_schedules(connection)
    assert await rows(connection) == {table: [] for table in TABLES}
    anew = await projector(connection, len(records))
    assert anew.next_offset == 0
    await anew.project(records)
    assert await rows(connection) == before
    runs = (await recent_runs(connection, [SCHEDULE]))[SCHEDULE]
    assert [(run.tick, run.outcome, run.missed, run.task_id) for run in runs] == [
        (TICK, "submitted", 2, OTHER_SCHEDULE)
    ]


async def test_tables_are_emptied_also_of_what_is_projected_meanwhile(
    connection: psycopg.AsyncConnection, database: str
) -> None:
    records = await records_of(created(), due(TICK))
    written = await projector(connection, len(records))
    waits = "select from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
    async with await connect(database, "test") as other, await connect(database, "test") as watching:
        async with connection.transaction():
            await written.project(records)
            forgetting = asyncio.create_task(forget_schedules(other))
            async with asyncio.timeout(20):
                while not await (await watching.execute(waits, [other.info.backend_pid])).fetchall():  # noqa: ASYNC110  # a lock tells nobody
                    await asyncio.sleep(0.01)
        await forgetting
    assert await rows(connection) == {table: [] for table in TABLES}
    with pytest.raises(PositionMoved):
        await written.check_position()


async def test_a_run_that_a_change_dropped_is_submitted_if_its_task_was(connection: psycopg.AsyncConnection) -> None:
    submitted = schedule_event(TickSubmitted(tick=TICK, task_id=OTHER_SCHEDULE), actor="scheduler")
    records = await records_of(created(), due(TICK), changed(1, cron="0 5 * * *"), submitted)
    written = await projector(connection, len(records))
    for end, outcome, task_id in ((3, "dropped", None), (4, "submitted", OTHER_SCHEDULE)):
        await written.project(records[:end])
        [run] = (await recent_runs(connection, [SCHEDULE]))[SCHEDULE]
        assert (run.outcome, run.task_id) == (outcome, task_id)


async def test_a_topic_that_was_made_anew_is_not_mixed_with_the_rows_of_the_old_one(
    connection: psycopg.AsyncConnection,
) -> None:
    records = await records_of(created())
    await (await projector(connection, 1)).project(records)
    with pytest.raises(TopicMismatch, match="pulp-tasks schedules rebuild"):
        await projector(connection, 1, topic_id="b")
    with pytest.raises(TopicMismatch, match="0 to 0, and 1 comes next"):
        await projector(connection, 0)
    assert await find_schedule(connection, SCHEDULE) is not None


async def test_a_record_that_is_no_event_has_no_effect_and_stops_nothing(connection: psycopg.AsyncConnection) -> None:
    good = await records_of(created(), due(TICK))
    records = [
        Record(0, 0, MIDNIGHT_MS, b"x", b"\0rubbish"),
        Record(0, 1, MIDNIGHT_MS, None, None),
        *(Record(0, record.offset + 2, record.timestamp_ms, record.key, record.value) for record in good),
    ]
    await (await projector(connection, 4)).project(records)
    cursor = await connection.execute("select schedule_id is null, effect = 'applied' from schedule_events order by 1")
    assert sorted(await cursor.fetchall()) == [(False, True), (False, True), (True, False), (True, False)]
