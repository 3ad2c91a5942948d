"""The dispatcher: how one is elected and succeeded, that no other one writes, and whom it notifies of what."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Never
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection, OperationalError
from psycopg.sql import SQL, Identifier
from pulp_events.events import Outcome
from pulp_processor.dispatching import tables
from pulp_processor.dispatching.elected import Elected
from pulp_processor.dispatching.tables import (
    LEASE_S,
    Deposed,
    Doubt,
    Ending,
    HeldTasks,
    PostgresTables,
    renew,
    resign,
)
from pulp_processor.dispatching.traces import contexts_of
from pulp_projections.channels import worker_channel
from pulp_projections.generations import create_indexes, create_tables, show
from pulp_projections.schemas import VIEWS
from pulp_runtime.installation import UNSERVED_S
from pulp_runtime.telemetry.otel import OtelTracing

from tests.conftest import PARTITIONS
from tests.support.assigned import assign
from tests.support.dispatch_stage import LIMIT_S, Stage, dispatch_stage
from tests.support.dispatching import RunningDispatcher, assigned_now, dispatcher
from tests.support.events import accepted, cancel_requested, finished, started
from tests.support.reactor_scene import timeline_is


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with dispatch_stage(database) as made:
        yield made


@pytest.fixture
async def other(database: str) -> AsyncIterator[AsyncConnection]:
    """A connection of another process."""
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        yield connection


# Who is elected.


async def test_one_is_elected_and_when_it_stops_another_one_follows_at_once(stage: Stage) -> None:
    await stage.worker(slots=9)
    first, second = (RunningDispatcher(stage.database, stage.log) for _ in range(2))
    first.start()
    before = await stage.assigned(await stage.submit("a"))
    second.start()
    assert (await stage.assigned(await stage.submit("b"))).attempt == 1
    assert await stage.epoch() == 1
    await first.stop()
    async with asyncio.timeout(LEASE_S / 2):  # so it did not wait for the end of a lease
        await stage.assigned(await stage.submit("c"))
    assert await stage.epoch() == 2
    assert await stage.claim(before.hold_id) is None
    await second.stop()


async def test_another_one_follows_when_the_lease_of_one_that_was_killed_is_over(stage: Stage) -> None:
    await stage.worker()
    task_id = await stage.submit()
    await stage.rows("update dispatcher set epoch = 7, holder = 'killed', renewed_at = now()")
    [(renewed_at,)] = await stage.rows("select renewed_at from dispatcher")
    async with dispatcher(stage.database, stage.log):
        await stage.assigned(task_id)
        [(waited,)] = await stage.rows("select extract(epoch from claimed_at - %s) from claims", renewed_at)
    assert await stage.epoch() == 8
    assert LEASE_S <= waited < 10  # the bound of a takeover


class Companion:
    """Runs alongside the elected dispatcher, and ends only when the test allows it."""

    def __init__(self) -> None:
        self.is_closing, self.may_end = asyncio.Event(), asyncio.Event()

    async def run(self) -> Never:
        try:
            await asyncio.Event().wait()
            raise AssertionError("nothing sets it")
        finally:
            self.is_closing.set()
            await self.may_end.wait()


async def test_one_that_is_told_to_stop_resigns_before_anything_that_may_take_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It also notifies the one that waits, which would otherwise try again much later."""
    monkeypatch.setattr("pulp_processor.dispatching.dispatcher._ELECTION_S", 3600)
    await stage.worker(slots=9)
    companion = Companion()
    first = RunningDispatcher(stage.database, stage.log, companion=companion.run)
    first.start()
    await stage.assigned(await stage.submit("a"))
    async with dispatcher(stage.database, stage.log):

        async def is_waiting() -> bool:
            return bool(await stage.rows("select 1 from pg_stat_activity where query = 'listen \"pulp_election\"'"))

        await stage.until(is_waiting)
        stopping = asyncio.create_task(first.stop())
        await companion.is_closing.wait()
        await stage.assigned(await stage.submit("b"))  # by the other one
        assert await stage.epoch() == 2
        assert not stopping.done()
        companion.may_end.set()
        await stopping


