"""A read model in memory and its projector, which pass the contract tests of the real ones
(`tests/contract/test_projectors.py`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from pulp_events.reader import Record
from pulp_events.task import Task
from pulp_projections.writing.fold import Changes, DeadLetter, HistoryRow, fold, task_ids
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
        self.dead_letters[partition].update((letter.record.offset, letter) for letter in changes.dead_letters)
        self.tasks.update((task.task_id, task) for task in changes.created)
        self.causes.update(changes.causes)
        for task in changes.updated:
            if self.tasks[task.task_id].version < task.version:
                self.tasks[task.task_id] = task
        if self.loses_answer:
            self.loses_answer = False
            raise psycopg.OperationalError("the answer was lost")


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
        history, changes = fold(rest, known)
        end = rest[-1].offset + 1
        self._model.commit(self.partition, self.next_offset, end, history, changes)
        self._tasks.update((task.task_id, task) for task in (*changes.created, *changes.updated))
        self.concerned = changes.workers
        self.next_offset = end
        return end
