"""Generates what is written to the log, and which processor reads it and how. Two drivers carry it out
(`worlds.py`)."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec import UNSET
from pulp_events.codec import encode, key_of
from pulp_events.decisions import Dependencies, Situation, react
from pulp_events.events import Event, Outcome, Retry
from pulp_events.reader import Record
from pulp_events.task import State, Task
from pulp_projections.writing.target import OutOfPlace

from tests.faults.poison import no_events, strange_events
from tests.support.events import NOON, accepted, attempt_failed, cancel_requested, finished, progress, purged, started

PARTITIONS: Final = 2
_TASKS: Final = 3
_ATTEMPTS: Final = [UUID(int=number, version=4) for number in range(1, 4)]
_POISON: Final = [
    (key, value)
    for _, key, value in (*no_events(Random(0)), *strange_events(Random(0)))
    if value is None or len(value) < 10_000
]
_FAR_MS: Final = 10**15
_T = TypeVar("_T")

numbers = st.integers(0, _TASKS - 1)
partitions = st.integers(0, PARTITIONS - 1)
attempts = st.sampled_from(_ATTEMPTS)
processors = st.integers(0, 1)


class Projects(Protocol):
    """A projector of one partition."""

    next_offset: int

    async def locate(self) -> int: ...
    async def project(self, records: Sequence[Record]) -> int: ...
    async def close(self) -> None: ...


class World(Protocol):
    """A log and its read model. Histories follow each other on it, with different tasks."""

    runner: asyncio.Runner
    histories: int
    """The number of histories begun."""
    checks_every_read: bool
    """Whether comparing is cheap."""

    async def append(self, partition: int, key: bytes | None, value: bytes | None) -> None: ...
    async def records(self, partition: int) -> Sequence[Record]: ...
    async def task(self, task_id: UUID) -> Task | None: ...
    async def check(self) -> None: ...
    def projector(self, partition: int) -> Projects: ...
    def lose_next_answer(self) -> None: ...
    def pass_time(self, ms: int) -> None: ...


class History(RuleBasedStateMachine):
    """A few tasks that get any event at any time, and two processors that read in any way. At the end everything is
    read, the reactor ends what it can, and the rows are compared with the rules.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        world.histories += 1
        self.tasks = [UUID(int=(world.histories << 70) | number, version=4) for number in range(_TASKS)]
        self.appended: list[list[tuple[bytes | None, bytes | None]]] = [[] for _ in range(PARTITIONS)]
        self.processors: list[dict[int, Projects]] = [{}, {}]
        self.first = [len(self.do(world.records(partition))) for partition in range(PARTITIONS)]

    def do(self, action: Coroutine[Any, Any, _T]) -> _T:
        return self.world.runner.run(action)

    def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        self.appended[partition].append((key, value))
        self.do(self.world.append(partition, key, value))

    def happens(self, event: Event) -> None:
        partition = self.tasks.index(event.task_id) % PARTITIONS
        self.append(partition, key_of(event.task_id), encode(event))

    # Writing.

    @rule(task=numbers, priority=st.integers(-2, 2))
    def is_accepted(self, task: int, priority: int) -> None:
        rerun_of = self.tasks[0] if priority > 0 else None
        retry = Retry(2, 1.0, 20.0) if priority % 2 else UNSET
        deadline = 40 if priority < 0 else UNSET
        self.happens(
            accepted(
                self.tasks[task],
                priority=priority,
                timeout_seconds=30,
                retry=retry,
                deadline_seconds=deadline,
                rerun_of=rerun_of,
            )
        )

    @rule(task=numbers, attempt=st.integers(1, 3), attempt_id=attempts, cancellable=st.booleans())
    def is_started(self, task: int, attempt: int, attempt_id: UUID, cancellable: bool) -> None:
        self.happens(started(self.tasks[task], attempt=attempt, attempt_id=attempt_id, cancellable=cancellable))

    @rule(task=numbers, attempt_id=attempts, sequence=st.integers(1, 5))
    def gets_on(self, task: int, attempt_id: UUID, sequence: int) -> None:
        self.happens(progress(self.tasks[task], attempt_id=attempt_id, sequence=sequence))

    @rule(task=numbers, attempt_id=attempts, after_s=st.integers(-5, 50))
    def is_tried_again(self, task: int, attempt_id: UUID, after_s: int) -> None:
        retry_at = NOON + timedelta(seconds=after_s)
        self.happens(attempt_failed(self.tasks[task], attempt_id=attempt_id, retry_at=retry_at))

    @rule(task=numbers)
    def is_to_stop(self, task: int) -> None:
        self.happens(cancel_requested(self.tasks[task]))

    @rule(task=numbers, attempt_id=st.none() | attempts, outcome=st.sampled_from(Outcome))
    def ends(self, task: int, attempt_id: UUID | None, outcome: Outcome) -> None:
        self.happens(finished(self.tasks[task], attempt_id=attempt_id, outcome=outcome))

    @rule(task=numbers, by=st.sampled_from(["user:a", "user:b"]))
    def is_purged(self, task: int, by: str) -> None:
        self.happens(purged(self.tasks[task], by=by))

    @rule(
        task=numbers,
        attempt_ids=st.lists(attempts, min_size=1, max_size=3),
        cancellable=st.booleans(),
        sequences=st.lists(st.integers(1, 5), max_size=5),
        ending=st.none() | st.sampled_from(Outcome),
    )
    def lives(
        self, task: int, attempt_ids: list[UUID], cancellable: bool, sequences: list[int], ending: Outcome | None
    ) -> None:
        """One attempt after another, each with events in any order; the first end counts, if there is one."""
        task_id = self.tasks[task]
        self.happens(accepted(task_id))
        for attempt, attempt_id in enumerate(attempt_ids, 1):
            self.happens(started(task_id, attempt=attempt, attempt_id=attempt_id, cancellable=cancellable))
            for sequence in sequences:
                self.happens(progress(task_id, attempt_id=attempt_id, sequence=sequence))
        if ending is not None:
            self.happens(finished(task_id, attempt_id=attempt_ids[0], outcome=ending))

    @precondition(lambda self: any(self.appended))
    @rule(partition=partitions, back=st.integers(1, 12), count=st.integers(1, 4), strays=st.booleans())
    def comes_again(self, partition: int, back: int, count: int, strays: bool) -> None:
        """A producer repeats an event, late, or in another partition (never an `accepted`, whose author chose the
        partition)."""
        end = max(0, len(self.appended[partition]) - back)
        for key, value in self.appended[partition][end : end + count]:
            if not strays:
                self.append(partition, key, value)
            elif b".accepted." not in (value or b""):
                self.append((partition + 1) % PARTITIONS, key, value)

    @rule(partition=partitions, kind=st.sampled_from(_POISON))
    def is_poisoned(self, partition: int, kind: tuple[bytes | None, bytes | None]) -> None:
        self.append(partition, *kind)

    @rule(ms=st.integers(-2000, 60_000))
    def time_passes(self, ms: int) -> None:
        """The broker's clock advances, or is set back."""
        self.world.pass_time(ms)

    @rule(task=numbers, is_lost=st.booleans(), has_failed=st.booleans(), later_ms=st.integers(0, 60_000))
    def is_looked_at(self, task: int, is_lost: bool, has_failed: bool, later_ms: int) -> None:
        """The reactor reads the projected task, and ends it if nobody else will."""
        found = self.do(self.world.task(self.tasks[task]))
        if found is not None:
            now_ms = found.updated_at_ms + later_ms
            self._react(found, is_lost, Dependencies.FAILED if has_failed else Dependencies.SUCCEEDED, now_ms)

    # Reading.

    @rule(
        processor=processors,
        partition=partitions,
        back=st.integers(-1, 6),
        count=st.integers(1, 20),
        hole=st.none() | st.integers(1, 5),
    )
    def reads(self, processor: int, partition: int, back: int, count: int, hole: int | None) -> None:
        """Read from its position, from before it, or with a gap, which must not be written."""
        projector = self._projector(processor, partition)
        begin = max(self.first[partition], projector.next_offset - back)
        batch = list(self.do(self.world.records(partition))[begin : begin + count])
        if hole is not None and hole < len(batch) - 1:
            del batch[hole]
        self._project(projector, batch)

    @rule(processor=processors, partition=partitions, count=st.integers(1, 20))
    def writes_without_an_answer(self, processor: int, partition: int, count: int) -> None:
        """The response to its COMMIT is lost, so it cannot know whether the batch was written."""
        projector = self._projector(processor, partition)
        begin = projector.next_offset
        batch = self.do(self.world.records(partition))[begin : begin + count]
        if batch:
            self.do(projector.close())
            self.world.lose_next_answer()
            self._project(projector, batch)

    @rule(processor=processors)
    def dies(self, processor: int) -> None:
        """Its successor begins at the position in Postgres."""
        for projector in self.processors[processor].values():
            self.do(projector.close())
        self.processors[processor] = {}

    def teardown(self) -> None:
        self.dies(0)
        self.dies(1)
        self._read_all()
        for task_id in self.tasks:
            found = self.do(self.world.task(task_id))
            if found is not None:
                self._react(found, True, Dependencies.SUCCEEDED, _FAR_MS)
        self._read_all()
        self.do(self.world.check())
        for task_id in self.tasks:
            found = self.do(self.world.task(task_id))
            assert found is None or found.state not in (State.RUNNING, State.CANCELLING), "nobody is responsible for it"
        self.dies(0)

    def _read_all(self) -> None:
        for partition in range(PARTITIONS):
            log = self.do(self.world.records(partition))
            projector = self._projector(0, partition)
            while projector.next_offset < len(log):
                before = projector.next_offset
                self._project(projector, log[before : before + 7])
                assert projector.next_offset > before

    def _projector(self, processor: int, partition: int) -> Projects:
        owned = self.processors[processor]
        if partition not in owned:
            owned[partition] = self.world.projector(partition)
            self.do(owned[partition].locate())
        return owned[partition]

    def _project(self, projector: Projects, batch: Sequence[Record]) -> None:
        before = projector.next_offset
        try:
            self.do(projector.project(batch))
        except (OutOfPlace, psycopg.OperationalError):
            self.do(projector.close())
            self.do(projector.locate())
        assert projector.next_offset >= before, "the position has moved back"
        if self.world.checks_every_read:
            self.do(self.world.check())

    def _react(self, task: Task, is_lost: bool, dependencies: Dependencies, now_ms: int) -> None:
        situation = Situation(lease_lost=is_lost, dependencies=dependencies, now_ms=now_ms, cancel_grace_ms=10_000)
        event = react(task, situation, now=NOON)
        if event is not None:
            self.happens(event)