async def test_a_lease_is_renewed_long_before_it_is_over(stage: Stage) -> None:
    async with dispatcher(stage.database, stage.log):
        await stage.worker()
        await stage.assigned(await stage.submit())
        for _ in range(2):
            [(before,)] = await stage.rows("select renewed_at from dispatcher")

            async def is_renewed(before: object = before) -> bool:
                return bool(await stage.rows("select 1 from dispatcher where renewed_at > %s", before))

            async with asyncio.timeout(LEASE_S / 2):
                await stage.until(is_renewed)
    assert await stage.epoch() == 1


async def test_it_goes_on_when_its_connections_have_broken(stage: Stage) -> None:
    await stage.worker(slots=9)
    async with dispatcher(stage.database, stage.log):
        await stage.assigned(await stage.submit("a"))
        await stage.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name like 'pulp-dispatcher%%'"
        )
        await stage.assigned(await stage.submit("b"))


# One that was deposed.


Write = Callable[[PostgresTables, Elected], Awaitable[object]]


async def ends(tables: PostgresTables, elected: Elected) -> object:
    """It ends the claim of a task that has succeeded, and its hold."""
    [held] = await tables.holds()
    return await tables.write(Ending(held.succeeded, [held.hold.hold_id]), (), {})


async def assigns(tables: PostgresTables, elected: Elected) -> object:
    return await elected.write()


async def ends_and_assigns(tables: PostgresTables, elected: Elected) -> object:
    """In one write, as it usually does."""
    await elected.look_at_moves()
    return await elected.write()


async def ends_what_is_empty(tables: PostgresTables, elected: Elected) -> None:
    await elected.look_for_forgotten()


async def renews(tables: PostgresTables, elected: Elected) -> None:
    await renew(tables._connection, tables.epoch)


@pytest.mark.parametrize("write", [ends, assigns])
async def test_a_takeover_waits_for_the_last_statement_of_the_one_before(
    stage: Stage, other: AsyncConnection, write: Write
) -> None:
    """Otherwise its writes could be committed after the successor has read everything."""
    await stage.worker(slots=9)
    task_id = await stage.submit("a")
    before = PostgresTables(other, "before")
    assert await before.elect()
    elected = Elected(before, {}, UNSERVED_S)
    await elected.begin()
    if write is ends:
        await elected.write()
        claim = await stage.claim(task_id)
        assert claim is not None
        attempt_id = claim.attempt_id
        await stage.happens(started(task_id, attempt_id=attempt_id), finished(task_id, attempt_id=attempt_id))
    await stage.rows("update dispatcher set renewed_at = 'epoch'")
    successor = PostgresTables(stage.connection, "successor")
    async with other.transaction():  # its statement has not been committed yet
        await write(before, elected)
        assert not await successor.elect()
    assert await successor.elect()
    assert [held.remaining for held in await successor.holds()] == ([] if write is ends else [[task_id]])


@pytest.mark.parametrize("is_claim_left", [True, False])
async def test_a_takeover_ends_what_the_one_before_left_behind(stage: Stage, *, is_claim_left: bool) -> None:
    """A claim whose task has succeeded, or a hold without a claim: nothing notifies the successor of them."""
    await stage.worker(slots=1)
    task_id = await stage.submit()
    [[assigned]] = await assigned_now(stage.connection)
    assert assigned == task_id
    claim = await stage.claim(task_id)
    assert claim is not None
    await stage.happens(started(task_id, attempt_id=claim.attempt_id), finished(task_id, attempt_id=claim.attempt_id))
    if not is_claim_left:
        await stage.rows("delete from claims")
    next_id = await stage.submit()
    assert await assigned_now(stage.connection) == [[next_id]]
    assert await stage.claim(task_id) is None
    assert await stage.rows("select hold_id from holds") == [((await stage.assigned(next_id)).hold_id,)]


