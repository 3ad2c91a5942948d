"""When the reactor holds back, and that acting twice changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pulp_events.errors import LogUnavailable
from pulp_events.events import Event
from pulp_events.log import KafkaLog
from pulp_events.task import Position
from pulp_events.topics import Topics

from tests.support.backends import Backend
from tests.support.events import accepted, cancel_requested, finished
from tests.support.reactor_scene import (
    LEASE_S,
    LONG_AGO,
    MARGIN_S,
    Scene,
    postgres_is_up_since,
    reactor_scene,
    timeline_is,
)


@pytest.fixture
async def scene(backend: Backend, database: str, topics: Topics) -> AsyncIterator[Scene]:
    async with reactor_scene(backend, database, topics) as scene:
        yield scene


async def test_nobody_is_judged_before_the_reactor_has_seen_a_lease_of_heartbeats(scene: Scene) -> None:
    await scene.runs(LONG_AGO)
    assert await scene.reacts() == []
    scene.clock.now_s += LEASE_S
    assert await scene.reacts() == []
    scene.clock.now_s += MARGIN_S + 1
    assert len(await scene.reacts()) == 1


async def test_nobody_is_judged_before_postgres_is_back_for_a_lease(scene: Scene) -> None:
    await scene.runs(LONG_AGO)
    await scene.settled()
    await postgres_is_up_since(scene.connection, "300 s")
    assert await scene.reacts() == []
    await postgres_is_up_since(scene.connection, "621 s")
    assert len(await scene.reacts()) == 1


async def test_after_a_failover_nobody_is_judged_before_a_lease_has_passed_again(scene: Scene) -> None:
    await scene.runs(LONG_AGO)
    await scene.settled()
    await timeline_is(scene.connection, "00000002")
    assert await scene.reacts() == []
    scene.clock.now_s += LEASE_S
    assert await scene.reacts() == []
    scene.clock.now_s += MARGIN_S + 1
    assert len(await scene.reacts()) == 1


async def test_a_partition_is_judged_once_the_projection_has_reached_what_was_in_the_log(scene: Scene) -> None:
    lost = await scene.runs(LONG_AGO)
    row = await scene.task(lost)
    # The end is in the log, but not in the projection: as after a failover to a server that lacks the last transactions.
    await scene.log.append(finished(lost, attempt_id=row["attempt_id"]), 0)
    await scene.settled()
    assert await scene.reacts() == []
    await scene.projected()
    assert await scene.reacts() == []
    assert (await scene.task(lost))["state"] == "successful"


async def test_what_was_appended_is_not_appended_again_while_the_projection_lags(scene: Scene) -> None:
    task_id = uuid4()
    await scene.happens(accepted(task_id), cancel_requested(task_id))
    assert len(await scene.reacts()) == 1
    scene.clock.now_s += 36000
    assert await scene.reacts() == []
    await scene.projected()
    scene.clock.now_s += 36000
    assert await scene.reacts() == []


async def test_two_reactors_at_once_or_one_after_a_crash_change_nothing(scene: Scene) -> None:
    lost, cancelled = await scene.runs(LONG_AGO), uuid4()
    twin = scene.another_reactor()
    await scene.settled(twin)
    await scene.settled()
    await scene.happens(accepted(cancelled), cancel_requested(cancelled))
    first, second = await scene.reacts(), await scene.reacts(twin)
    assert {event.task_id for event in first} == {lost, cancelled}
    assert {event.id for event in first} == {event.id for event in second}
    await scene.projected()
    for task_id in (lost, cancelled):
        effects = await scene.sql(
            "select effect from task_events where type like '%%.finished.v1' and task_id = %s order by record_offset",
            [task_id],
        )
        assert effects == [("applied",), ("final",)]
    assert await scene.reacts(scene.another_reactor()) == []


async def test_it_reacts_for_its_own_partitions_only(scene: Scene) -> None:
    for partition in (1, 2):
        task_id = uuid4()
        await scene.happens(accepted(task_id), cancel_requested(task_id), partition=partition)
    found = [await scene.reacts(scene.another_reactor(owned)) for owned in ({0, 1}, {2, 3}, set[int]())]
    assert [len(events) for events in found] == [1, 1, 0]


async def test_a_log_that_is_away_is_asked_again_and_nothing_is_lost(scene: Scene) -> None:
    class AwayOnce:
        """A log whose first append fails."""

        def __init__(self, log: KafkaLog) -> None:
            self.log, self.calls = log, 0

        async def append(self, event: Event, partition: int) -> Position:
            self.calls += 1
            if self.calls == 1:
                raise LogUnavailable("away")
            return await self.log.append(event, partition)

        async def end_offsets(self) -> dict[int, int]:
            return await self.log.end_offsets()

    for _ in range(3):
        task_id = uuid4()
        await scene.happens(accepted(task_id), cancel_requested(task_id))
    reactor = scene.another_reactor(log=AwayOnce(scene.log))
    with pytest.raises(LogUnavailable):
        await scene.reacts(reactor)
    assert len(await scene.reacts(reactor)) == 1
    await scene.projected()
    assert await scene.sql("select distinct state from tasks") == [("cancelled",)]


async def test_it_comes_by_itself_after_a_commit_and_waits_for_postgres(scene: Scene) -> None:
    task_id = uuid4()
    await scene.happens(accepted(task_id), cancel_requested(task_id))
    appended = asyncio.Event()

    class Telling:
        """A log that reports its appends."""

        async def append(self, event: Event, partition: int) -> Position:
            position = await scene.log.append(event, partition)
            appended.set()
            return position

        async def end_offsets(self) -> dict[int, int]:
            return await scene.log.end_offsets()

    running = asyncio.create_task(scene.another_reactor(log=Telling()).run())
    async with asyncio.timeout(30):
        await appended.wait()
    appended.clear()
    await scene.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'pulp-reactor' and datname = current_database()"
    )
    await scene.happens(accepted(other := uuid4()), cancel_requested(other))
    async with asyncio.timeout(30):
        await appended.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
