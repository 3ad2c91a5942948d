"""The dispatcher's handling of a task that waits for its next attempt."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pulp_events.events import Resource, Retry
from pulp_processor.dispatching.elected import Elected
from pulp_processor.dispatching.tables import LEASE_S, PostgresTables
from pulp_runtime.installation import UNSERVED_S

from tests.support.dispatch_stage import Assigned, Stage, dispatch_stage
from tests.support.dispatching import dispatcher
from tests.support.events import accepted, attempt_failed, started

RETRY = Retry(retries=3, backoff_seconds=3600, max_backoff_seconds=3600)


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with dispatch_stage(database) as made:
        await made.worker()
        yield made


async def submitted(stage: Stage) -> UUID:
    task_id = uuid4()
    await stage.happens(accepted(task_id, resources=(Resource("r", "a"),), retry=RETRY))
    return task_id


async def fails(stage: Stage, task_id: UUID, claim: Assigned, *, wait_s: float, is_released: bool = True) -> None:
    """Its attempt begins and fails, and the worker releases the claim."""
    retry_at = datetime.now(UTC) + timedelta(seconds=wait_s)
    await stage.happens(
        started(task_id, attempt=claim.attempt, attempt_id=claim.attempt_id),
        attempt_failed(task_id, attempt_id=claim.attempt_id, retry_at=retry_at),
    )
    if is_released:
        await stage.rows("update claims set released_at = now() where attempt_id = %s", claim.attempt_id)
        await stage.tell(str(claim.hold_id))


async def test_the_next_attempt_begins_when_its_time_has_come_and_not_before(stage: Stage) -> None:
    async with dispatcher(stage.database, stage.log):
        task_id = await submitted(stage)
        first = await stage.assigned(task_id)
        await fails(stage, task_id, first, wait_s=1.5)
        second = await stage.assigned(task_id, after=first.hold_id)
        assert second.attempt == 2
        [(late,)] = await stage.rows(
            "select extract(epoch from c.claimed_at - t.retry_at) from claims c join tasks t using (task_id)"
        )
        assert 0 <= late < LEASE_S


async def test_meanwhile_it_stops_nobody_and_then_it_comes_first(stage: Stage) -> None:
    async with dispatcher(stage.database, stage.log):
        task_id = await submitted(stage)
        first = await stage.assigned(task_id)
        await fails(stage, task_id, first, wait_s=1.5)
        other, third = await submitted(stage), await submitted(stage)
        between = await stage.assigned(other)  # on the same resource
        assert await stage.claim(task_id) is None
        await fails(stage, other, between, wait_s=3600)
        held = await stage.assigned(third)

        async def is_due() -> bool:
            return bool(await stage.rows("select 1 from tasks where task_id = %s and retry_at < now()", task_id))

        await stage.until(is_due)
        last = await submitted(stage)
        await fails(stage, third, held, wait_s=3600)
        await stage.assigned(task_id, after=first.hold_id)
        assigned = await stage.rows("select task_id from claims where released_at is null order by place")
        assert assigned in ([(task_id,)], [(task_id,), (last,)])  # the one that was accepted later follows


async def test_a_dispatcher_that_takes_over_does_not_begin_it_before_its_time(stage: Stage) -> None:
    async with dispatcher(stage.database, stage.log):
        task_id = await submitted(stage)
        await fails(stage, task_id, await stage.assigned(task_id), wait_s=60)
    async with dispatcher(stage.database, stage.log):
        other = await submitted(stage)
        await stage.assigned(other)
        assert await stage.claim(task_id) is None


async def test_it_is_not_assigned_while_the_claim_of_the_attempt_before_is_held(stage: Stage) -> None:
    async with dispatcher(stage.database, stage.log):
        task_id = await submitted(stage)
        first = await stage.assigned(task_id)
        await fails(stage, task_id, first, wait_s=0, is_released=False)
        other = await submitted(stage)
        await stage.rows("update workers set concurrency = 2")
        assert await stage.claim(other) is None
        assert await stage.claim(task_id) == first


async def test_the_number_of_an_attempt_is_not_given_again_if_its_claim_was_lost_with_a_server(stage: Stage) -> None:
    task_id = await submitted(stage)
    await stage.happens(started(task_id, attempt=4, attempt_id=uuid4()))
    [(attempt_id,)] = await stage.rows("select attempt_id from tasks where task_id = %s", task_id)
    await stage.happens(attempt_failed(task_id, attempt_id=attempt_id, retry_at=datetime.now(UTC)))
    tables = PostgresTables(stage.connection, "a test")
    assert await tables.elect()
    elected = Elected(tables, {}, UNSERVED_S)
    await elected.begin()
    await elected.write()
    claim = await stage.claim(task_id)
    assert claim is not None
    assert claim.attempt == 5