async def test_a_success_that_is_read_twice_counts_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes while the successor reads everything."""
    await stage.worker(slots=1)
    task_id = await stage.submit()
    await assigned_now(stage.connection)
    claim = await stage.claim(task_id)
    assert claim is not None
    tables = PostgresTables(stage.connection, "a test")
    assert await tables.elect()
    elected = Elected(tables, {}, UNSERVED_S)
    read_holds = tables.holds

    async def after_a_success() -> list[HeldTasks]:
        await stage.happens(
            started(task_id, attempt_id=claim.attempt_id), finished(task_id, attempt_id=claim.attempt_id)
        )
        return await read_holds()

    monkeypatch.setattr(tables, "holds", after_a_success)
    await elected.begin()
    await elected.look_at_moves()
    await elected.write()
    assert await stage.rows("select hold_id from holds") == []


async def test_a_slot_is_free_when_one_of_its_tasks_succeeds_and_the_others_are_released(stage: Stage) -> None:
    """It sees both at the same time: the claim of the former ends only with the next write."""
    await stage.worker(slots=1)
    first, second = await stage.submit("a"), await stage.submit("a")
    tables = PostgresTables(stage.connection, "a test")
    assert await tables.elect()
    elected = Elected(tables, {}, UNSERVED_S)
    await elected.begin()
    assert len((await elected.write())[0].tasks) == 2
    claim = await stage.claim(first)
    assert claim is not None
    await stage.happens(started(first, attempt_id=claim.attempt_id), finished(first, attempt_id=claim.attempt_id))
    await stage.rows("update claims set released_at = now() where task_id = %s", second)
    await elected.look_at_moves([claim.hold_id])
    [assigned] = await elected.write()
    assert [task.task_id for task in assigned.tasks] == [second]
    assert await stage.rows("select hold_id from holds") == [(assigned.hold_id,)]


async def test_a_hold_that_a_worker_has_deleted_is_over(stage: Stage) -> None:
    """As a worker does with holds of other tasks when it puts its own back after a failover."""
    await stage.worker(slots=1)
    await stage.submit()
    tables = PostgresTables(stage.connection, "a test")
    assert await tables.elect()
    elected = Elected(tables, {}, UNSERVED_S)
    await elected.begin()
    [deleted] = await elected.write()
    await stage.rows("update claims set released_at = now()")
    await stage.rows("delete from holds")
    await elected.look_at_moves([deleted.hold_id])
    [again] = await elected.write()
    assert [task.task_id for task in again.tasks] == [task.task_id for task in deleted.tasks]


async def test_an_empty_hold_is_ended_once(stage: Stage) -> None:
    """A search for forgotten holds may come before the first write."""
    await stage.worker(slots=1)
    task_id = await stage.submit()
    assert await assigned_now(stage.connection) == [[task_id]]
    await stage.rows("delete from claims")
    tables = PostgresTables(stage.connection, "a test")
    assert await tables.elect()
    elected = Elected(tables, {}, UNSERVED_S)
    await elected.begin()
    await elected.look_for_forgotten()
    [again] = await elected.write()  # without a doubt
    assert [task.task_id for task in again.tasks] == [task_id]


async def test_one_that_was_stopped_amid_a_transaction_holds_nobody_up(
    stage: Stage, other: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays, and so would its lock: only the successor can end its session."""
    monkeypatch.setattr(tables, "LEASE_S", 0.2)
    before, successor = PostgresTables(other, "before"), PostgresTables(stage.connection, "successor")
    assert await before.elect()
    await other.execute("begin")
    await other.execute("select from dispatcher for share")
    async with asyncio.timeout(LIMIT_S):
        while not await successor.elect():  # noqa: ASYNC110  # nothing tells of a lease's end
            await asyncio.sleep(0.05)
    with pytest.raises(OperationalError):
        await other.execute("commit")


@pytest.mark.parametrize("write", [ends, assigns, ends_and_assigns, ends_what_is_empty, renews])
async def test_one_that_was_deposed_writes_nothing(stage: Stage, other: AsyncConnection, write: Write) -> None:
    await stage.worker(slots=9)
    task_id = await stage.submit("a")
    deposed = PostgresTables(other, "deposed")
    assert await deposed.elect()
    elected = Elected(deposed, {}, UNSERVED_S)
    await elected.begin()
    await elected.write()
    claim = await stage.claim(task_id)
    assert claim is not None
    # It stops here. Meanwhile there is work: a successful task, a waiting one, an empty hold.
    await stage.submit("b")
    if write is assigns:
        elected = Elected(deposed, {}, UNSERVED_S)
        await elected.begin()
    await stage.happens(started(task_id, attempt_id=claim.attempt_id), finished(task_id, attempt_id=claim.attempt_id))
    if write is ends_what_is_empty:
        await stage.rows("delete from claims")
    await stage.rows("update dispatcher set renewed_at = '-infinity'")
    assert await PostgresTables(stage.connection, "successor").elect()
    before = await stage.written()
    with pytest.raises(Deposed):
        await write(deposed, elected)
    assert await stage.written() == before


