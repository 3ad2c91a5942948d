"""Observes what dispatchers write, and raises on any violation; it judges by the tables, not by what a dispatcher
believes."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Final
from uuid import UUID

from pulp_events.task import State, Task
from pulp_processor.dispatching.dispatch import Assignment, Hold
from pulp_processor.dispatching.fleet import Profile
from pulp_processor.dispatching.tables import Deposed, Ending
from pulp_processor.dispatching.waiting import WaitingTask

from tests.model.breach import Breach
from tests.model.memory_dispatch import waiting_of
from tests.model.memory_rows import seconds_of
from tests.model.memory_tables import MemoryTables
from tests.support.dispatch_rules import Model, conflicts

GO_ON_S: Final = 10.0
"""A task that could begin waits at most this long, even after the dispatcher was killed."""


class DispatchWitness:
    """Watches every statement of a dispatcher as it is served. `profile` is what all workers serve."""

    def __init__(self, tables: MemoryTables, profile: Profile) -> None:
        self.elected = 0
        self.assigned = 0
        self.followed = 0
        """Tasks that were assigned behind another one in its slot."""
        self.refused = 0
        """Statements of dispatchers that another one had followed."""
        self.before: dict[UUID, list[tuple[UUID, int]]] = {}
        """Attempt → the tasks that were assigned to its slot before it, and the numbers of their attempts."""
        self._tables = tables
        self._profile = profile
        self._seen: dict[int, set[UUID]] = {}
        """Epoch → the tasks that could be assigned when its dispatcher last read the projection."""
        self._attempts: set[tuple[UUID, int]] = set()
        self._able_since_s: dict[UUID, float] = {}

    @contextmanager
    def watching(self, now_s: float, name: str, epoch: int, *arguments: Any) -> Iterator[None]:
        """Around a statement of the dispatcher that believes to be elected in the epoch. Raises `Breach`."""
        row = self._tables.dispatcher
        is_elected, elections = name == "elect" or epoch == row.epoch, row.epoch
        before = None if is_elected else self._state()
        if name == "write" and is_elected:
            self._may_assign(now_s, epoch, *arguments)
        try:
            yield
        except Deposed:
            self.refused += 1
            raise
        finally:
            if not is_elected and self._state() != before:
                raise Breach(f"the dispatcher of epoch {epoch} writes in epoch {row.epoch}: {name}")
            if name == "write" and is_elected:
                self._has_assigned(*arguments)
        self.elected += row.epoch - elections
        if name == "moved":
            self._seen[epoch] = {task.task_id for task in self._unclaimed() if not backs_off(task, now_s)}

    def check_idleness(self, now_s: float) -> None:
        """Raises if a task has waited too long that could begin. Only while nothing is stopped or lost."""
        able = {task.task_id for task in self._able(now_s)}
        self._able_since_s = {task_id: self._able_since_s.get(task_id, now_s) for task_id in able}
        for task_id, since_s in self._able_since_s.items():
            if now_s - since_s > GO_ON_S:
                raise Breach(f"task {task_id} could begin since {since_s:.1f} s, and nobody assigns it")

    def _state(self) -> Any:
        tables = self._tables
        may_rest = {name: row.may_rest for name, row in tables.workers.items()}
        return deepcopy((tables.dispatcher, tables.claims, tables.holds, tables.reservations, may_rest))

    def _may_assign(self, now_s: float, epoch: int, _: Ending, assignments: Collection[Assignment], __: object) -> None:
        """In the order of acceptance, as far as the dispatcher could know of it; none before its next attempt may begin."""
        tasks = self._tables.model.tasks
        chosen = [waiting_of(tasks[task.task_id], tasks) for one in assignments for task in one.tasks]
        left = self._seen.get(epoch, set()) - {task.task_id for task in chosen}
        passed = [waiting_of(tasks[task_id], tasks) for task_id in left if self._is_unclaimed(tasks[task_id])]
        for task in chosen:
            if task.unmet:
                raise Breach(f"task {task.task_id} is assigned before {task.unmet} have succeeded")
            if backs_off(tasks[task.task_id], now_s):
                raise Breach(f"task {task.task_id} is assigned before its next attempt may begin")
            for other in passed:
                if other.order < task.order and conflicts(other, task):
                    raise Breach(f"task {task.task_id} is assigned before {other.task_id}, which was accepted earlier")

    def _has_assigned(self, _: Ending, assignments: Iterable[Assignment], __: object) -> None:
        tables = self._tables
        for one in assignments:
            claims = tables.claims_of(one.hold_id)
            for claim in claims:
                self.before[claim.attempt_id] = [
                    (other.task_id, other.attempt) for other in claims if other.place < claim.place
                ]
                if (claim.task_id, claim.attempt) in self._attempts:
                    raise Breach(f"attempt {claim.attempt} of task {claim.task_id} is given twice")
                self._attempts.add((claim.task_id, claim.attempt))
                self.assigned += 1
                self.followed += claim.place > 0
        used = Counter(tables.holds.values())
        for hold, count in used.items():
            row = tables.workers[hold.worker]
            if row.instance_id == hold.instance_id and count > row.slots:
                raise Breach(f"{hold.worker} has {row.slots} slots, of which {count} are in use")

    def _able(self, now_s: float) -> list[WaitingTask]:
        """The tasks that only have to be assigned."""
        tables = self._tables
        rules = Model()
        for task in [waiting_of(one, tables.model.tasks) for one in self._unclaimed() if not backs_off(one, now_s)]:
            rules.waiting[task.task_id] = task
            rules.unmet[task.task_id] = task.unmet
        for hold_id, hold in tables.holds.items():
            uses = tables.reserved_by(hold_id)
            exclusive, shared = (frozenset(name for name in uses if uses[name] is mode) for mode in (True, False))
            rules.holds[hold_id] = Hold(hold_id, str(hold.instance_id), "", exclusive, shared)
        for row in tables.workers.values():
            if row.is_online(now_s) and not row.is_draining:
                rules.workers[str(row.instance_id)] = (self._profile, row.slots)
        return [task for task in rules.in_line() if rules.may_begin(task) and rules.free(task.offer)]

    def _unclaimed(self) -> list[Task]:
        return [task for task in self._tables.model.tasks.values() if self._is_unclaimed(task)]

    def _is_unclaimed(self, task: Task) -> bool:
        claim = self._tables.claims.get(task.task_id)
        return task.state is State.WAITING and (claim is None or claim.is_released)


def backs_off(task: Task, now_s: float) -> bool:
    """Whether it waits for its next attempt."""
    return task.retry_at_ms is not None and seconds_of(task.retry_at_ms) > now_s
