"""The tasks that the reactor ends and the claims that it sweeps, on a real log and a real database."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection
from pulp_events.events import AttemptFailed, Outcome, Retry
from pulp_events.topics import Topics
from pulp_projections.channels import DISPATCH
from pulp_runtime.telemetry.tracing import TracedTimedLog

from tests.support.backends import Backend
from tests.support.events import accepted, cancel_requested, finished, started
from tests.support.reactor_scene import (
    JUST_NOW,
    LONG_AGO,
    Scene,
    outcome,
    reactor_scene,
)
from tests.support.traces import ABOVE, PARENT, TRACE, sent, traced_process


@pytest.fixture
async def scene(backend: Backend, database: str, topics: Topics) -> AsyncIterator[Scene]:
    async with reactor_scene(backend, database, topics) as scene:
        yield scene


async def test_a_cancelled_task_that_never_started_ends_at_once(scene: Scene) -> None:
    task_id = uuid4()
    await scene.happens(accepted(task_id), cancel_requested(task_id))
    (event,) = await scene.reacts()
    assert (event.task_id, event.actor, outcome(event)) == (task_id, "reactor", ("cancelled", None))
    await scene.projected()
    assert (await scene.task(task_id))["state"] == "cancelled"


@pytest.mark.parametrize("how", [Outcome.FAILED, Outcome.CANCELLED, Outcome.SKIPPED])
async def test_a_task_is_skipped_if_one_that_it_depends_on_did_not_succeed(scene: Scene, how: Outcome) -> None:
    good, bad, dependent, other = uuid4(), uuid4(), uuid4(), uuid4()
    await scene.happens(accepted(good), finished(good, attempt_id=None))
    await scene.happens(accepted(bad), finished(bad, attempt_id=None, outcome=how), partition=1)
    await scene.happens(accepted(dependent, depends_on=(good, bad)), accepted(other, depends_on=(good,)), partition=2)
    (event,) = await scene.reacts()
    assert (event.task_id, outcome(event)) == (dependent, ("skipped", "dependency-failed"))
    await scene.projected()
    assert (await scene.task(dependent))["state"] == "skipped"
    assert (await scene.task(other))["state"] == "waiting"


async def test_a_task_whose_worker_is_past_its_lease_has_failed(scene: Scene) -> None:
    lost, _ = await scene.runs(LONG_AGO), await scene.runs(JUST_NOW)
    await scene.settled()
    (event,) = await scene.reacts()
    assert (event.task_id, outcome(event)) == (lost, ("failed", "worker-lost"))
    await scene.projected()
    row = await scene.task(lost)
    assert (row["state"], row["error"]["code"]) == ("failed", "worker-lost")
    assert row["worker"] in row["error"]["description"]


async def test_a_lost_task_that_was_to_be_cancelled_has_failed_too(scene: Scene) -> None:
    lost = await scene.runs(LONG_AGO)
    await scene.happens(cancel_requested(lost))
    await scene.settled()
    (event,) = await scene.reacts()
    assert outcome(event) == ("failed", "worker-lost")


async def test_a_running_task_that_nobody_holds_is_lost_one_lease_after_its_start(scene: Scene) -> None:
    young, old = uuid4(), uuid4()
    await scene.happens(accepted(young), started(young, attempt_id=uuid4()))
    await scene.happens(accepted(old), started(old, attempt_id=uuid4()))
    await scene.sql("update generation_1.tasks set started_at = now() - interval '621 s' where task_id = %s", [old])
    await scene.sql("update generation_1.tasks set started_at = now() - interval '60 s' where task_id = %s", [young])
    await scene.settled()
    (event,) = await scene.reacts()
    assert (event.task_id, outcome(event)) == (old, ("failed", "worker-lost"))


async def test_the_claim_of_another_process_under_the_name_of_the_worker_is_no_lease(scene: Scene) -> None:
    task_id, attempt_id = uuid4(), uuid4()
    await scene.happens(accepted(task_id), started(task_id, attempt_id=attempt_id))
    await scene.worker("w1", JUST_NOW)
    await scene.claim(task_id, attempt_id, "w1", uuid4())
    await scene.sql("update generation_1.tasks set started_at = now() - interval '1 hour'")
    await scene.settled()
    (event,) = await scene.reacts()
    assert outcome(event) == ("failed", "worker-lost")


@pytest.mark.parametrize(("ago", "expected"), [("30 s", []), ("61 s", [("failed", "cancel-abandoned")])])
async def test_a_cancel_that_is_not_obeyed_is_abandoned_after_its_grace(
    scene: Scene, ago: str, expected: list[Any]
) -> None:
    task_id = await scene.runs(JUST_NOW)
    await scene.happens(cancel_requested(task_id))
    await scene.sql("update generation_1.tasks set cancel_requested_at = now() - %s::interval", [ago])
    assert [outcome(event) for event in await scene.reacts()] == expected


@pytest.mark.parametrize(("ago", "expected"), [("10 s", []), ("31 s", [("failed", "timeout")])])
async def test_a_task_past_its_time_limit_has_failed(scene: Scene, ago: str, expected: list[Any]) -> None:
    await scene.runs(JUST_NOW, timeout_seconds=30)
    await scene.sql("update generation_1.tasks set started_at = now() - %s::interval", [ago])
    assert [outcome(event) for event in await scene.reacts()] == expected


async def claims(scene: Scene) -> list[tuple[UUID, bool]]:
    """(task, is it released) of each claim."""
    return await scene.sql("select task_id, released_at is not null from claims order by claimed_at, task_id")


async def hold_of(scene: Scene, task_id: UUID) -> UUID:
    [(hold_id,)] = await scene.sql("select hold_id from claims where task_id = %s", [task_id])
    assert isinstance(hold_id, UUID)
    return hold_id


async def dispatcher_is_told(listening: AsyncConnection) -> set[str]:
    """The holds in the first notification."""
    [told] = [notice.payload async for notice in listening.notifies(timeout=30, stop_after=1)]
    return set(told.split())


@pytest.fixture
async def listening(database: str) -> AsyncIterator[AsyncConnection]:
    """The dispatcher's notifications."""
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(f"listen {DISPATCH}")
        yield connection