async def test_one_that_was_deposed_does_not_resign_for_its_successor(stage: Stage, other: AsyncConnection) -> None:
    deposed, successor = PostgresTables(other, "deposed"), PostgresTables(stage.connection, "successor")
    assert await deposed.elect()
    await resign(other, deposed.epoch)
    assert await successor.elect()
    before = await stage.written()
    await resign(other, deposed.epoch)
    assert await stage.written() == before
    assert not await PostgresTables(other, "third").elect()


async def test_two_that_both_believe_to_be_elected_never_assign_conflicting_tasks(
    stage: Stage, other: AsyncConnection
) -> None:
    """The successor reads, then the deposed one writes, then the successor writes; and the other way round."""
    await stage.worker(slots=99)
    tables = [PostgresTables(connection, name) for connection, name in ((stage.connection, "one"), (other, "two"))]
    for turn in range(6):
        await stage.submit("a")
        await stage.submit(str(turn))
        first, second = tables if turn % 2 else tables[::-1]
        await stage.rows("update dispatcher set renewed_at = '-infinity'")
        assert await first.elect()
        deposed = Elected(first, {}, UNSERVED_S)
        await deposed.begin()
        if turn % 3 == 0:
            await deposed.write()
        await stage.rows("update dispatcher set renewed_at = '-infinity'")
        assert await second.elect()
        successor = Elected(second, {}, UNSERVED_S)
        await successor.begin()
        if turn % 3 == 1:
            await successor.write()
        await stage.submit(f"late {turn}")
        await deposed.look_at_moves()
        with pytest.raises(Deposed):
            await deposed.write()
        await successor.look_at_moves()
        await successor.write()
    holders = await stage.rows("select resource from reservations where resource = 'r:a'")
    assert holders == [("r:a",)]
    assert len(await stage.rows("select distinct hold_id from reservations")) == 1 + 2 * 6


# What it waits for before it assigns.


async def test_a_takeover_waits_until_the_projection_has_passed_what_was_in_the_log(stage: Stage) -> None:
    """Until then, a cancelled task seems to wait."""
    await stage.worker(slots=9)
    cancelled, behind = await stage.submit("a"), await stage.submit("a", partition=1)
    await stage.log.append(cancel_requested(cancelled), 0)
    await stage.log.append(finished(cancelled, attempt_id=None, outcome=Outcome.CANCELLED), 0)
    async with dispatcher(stage.database, stage.log):

        async def is_elected() -> bool:
            return await stage.epoch() == 1

        await stage.until(is_elected)
        await asyncio.sleep(0.5)  # several reads of the positions
        assert await stage.written() == [[], [], [], (await stage.written())[-1]]
        await stage.project(0)
        assert (await stage.assigned(behind)).attempt == 1
        assert await stage.rows("select 1 from claims where task_id = %s", cancelled) == []


async def test_a_takeover_waits_while_kafka_is_away(stage: Stage) -> None:
    await stage.worker()
    task_id = await stage.submit()
    stage.log.away = True
    async with dispatcher(stage.database, stage.log):

        async def is_elected() -> bool:
            return await stage.epoch() >= 1

        await stage.until(is_elected)
        await asyncio.sleep(0.2)
        assert await stage.claim(task_id) is None
        stage.log.away = False
        await stage.assigned(task_id)


async def test_after_a_failover_workers_have_a_leases_time_to_put_their_claims_back(stage: Stage) -> None:
    lease_s = 2.0
    await stage.worker(lease_s=lease_s)
    await stage.rows("update workers set heartbeat_at = now() + interval '1 hour'")  # it goes on renewing its lease
    task_id = await stage.submit()
    await timeline_is(stage.connection, "000000FF")
    async with dispatcher(stage.database, stage.log):
        await stage.assigned(task_id)
    [(waited,)] = await stage.rows(
        "select extract(epoch from claimed_at - seen_at) from claims, timelines where timeline = timeline()"
    )
    assert waited >= lease_s


# What it hears, and whom it notifies.


