"""A read model in memory and its projector, which pass the contract tests of the real ones
(`tests/contract/test_projectors.py`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from pulp_events.codec import key_of
from pulp_events.reader import Record
from pulp_events.task import Task
from pulp_projections.writing.fold import Changes, Fold, HistoryRow, task_ids
from pulp_projections.writing.parking import DeadLetter, Parked, Standing
from pulp_projections.writing.projector import ReadModelCorrupt, rest_of
from pulp_projections.writing.target import FenceLost


@dataclass
class MemoryReadModel:
    """The tables of a generation."""

    positions: dict[int, int]
    tasks: dict[UUID, Task] = field(default_factory=dict)
    causes: dict[UUID, UUID] = field(default_factory=dict)
    history: dict[int, dict[int, HistoryRow]] = field(init=False)
    dead_letters: dict[int, dict[int, DeadLetter]] = field(init=False)
    loses_answer: bool = False
    """The next write succeeds, and its response is lost."""

    def __post_init__(self) -> None:
        self.history = {partition: {} for partition in self.positions}
        self.dead_letters = {partition: {} for partition in self.positions}

    def commit(self, partition: int, expected: int, end: int, history: list[HistoryRow], changes: Changes) -> None:
        """Write atomically. Raises `FenceLost` if the position is not the expected one."""
        if self.positions[partition] != expected:
            raise FenceLost(f"partition {partition}: the position is not {expected} any more")
        if any(row.record.offset in self.history[partition] for row in history):
            raise ReadModelCorrupt(f"partition {partition}: rows after position {expected} are there already")
        self.positions[partition] = end
        self.history[partition].update((row.record.offset, row) for row in history)
        letters = self.dead_letters[partition]
        for offset in changes.freed:
            del letters[offset]
        letters.update((letter.record.offset, letter) for letter in (*changes.restood, *changes.dead_letters))
        self.tasks.update((task.task_id, task) for task in changes.created)
        self.causes.update(changes.causes)
        for task in changes.updated:
            if self.tasks[task.task_id].version < task.version:
                self.tasks[task.task_id] = task
        if self.loses_answer:
            self.loses_answer = False
            raise psycopg.OperationalError("the answer was lost")

    def parked(self, partition: int) -> Parked:
        """The parked tasks of a partition."""
        found: dict[bytes, list[DeadLetter]] = {}
        for _, letter in sorted(self.dead_letters[partition].items()):
            if letter.standing in (Standing.PARKS, Standing.WAITS):
                assert letter.task_id is not None
                found.setdefault(key_of(letter.task_id), []).append(letter)
        return found

    def is_parked(self, task: Task) -> bool:
        """Whether a record of the task, in its own partition, cannot be projected."""
        letters = self.dead_letters[task.partition]
        return bool(letters) and key_of(task.task_id) in self.parked(task.partition)


class MemoryProjector:
    """A `Projector` of one partition, which also remembers the tasks that it has written."""

    def __init__(self, model: MemoryReadModel, partition: int) -> None:
        self.partition = partition
        self.next_offset = 0
        self.concerned: dict[str, bool] = {}
        """The workers whom the last batch concerns, with whether it is news to them."""
        self._model = model
        self._tasks: dict[UUID, Task] = {}

    async def locate(self) -> int:
        """See `Projector.locate`."""
        self._tasks.clear()
        self.next_offset = self._model.positions[self.partition]
        return self.next_offset

    async def project(self, records: Sequence[Record]) -> int:
        """See `Projector.project`."""
        return self._write(records)

    async def close(self) -> None:
        """See `Projector.close`."""
        self._tasks.clear()

    def _write(self, records: Sequence[Record]) -> int:
        rest = rest_of(records, self.partition, self.next_offset)
        if not rest:
            return self.next_offset
        known = {
            task_id: self._tasks.get(task_id) or self._model.tasks[task_id]
            for task_id in task_ids(rest)
            if task_id in self._tasks or task_id in self._model.tasks
        }
        folding = Fold(known, parked=self._model.parked(self.partition))
        history, changes = list(folding.history(rest)), folding.changes()
        end = rest[-1].offset + 1
        self._model.commit(self.partition, self.next_offset, end, history, changes)
        self._tasks.update((task.task_id, task) for task in (*changes.created, *changes.updated))
        self.concerned = changes.workers
        self.next_offset = end
        return end