async def test_claims_of_ended_tasks_go_when_their_worker_is_past_its_lease(
    scene: Scene, listening: AsyncConnection
) -> None:
    lost, alive = await scene.runs(LONG_AGO, "r:1"), await scene.runs(JUST_NOW)
    hold_id = await hold_of(scene, lost)
    for task_id in (lost, alive):
        await scene.happens(finished(task_id, attempt_id=(await scene.task(task_id))["attempt_id"]))
    await scene.reacts()
    assert len(await claims(scene)) == 2
    await scene.settled()
    await scene.reacts()
    assert await claims(scene) == [(alive, False)]
    # The resources are free once the dispatcher, which is notified, has deleted the hold.
    assert await dispatcher_is_told(listening) == {str(hold_id)}
    assert await scene.sql("select resource from reservations") == [("r:1",)]


async def test_a_claimed_task_that_never_began_may_be_taken_by_another_worker(
    scene: Scene, listening: AsyncConnection
) -> None:
    task_id = uuid4()
    await scene.happens(accepted(task_id))
    hold_id = await scene.claim(task_id, uuid4(), "gone", uuid4(), "r:1")
    await scene.settled()
    await scene.reacts()
    assert await claims(scene) == [(task_id, True)]  # its attempt's number is not reused
    assert await dispatcher_is_told(listening) == {str(hold_id)}


async def test_a_released_claim_goes_with_the_end_of_its_task(scene: Scene) -> None:
    task_id = uuid4()
    await scene.happens(accepted(task_id))
    await scene.claim(task_id, uuid4(), "gone", uuid4())
    await scene.sql("update claims set released_at = now()")
    await scene.reacts()
    assert await claims(scene) == [(task_id, True)]
    await scene.happens(cancel_requested(task_id), finished(task_id, attempt_id=None, outcome=Outcome.CANCELLED))
    await scene.reacts()
    assert await claims(scene) == []


async def test_a_lost_task_with_a_retry_left_waits_for_its_next_attempt_and_its_claim_is_released_and_goes(
    scene: Scene, listening: AsyncConnection
) -> None:
    task_id = await scene.runs(LONG_AGO, "r:1", retry=Retry(1, 5, 5))
    hold_id = await hold_of(scene, task_id)
    await scene.settled()
    (event,) = await scene.reacts()
    assert isinstance(event.data, AttemptFailed)
    assert (event.task_id, event.actor, event.data.error.code) == (task_id, "reactor", "worker-lost")
    await scene.projected()
    row = await scene.task(task_id)
    assert (row["state"], row["failed_attempts"], row["attempt_id"]) == ("waiting", 1, None)
    await scene.reacts()
    assert await claims(scene) == [(task_id, True)]
    assert await dispatcher_is_told(listening) == {str(hold_id)}
    await scene.reacts()
    assert await claims(scene) == []  # no round reads it again; the task itself knows its attempt's number
    assert row["attempt"] == 1


@pytest.mark.parametrize(("ago", "expected"), [("10 s", []), ("31 s", [("failed", "deadline-exceeded")])])
async def test_a_task_past_its_deadline_has_failed_whether_it_runs_or_waits(
    scene: Scene, ago: str, expected: list[Any]
) -> None:
    await scene.runs(JUST_NOW, deadline_seconds=30, retry=Retry(1))
    waiting, other = uuid4(), uuid4()
    await scene.happens(accepted(waiting, deadline_seconds=30), accepted(other))
    await scene.sql("update generation_1.tasks set accepted_at = now() - %s::interval", [ago])
    assert [outcome(event) for event in await scene.reacts()] == 2 * expected


async def test_what_it_appends_is_in_the_trace_of_the_task(scene: Scene) -> None:
    traced_id, other_id = uuid4(), uuid4()
    await scene.happens(replace(accepted(traced_id), traceparent=PARENT), cancel_requested(traced_id))
    await scene.happens(accepted(other_id), cancel_requested(other_id), partition=1)
    async with traced_process("processor") as (made, spans):
        log = TracedTimedLog(scene.log, spans, "events")
        events = await scene.reacts(scene.another_reactor(log=log, is_tracing=True))
        [span] = await sent(made, spans)
    assert {event.task_id: event.traceparent for event in events} == {traced_id: PARENT, other_id: None}
    assert (span.trace_id, span.parent_id, span.attributes["pulp.task.id"]) == (TRACE, ABOVE, str(traced_id))
    await scene.projected()
    async with scene.connection.cursor() as cursor:
        await cursor.execute(
            "select convert_from(event, 'UTF8')::json ->> 'traceparent' from task_events"
            " where task_id = %s and type like '%%.finished.%%'",
            [traced_id],
        )
        assert await cursor.fetchall() == [(f"00-{TRACE}-{span.span_id}-01",)]