async def test_a_worker_is_told_when_something_is_assigned_to_it_and_no_other_one_is(
    stage: Stage, other: AsyncConnection
) -> None:
    for name in ("w1", "w2"):
        await stage.worker(name)
        await other.execute(SQL("listen {}").format(Identifier(worker_channel(name))))
    async with dispatcher(stage.database, stage.log):
        first = await stage.assigned(await stage.submit("a"))
        second = await stage.assigned(await stage.submit("b"))
    told = [(notice.channel, notice.payload) async for notice in other.notifies(timeout=1, stop_after=3)]
    assert {first.worker, second.worker} == {"w1", "w2"}
    assert told == [(worker_channel(worker), "assigned") for worker in (first.worker, second.worker)]


async def test_what_a_worker_releases_is_assigned_again_under_the_next_number(stage: Stage) -> None:
    await stage.worker()
    async with dispatcher(stage.database, stage.log):
        task_id = await stage.submit("a")
        claim = await stage.assigned(task_id)
        await stage.rows("update claims set released_at = now()")
        await stage.tell(str(claim.hold_id))
        again = await stage.assigned(task_id, after=claim.hold_id)
        assert again.attempt == claim.attempt + 1
        assert again.attempt_id != claim.attempt_id
        assert await stage.rows("select hold_id from holds") == [(again.hold_id,)]
        assert await stage.rows("select hold_id, resource from reservations") == [(again.hold_id, "r:a")]


async def test_the_success_of_another_attempt_ends_no_claim(stage: Stage) -> None:
    """The attempt that owns the claim may still be running; only it can say that it has ended."""
    await stage.worker(slots=9)
    async with dispatcher(stage.database, stage.log):
        task_id = await stage.submit("a")
        claim = await stage.assigned(task_id)
        await stage.happens(started(task_id, attempt_id=uuid4()))
        [(attempt_id,)] = await stage.rows("select attempt_id from tasks")
        await stage.happens(finished(task_id, attempt_id=attempt_id))
        await stage.assigned(await stage.submit("b"))
        assert await stage.claim(task_id) == claim
    tables = PostgresTables(stage.connection, "next")
    assert await tables.elect()
    assert await tables.write(Ending([task_id], [claim.hold_id]), (), {}) == (frozenset(), frozenset())
    assert await stage.claim(task_id) == claim


@pytest.mark.parametrize("how", ["delete from claims", "update claims set released_at = now()"])
async def test_a_hold_of_whose_end_nothing_was_heard_ends_all_the_same(stage: Stage, how: str) -> None:
    await stage.worker()
    async with dispatcher(stage.database, stage.log):
        task_id = await stage.submit("a")
        claim = await stage.assigned(task_id)
        if how.startswith("delete"):
            await stage.happens(
                started(task_id, attempt_id=claim.attempt_id),
                finished(task_id, attempt_id=claim.attempt_id, outcome=Outcome.FAILED),
            )
        await stage.connection.execute(how.encode())
        behind = await stage.submit("a")
        if how.startswith("update"):
            assert (await stage.assigned(task_id, after=claim.hold_id)).attempt == 2
        else:
            await stage.assigned(behind)
        assert len(await stage.rows("select hold_id from holds")) == 1


async def test_the_context_of_a_trace_is_read_only_for_tasks_that_have_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is also read for tasks that may have one: those that waited already when the dispatcher was elected, and those
    that wait again."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    asked: list[set[UUID]] = []

    async def contexts(connection: AsyncConnection, task_ids: Collection[UUID]) -> dict[UUID, str]:
        asked.append(set(task_ids))
        return await contexts_of(connection, task_ids)

    monkeypatch.setattr("pulp_processor.dispatching.traces.contexts_of", contexts)
    tracing = OtelTracing("processor", "a test")
    tables = PostgresTables(stage.connection, "a test", tracing=tracing)
    assert await tables.elect()
    await stage.worker(slots=9)
    waited = await stage.submit("a")
    elected = Elected(tables, {}, UNSERVED_S)
    await elected.begin()
    untraced, traced = uuid4(), uuid4()
    context = f"00-{'1' * 32}-{'2' * 16}-01"
    await stage.happens(accepted(untraced), replace(accepted(traced), traceparent=context))
    await elected.look_at_moves()
    await elected.write()
    await stage.happens(accepted(uuid4()))
    await elected.look_at_moves()
    await elected.write()
    tracing.close()
    assert asked == [{waited, traced}]
    assert len(await stage.rows("select task_id from claims")) == 4


