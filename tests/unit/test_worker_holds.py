"""How a worker runs its assigned tasks: the log is in memory, and the read model is the fold of its events."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import psycopg
import pytest
from pulp_events.codec import decode
from pulp_events.errors import AppendOutcomeUnknown
from pulp_events.events import (
    AttemptFailed,
    CancelRequested,
    ErrorCode,
    Event,
    Finished,
    Outcome,
    Retry,
    Started,
    TaskError,
)
from pulp_events.memory import MemoryLog
from pulp_events.retries import Attempts
from pulp_events.task import FINAL, Position, State, Task, evolve
from pulp_runtime.telemetry.otel import TraceIds
from pulp_runtime.telemetry.tracing import Tracing
from pulp_worker import Context, OperationError, operation
from pulp_worker import holds as holds_module
from pulp_worker.attempt import Tools
from pulp_worker.attempt_parts import Confirming
from pulp_worker.claims import Claim, Claims, Look, Status
from pulp_worker.closing import Closing
from pulp_worker.holds import Holds
from pulp_worker.lease import Lease
from pulp_worker.loading import Loaded
from pulp_worker.surroundings import Surroundings

from tests.support.events import NOON, accepted, event
from tests.support.traces import PARENT, TRACE, sent, traced_process

LIMIT_S = 10
INSTANCE = uuid4()
gates: dict[UUID, asyncio.Event] = {}
"""Task → when its operation may end."""


@operation("gated", cancellable=True)
async def gated(context: Context) -> str:
    """Runs until the test lets it through, or it is asked to stop."""
    while not gates[context.task_id].is_set():
        await asyncio.sleep(0.001)
        context.check_cancelled()
    return "done"


@operation("flawed", cancellable=True)
async def flawed(context: Context) -> str:
    """Runs until the test lets it through, and fails."""
    while not gates[context.task_id].is_set():
        await asyncio.sleep(0.001)
        context.check_cancelled()
    raise OperationError("wrong", "of its own")


class Log(MemoryLog):
    """A log that may also write an event and not confirm it."""

    def __init__(self) -> None:
        super().__init__(1, lambda: 0)
        self.unanswered = 0
        """So many of the next appends."""

    async def append(self, event: Event, partition: int) -> Position:
        position = await super().append(event, partition)
        if self.unanswered:
            self.unanswered -= 1
            raise AppendOutcomeUnknown("no answer")
        return position

    def events(self, task_id: UUID) -> list[Event]:
        found = [decode(record.key, record.value) for record in self.records[0]]
        return [one for one in found if isinstance(one, Event) and one.task_id == task_id]

    def told(self) -> list[tuple[UUID, type]]:
        """Task and kind of each event of a worker, in the order of the log."""
        found = [decode(record.key, record.value) for record in self.records[0]]
        return [(one.task_id, type(one.data)) for one in found if isinstance(one, Event) and one.actor == "worker:w1"]


class Postgres:
    """The claims and the read model."""

    def __init__(self, log: Log) -> None:
        self.held: dict[UUID, Claim] = {}
        self.released: list[UUID] = []
        """Tasks, in order."""
        self.ended: list[UUID] = []
        self.failures = 0
        """So many of the next statements."""
        self._log = log

    def tasks(self) -> dict[UUID, Task]:
        found: dict[UUID, Task] = {}
        for record in self._log.records[0]:
            one = decode(record.key, record.value)
            assert isinstance(one, Event)
            task = evolve(found.get(one.task_id), one, Position(record.partition, record.offset), 0)
            if isinstance(task, Task):
                found[one.task_id] = task
        return found

    def look(self, claims: Iterable[Claim]) -> Look:
        tasks = self.tasks()
        statuses = {
            claim.attempt_id: Status(
                tasks[claim.task_id].state,
                tasks[claim.task_id].attempt_id == claim.attempt_id,
                claim.attempt_id in self.held,
                tasks[claim.task_id].attempt >= claim.attempt and tasks[claim.task_id].attempt_id != claim.attempt_id,
            )
            for claim in claims
        }
        return Look("1", {0: len(self._log.records[0])}, statuses, [])

    async def end(self, claims: Iterable[Claim]) -> frozenset[UUID]:
        self._may_fail()
        tasks, kept = self.tasks(), set()
        for claim in claims:
            if tasks[claim.task_id].state not in FINAL:
                kept.add(claim.attempt_id)
            elif self.held.pop(claim.attempt_id, None) is not None:
                self.ended.append(claim.task_id)
        return frozenset(kept)

    async def release(self, claims: Iterable[Claim]) -> None:
        self._may_fail()
        for claim in claims:
            if self.held.pop(claim.attempt_id, None) is not None:
                self.released.append(claim.task_id)

    def _may_fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise psycopg.OperationalError("the connection broke")


class Scene:
    """A worker's parts, driven by hand: it sees nothing before `look`."""

    def __init__(self, folder: Path, tracing: Tracing | None = None) -> None:
        self.log = Log()
        self.postgres = Postgres(self.log)
        self.lease = Lease(60)
        self.lease.renew(self.lease.now())
        self.may_begin = True
        tools = Tools(
            log=self.log,
            lease=self.lease,
            worker="w1",
            surroundings=Surroundings(storage=folder, lease=self.lease, grace_s=1),
            grace_s=1,
            on_stuck=lambda _: None,
            tracing=tracing,
        )
        operations = {one.name: Loaded(one, __name__, one.name) for one in (gated, flawed)}
        self.holds = Holds(operations, tools, may_begin=lambda _: self.may_begin, on_change=lambda: self.closing.wake())
        self.closing = Closing(cast(Claims, self.postgres), lambda: self.holds.attempts)

    def assign(
        self, most: int = 1, operation: str = "gated", retry: Retry | None = None, traceparent: str | None = None
    ) -> list[UUID]:
        """New tasks in one hold."""
        hold_id, claims = uuid4(), []
        for place in range(most):
            task_id = uuid4()
            gates[task_id] = asyncio.Event()
            self.log.put(accepted(task_id, operation=operation, retry=retry), 0)
            tokens, attempts = {"r": place + 1}, Attempts(retry)
            claims.append(
                Claim(
                    *(task_id, 0, operation, b"{}", None, 1, uuid4(), INSTANCE, hold_id, place, tokens),
                    attempts=attempts,
                    traceparent=traceparent,
                )
            )
        self.postgres.held.update((claim.attempt_id, claim) for claim in claims)
        self.holds.take(claims)
        return [claim.task_id for claim in claims]

    def cancel(self, task_id: UUID) -> None:
        self.log.put(event(CancelRequested(), task_id=task_id), 0)

    def look(self) -> None:
        look = self.postgres.look(self.holds.claims)
        self.closing.positions = look.positions
        self.holds.see(look)
        self.closing.wake()

    async def until_started(self, task_id: UUID) -> None:
        """Wait, without a look: the worker knows only where its `started` is in the log."""
        async with asyncio.timeout(LIMIT_S):
            while not isinstance(self.holds.attempts[0].state, Confirming):  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.001)
        assert self.log.told() == [(task_id, Started)]

    async def until_told(self, *expected: tuple[UUID, type]) -> None:
        """Look until the worker has appended exactly this."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.log.told()) < len(expected):
                await asyncio.sleep(0.001)
                self.look()
        assert self.log.told() == list(expected)

    async def until_gone(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.holds.attempts:
                await asyncio.sleep(0.001)
                self.look()

    async def until_operating(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not self.holds.is_operating():
                await asyncio.sleep(0.001)
                self.look()

    def outcomes(self) -> Mapping[UUID, Outcome]:
        found = [decode(record.key, record.value) for record in self.log.records[0]]
        return {
            one.task_id: one.data.outcome for one in found if isinstance(one, Event) and isinstance(one.data, Finished)
        }


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    async with _closing(made.closing):
        yield made
        for gate in gates.values():
            gate.set()
        await made.holds.abandon()


@asynccontextmanager
async def _closing(closing: Closing) -> AsyncIterator[None]:
    running = asyncio.create_task(closing.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_the_tasks_of_a_hold_run_one_after_another(scene: Scene) -> None:
    tasks = scene.assign(3)
    for task_id in tasks:
        gates[task_id].set()
    await scene.until_told(*((task_id, kind) for task_id in tasks for kind in (Started, Finished)))
    assert set(scene.outcomes().values()) == {Outcome.SUCCESSFUL}


async def test_the_operation_waits_for_the_read_model(scene: Scene) -> None:
    [task_id] = scene.assign()
    await scene.until_started(task_id)
    assert not scene.holds.is_operating()
    scene.look()
    assert scene.holds.is_operating()


async def test_a_task_that_was_cancelled_first_is_released_and_the_next_one_begins(scene: Scene) -> None:
    first, second, third = scene.assign(3)
    scene.cancel(second)
    for task_id in (first, second, third):
        gates[task_id].set()
    await scene.until_told((first, Started), (first, Finished), (third, Started), (third, Finished))
    assert scene.postgres.released == [second]


async def test_a_start_that_comes_after_a_cancel_runs_nothing(scene: Scene) -> None:
    [task_id] = scene.assign()
    scene.cancel(task_id)  # `started` is appended behind it
    gates[task_id].set()
    await scene.until_gone()
    assert scene.log.told() == [(task_id, Started)]
    assert scene.postgres.released == [task_id]


async def test_a_cancel_reaches_the_operation(scene: Scene) -> None:
    [task_id] = scene.assign()
    await scene.until_operating()
    scene.cancel(task_id)
    await scene.until_told((task_id, Started), (task_id, Finished))
    assert scene.outcomes() == {task_id: Outcome.CANCELLED}
    await scene.until_gone()
    assert scene.postgres.ended == [task_id]


async def test_what_is_not_known_to_be_in_the_log_is_appended_again_with_the_same_id(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_worker.attempt._RETRY_S", 0.001)
    scene.log.unanswered = 2
    [task_id] = scene.assign()
    await scene.until_operating()
    starts = [one.id for one in scene.log.events(task_id) if isinstance(one.data, Started)]
    assert len(starts) == 3
    assert len(set(starts)) == 1


async def test_what_is_logged_about_an_attempt_names_its_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulp_worker.attempt._RETRY_S", 0.001)
    caplog.handler.addFilter(TraceIds())
    async with traced_process("worker") as (made, spans):
        scene = Scene(tmp_path, spans)
        async with _closing(scene.closing):
            scene.log.unanswered = 1
            [task_id] = scene.assign(traceparent=PARENT)
            gates[task_id].set()
            await scene.until_gone()
        [run] = [span for span in await sent(made, spans) if span.name == "run gated"]
    lines = {record.message: record for record in caplog.records if record.name == "pulp.worker"}
    away = lines["the log is away"]
    assert (vars(away)["trace_id"], vars(away)["span_id"], vars(away)["task_id"]) == (TRACE, run.span_id, task_id)


async def test_an_end_that_others_wrote_stops_the_operation_and_nothing_is_appended(scene: Scene) -> None:
    [task_id] = scene.assign()
    await scene.until_operating()
    [attempt] = scene.holds.attempts
    [word] = attempt.last_words(ErrorCode.WORKER_LOST, "by the reactor")
    scene.log.put(word, 0)
    before = len(scene.log.records[0])
    await scene.until_gone()
    assert len(scene.log.records[0]) == before
    assert not scene.holds.is_operating()
    assert scene.postgres.ended == [task_id]


async def test_a_failed_attempt_is_released_when_the_read_model_says_that_the_task_goes_on(scene: Scene) -> None:
    first, second = scene.assign(2, "flawed", Retry(1, 5, 5))
    for task_id in (first, second):
        gates[task_id].set()
    kinds = [(task_id, kind) for task_id in (first, second) for kind in (Started, AttemptFailed)]
    await scene.until_told(*kinds)
    await scene.until_gone()
    assert (scene.postgres.released, scene.postgres.ended) == ([first, second], [])
    tasks = scene.postgres.tasks()
    assert [(tasks[each].state, tasks[each].attempt_id) for each in (first, second)] == [(State.WAITING, None)] * 2
    error = tasks[first].error
    assert error is not None
    assert (error.code, error.description) == ("wrong", "of its own")


async def test_a_cancelled_attempt_that_fails_is_not_repeated(scene: Scene) -> None:
    [task_id] = scene.assign(1, "flawed", Retry(1, 5, 5))
    await scene.until_operating()
    scene.cancel(task_id)
    await scene.until_told((task_id, Started), (task_id, Finished))
    assert scene.outcomes() == {task_id: Outcome.CANCELLED}


async def test_an_attempt_that_others_have_ended_is_killed_and_its_claim_released(scene: Scene) -> None:
    [task_id] = scene.assign(1, "gated", Retry(1, 5, 5))
    await scene.until_operating()
    [attempt] = scene.holds.attempts
    data = AttemptFailed(
        attempt_id=attempt.claim.attempt_id, error=TaskError("timeout", "by the reactor"), retry_at=NOON
    )
    scene.log.put(event(data, task_id=task_id), 0)
    await scene.until_gone()
    assert scene.log.told() == [(task_id, Started)]
    assert (scene.postgres.released, scene.postgres.ended) == ([task_id], [])


@pytest.mark.parametrize("is_past", [True, False])
async def test_an_attempt_whose_next_one_would_come_too_late_ends_the_task(scene: Scene, is_past: bool) -> None:
    [task_id] = scene.assign(1, "flawed", Retry(1, 5, 5))
    [attempt] = scene.holds.attempts
    deadline = datetime.now(UTC) + timedelta(seconds=1 if is_past else 3600)
    attempt.claim = attempt.claim._replace(attempts=Attempts(Retry(1, 5, 5), 0, deadline))
    gates[task_id].set()
    await scene.until_told((task_id, Started), (task_id, Finished if is_past else AttemptFailed))
    await scene.until_gone()
    assert (scene.postgres.ended if is_past else scene.postgres.released) == [task_id]


async def test_the_rest_of_a_hold_is_released_when_its_time_is_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds_module, "_CHAIN_S", 0.01)
    first, second, third = scene.assign(3)
    async with asyncio.timeout(LIMIT_S):
        while len(scene.postgres.released) < 2:
            await asyncio.sleep(0.001)
            scene.look()
    assert scene.postgres.released == [second, third]
    gates[first].set()
    await scene.until_told((first, Started), (first, Finished))


async def test_a_hold_whose_task_was_lost_lets_nobody_pass_it_over(scene: Scene) -> None:
    first, _ = scene.assign(2)
    await scene.until_started(first)
    scene.postgres.held.clear()  # as the reactor sweeps attempts that it believes lost
    await scene.until_gone()
    assert scene.log.told() == [(first, Started)]


async def test_nothing_begins_while_nothing_may(scene: Scene) -> None:
    scene.may_begin = False
    tasks = scene.assign(2)
    await scene.until_gone()
    assert scene.log.told() == []
    assert scene.postgres.released == tasks


async def test_the_claim_of_what_succeeded_is_left_to_the_dispatcher(scene: Scene) -> None:
    [task_id] = scene.assign()
    gates[task_id].set()
    await scene.until_told((task_id, Started), (task_id, Finished))
    scene.look()
    await asyncio.sleep(0.01)
    assert scene.postgres.ended == []
    scene.postgres.held.clear()  # as the dispatcher does
    await scene.until_gone()


async def test_a_worker_that_stops_leaves_nothing_to_the_dispatcher(scene: Scene) -> None:
    [task_id] = scene.assign()
    gates[task_id].set()
    await scene.until_told((task_id, Started), (task_id, Finished))
    scene.closing.is_hurried = True
    await scene.until_gone()
    assert scene.postgres.ended == [task_id]


async def test_claims_are_given_up_however_often_postgres_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulp_worker.closing._RETRY_S", 0.001)
    scene.postgres.failures = 3
    scene.may_begin = False
    [task_id] = scene.assign()
    await scene.until_gone()
    assert scene.postgres.released == [task_id]