async def test_what_is_empty_when_it_is_elected_ends(stage: Stage) -> None:
    await assign(stage.connection, uuid4(), uses={"r:a": True})
    await stage.rows("delete from claims")
    await stage.worker()
    async with dispatcher(stage.database, stage.log):
        await stage.assigned(await stage.submit("a"))
    assert len(await stage.rows("select hold_id from holds")) == 1


@pytest.mark.parametrize(
    "how",
    [
        "update workers set draining = true where name = 'w1'",
        "update workers set stopped_at = now() where name = 'w1'",
        "update workers set heartbeat_at = now() - interval '1 hour' where name = 'w1'",
        "delete from workers where name = 'w1'",
    ],
)
async def test_to_a_worker_that_drains_has_stopped_or_is_lost_nothing_is_assigned(stage: Stage, how: str) -> None:
    await stage.worker("w1", slots=9)
    async with dispatcher(stage.database, stage.log):
        assert (await stage.assigned(await stage.submit("a"))).worker == "w1"
        await stage.connection.execute(how.encode())
        await stage.worker("w2", slots=9)
        for resource in ("b", "c", "d"):
            assert (await stage.assigned(await stage.submit(resource))).worker == "w2"


async def test_a_resource_that_somebody_holds_without_its_knowledge_is_left_alone(stage: Stage) -> None:
    """For example, a worker puts a claim back too late: the constraint refuses, and the dispatcher reads everything
    again."""
    await stage.worker(slots=9)
    async with dispatcher(stage.database, stage.log):
        await stage.assigned(await stage.submit("a"))
        hold_id = await assign(stage.connection, uuid4(), worker="late", uses={"r:b": True})
        blocked, free = await stage.submit("b"), await stage.submit("c")
        await stage.assigned(free)
        assert await stage.claim(blocked) is None
        await stage.rows("delete from claims where hold_id = %s", hold_id)
        await stage.tell(str(hold_id))
        await stage.assigned(blocked)


async def test_a_conflict_that_it_does_not_know_of_is_a_doubt_and_writes_nothing(stage: Stage) -> None:
    await stage.worker(slots=9)
    tables = PostgresTables(stage.connection, "one")
    assert await tables.elect()
    elected = Elected(tables, {}, UNSERVED_S)
    await elected.begin()
    await assign(stage.connection, uuid4(), worker="late", uses={"r:b": True})
    await stage.submit("b")
    await stage.submit("c")
    before = await stage.written()
    await elected.look_at_moves()
    with pytest.raises(Doubt):
        await elected.write()
    assert await stage.written() == before


async def test_another_generation_of_the_read_model_is_read_anew(stage: Stage) -> None:
    """The other generation has a task without any event since the switch."""
    await stage.worker(slots=9)
    async with dispatcher(stage.database, stage.log):
        await stage.assigned(await stage.submit())
        only_there = uuid4()
        async with stage.connection.transaction():
            await create_tables(stage.connection, 2, PARTITIONS)
            await create_indexes(stage.connection, 2)
            await stage.rows("delete from generation_2.positions")
            for table in VIEWS:
                copy = SQL("insert into {} select * from {}")
                await stage.connection.execute(
                    copy.format(Identifier("generation_2", table), Identifier("generation_1", table))
                )
            await stage.rows(
                "insert into generation_2.tasks select (jsonb_populate_record(t, jsonb_build_object("
                "'task_id', %s::text, 'accepted_offset', 99))).* from generation_1.tasks t",
                str(only_there),
            )
            await stage.rows("insert into generations (generation, status) values (2, 'ready')")
            await stage.rows("update active_generation set generation = 2")
            await show(stage.connection, 2)
        await stage.assigned(only_there)


@pytest.mark.parametrize("payload", ["", "nonsense", "1 2 3", str(UUID(int=0)), f"{UUID(int=0)} {UUID(int=1)}"])
async def test_what_anybody_else_notifies_it_of_changes_nothing(stage: Stage, payload: str) -> None:
    await stage.worker(slots=9)
    async with dispatcher(stage.database, stage.log):
        await stage.assigned(await stage.submit("a"))
        await stage.tell(payload)
        await stage.assigned(await stage.submit("b"))
    assert await stage.epoch() == 1
