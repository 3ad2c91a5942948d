"""Which waiting tasks may begin now, and where. Pure: from events to assignments.

The rules:

- Tasks that conflict begin in the order of acceptance. Two tasks conflict if one exclusively uses a resource that the
  other uses at all. A task that cannot run keeps its place, and those behind it wait; a task that nobody could run for
  a long time is passed over until a worker comes that can (`pass_over`). One that backs off between two attempts stops
  nobody either, as if it had ended (`back_off`); then it takes its place in the order again (`resume`).
- A parked task is unknown here: it does not begin, and it stops nobody.
- A task waits for all tasks that it depends on to succeed.
- Among tasks that could begin, a higher priority comes first, then the order of acceptance.
- A user with a limit never occupies more slots than that.

A slot may get several short tasks at once, which run in it one after another: tasks that follow each other on the same
resources, so that none waits for the dispatcher in between; and, if far more tasks wait than there are slots, tasks
that need no resource.

The cost of every step depends only on the resources of its own task, however many other tasks wait and however many
workers there are.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Set
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from pulp_processor.dispatching.fleet import Fleet
from pulp_processor.dispatching.line import ResourceLine
from pulp_processor.dispatching.waiting import Offer, Order, WaitingTask

LONGEST_CHAIN: Final = 16
"""Tasks that one slot gets at once."""
CHAIN_S: Final = 0.8
"""How long the tasks of a slot that use the same resources may take together, as estimated from their operations."""
FREE_CHAIN_S: Final = 0.5
"""The same for tasks that need no resource, which any other slot could run."""
_NEWEST: Final = 0.2
"""The weight of the last task in the average of its operation."""
_STALE: Final = 2
_FEW: Final = 64
"""Stale entries are dropped once there are more than this, and more than `_STALE` times as many as tasks."""


class Assignment(NamedTuple):
    """A slot of a worker, and the tasks that run in it one after another. The first may begin now."""

    hold_id: UUID
    instance: str
    tasks: tuple[WaitingTask, ...]


class Hold(NamedTuple):
    """A slot of a worker that is in use, and the resources that nobody else may use meanwhile."""

    hold_id: UUID
    instance: str
    user: str
    exclusive: frozenset[str]
    shared: frozenset[str]


class _Queue(NamedTuple):
    """Runnable tasks that are alike: a worker that can run one of them can run any, so only the first counts."""

    offer: Offer
    limited_user: str | None


_Entry = tuple[int, Order, int, WaitingTask]
"""What sorts first comes first: priority, negated, order and `WaitingTask.queued` as it was."""


class Dispatch:
    """What waits, what is held, and who could run it."""

    def __init__(self) -> None:
        self.fleet: Final = Fleet()
        self._tasks: dict[UUID, WaitingTask] = {}
        self._lines: dict[str, ResourceLine] = {}
        self._holds: dict[UUID, Hold] = {}
        self._dependents: defaultdict[UUID, set[UUID]] = defaultdict(set)
        self._passed_over: set[UUID] = set()
        self._backing_off: set[UUID] = set()
        self._queued = 0
        """Entries among the runnable tasks, of all time."""
        self._runnable: dict[_Queue, list[_Entry]] = {}
        self._limits: dict[str, int] = {}
        self._usual_s: dict[str, float] = {}
        """How long tasks of an operation have taken lately."""
        self._running: Counter[str] = Counter()
        """Slots in use, by user."""

    # What waits.

    @property
    def waiting(self) -> Mapping[UUID, WaitingTask]:
        """All tasks that wait, by id."""
        return self._tasks

    @property
    def passed_over(self) -> Set[UUID]:
        """Those of them that are passed over."""
        return self._passed_over

    def add(self, task: WaitingTask) -> None:
        """The task waits from now on. It must not wait already."""
        self._tasks[task.task_id] = task
        for other in task.unmet:
            self._dependents[other].add(task.task_id)
        self._join_lines(task)

    def remove(self, task_id: UUID) -> WaitingTask | None:
        """The task does not wait any more; None if it did not."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return None
        for other in task.unmet:
            self._forget_dependent(other, task_id)
        if self._is_aside(task_id):
            self._passed_over.discard(task_id)
            self._backing_off.discard(task_id)
        else:
            self._leave_lines(task)
        return task

    def succeeded(self, task_id: UUID) -> None:
        """A task has succeeded: those that depend on it have one less to wait for."""
        for dependent in self._dependents.pop(task_id, ()):
            task = self._tasks[dependent]
            task.unmet.discard(task_id)
            self._queue(task)

    def pass_over(self, task_id: UUID) -> None:
        """Nobody could run the task for a long time: it stops nobody, and does not begin, until `take_back`."""
        self._put_aside(task_id, self._passed_over)

    def take_back(self, task_id: UUID) -> None:
        """The task counts again, at its place in the order."""
        self._put_back(task_id, self._passed_over)

    def back_off(self, task_id: UUID) -> None:
        """The task waits for its next attempt: it stops nobody, and does not begin, until `resume`."""
        self._put_aside(task_id, self._backing_off)

    def resume(self, task_id: UUID) -> None:
        """The next attempt may begin: the task counts again, at its place in the order."""
        self._put_back(task_id, self._backing_off)

    # What is held.

    def hold(self, hold: Hold) -> None:
        """A slot and its resources are in use."""
        self._holds[hold.hold_id] = hold
        self.fleet.take(hold.instance)
        self._running[hold.user] += 1
        for resource in hold.exclusive:
            self._line(resource).hold(hold.hold_id, is_exclusive=True)
        for resource in hold.shared:
            self._line(resource).hold(hold.hold_id, is_exclusive=False)

    def release(self, hold_id: UUID) -> bool:
        """They are free again; whether they were in use."""
        hold = self._holds.pop(hold_id, None)
        if hold is None:
            return False
        self.fleet.give_back(hold.instance)
        self._running[hold.user] -= 1
        for resource in (*hold.exclusive, *hold.shared):
            line = self._lines[resource]
            line.release(hold_id)
            self._drop_if_empty(resource, line)
        return True

    def ran(self, operation: str, seconds: float) -> None:
        """Note how long a task ran that has succeeded."""
        usual_s = self._usual_s.get(operation, seconds)
        self._usual_s[operation] = usual_s + _NEWEST * (seconds - usual_s)

    def limit(self, limits: Mapping[str, int]) -> None:
        """How many slots tasks of these users may take in all."""
        self._limits = dict(limits)
        self._runnable.clear()
        for task in self._tasks.values():
            self._queue(task)

    # What may begin.

    def assign(self) -> list[Assignment]:
        """Fill the free slots. The returned tasks and holds count as assigned from now on."""
        found = []
        for task in self._best_first():
            worker = self.fleet.least_busy(task.offer)
            assert worker is not None
            chain = (task, *self._followers(task, worker.profile.serves))
            hold = Hold(uuid4(), worker.instance, task.created_by, task.exclusive, task.shared)
            self.hold(hold)  # before the task leaves its lines: nobody behind it is admitted
            for one in chain:
                self.remove(one.task_id)
            found.append(Assignment(hold.hold_id, worker.instance, chain))
        return found

    def _best_first(self) -> Iterator[WaitingTask]:
        """Runnable tasks that, when requested, have a free slot and whose user has room."""
        heads = [(first, queue) for queue in list(self._runnable) if (first := self._first(queue)) is not None]
        heapify(heads)
        while heads:
            entry, queue = heads[0]
            first = self._first(queue)
            if first is None or self.fleet.least_busy(queue.offer) is None or not self._has_room(queue.limited_user):
                heappop(heads)
            elif first is not entry:
                heapreplace(heads, (first, queue))
            else:
                yield entry[-1]

    def _first(self, queue: _Queue) -> _Entry | None:
        entries = self._runnable.get(queue, [])
        while entries and entries[0][2] != entries[0][3].queued:
            heappop(entries)
        if not entries:
            self._runnable.pop(queue, None)
            return None
        return entries[0]

    def _has_room(self, user: str | None) -> bool:
        return user is None or self._running[user] < self._limits[user]

    def _followers(self, head: WaitingTask, serves: Callable[[Offer], bool]) -> Iterator[WaitingTask]:
        """The tasks right behind it that use the same resources, so that nobody is passed over."""
        if not head.exclusive:
            if not head.shared and head.created_by not in self._limits:
                yield from self._others(head)
            return
        lines = [self._lines[resource].waiting for resource in head.exclusive]
        usual_s = self._usual_s.get(head.offer.operation, 0.0)
        longest = LONGEST_CHAIN if usual_s * LONGEST_CHAIN <= CHAIN_S else max(1, int(CHAIN_S / usual_s))
        for place in range(1, min(longest, len(lines[0]))):
            task = lines[0][place]
            if (
                (task.exclusive, task.shared) != (head.exclusive, head.shared)
                or task.closed != len(task.exclusive)  # another task wants exclusively what it shares
                or any(line[place] is not task for line in lines)
                or task.order.partition != head.order.partition  # so one's end precedes the next one's start in the log
                or task.priority < head.priority
                or task.unmet
                or not serves(task.offer)
                or (task.created_by != head.created_by and task.created_by in self._limits)
            ):
                return
            yield task

    def _others(self, head: WaitingTask) -> Iterator[WaitingTask]:
        """The next runnable tasks that need no resource either, if many more wait than there are slots."""
        usual_s = self._usual_s.get(head.offer.operation)
        if usual_s is None:
            return
        entries = self._runnable[_Queue(head.offer, None)]
        share = len(entries) // max(1, self.fleet.slots)
        for _ in range(1, min(LONGEST_CHAIN, share, int(FREE_CHAIN_S / max(usual_s, 0.001)))):
            heappop(entries)  # the task before
            first = self._first(_Queue(head.offer, None))
            if first is None:
                return
            task = first[-1]
            if task.priority != head.priority or task.exclusive or task.shared:
                return
            yield task

    # Tasks that are passed over or back off.

    def _is_aside(self, task_id: UUID) -> bool:
        return task_id in self._passed_over or task_id in self._backing_off

    def _put_aside(self, task_id: UUID, among: set[UUID]) -> None:
        task = self._tasks.get(task_id)
        if task is not None and task_id not in among:
            was_in_line = not self._is_aside(task_id)
            among.add(task_id)
            if was_in_line:
                self._leave_lines(task)

    def _put_back(self, task_id: UUID, among: set[UUID]) -> None:
        if task_id in among:
            among.remove(task_id)
            if not self._is_aside(task_id):
                self._join_lines(self._tasks[task_id])

    # Lines and queues.

    def _join_lines(self, task: WaitingTask) -> None:
        task.closed += 1  # not runnable before it has joined all
        for resource in (*task.exclusive, *task.shared):
            self._line(resource).join(task)
        task.closed -= 1
        self._queue(task)

    def _leave_lines(self, task: WaitingTask) -> None:
        task.queued = 0
        for resource in (*task.exclusive, *task.shared):
            line = self._lines[resource]
            line.leave(task)
            self._drop_if_empty(resource, line)

    def _line(self, resource: str) -> ResourceLine:
        line = self._lines.get(resource)
        if line is None:
            line = self._lines[resource] = ResourceLine(resource, self._queue, self._dequeue)
        return line

    def _drop_if_empty(self, resource: str, line: ResourceLine) -> None:
        if line.is_empty:
            del self._lines[resource]

    def _queue(self, task: WaitingTask) -> None:
        """Count the task among the runnable ones, if it is runnable."""
        if task.is_runnable and not self._is_aside(task.task_id):
            # Never the same twice, also for a task that waits again: entries of equal order compare by it.
            self._queued += 1
            task.queued = self._queued
            user = task.created_by if task.created_by in self._limits else None
            entries = self._runnable.setdefault(_Queue(task.offer, user), [])
            if len(entries) > _STALE * len(self._tasks) + _FEW:
                entries[:] = [entry for entry in entries if entry[2] == entry[3].queued]
                heapify(entries)
            heappush(entries, (-task.priority, task.order, task.queued, task))

    @staticmethod
    def _dequeue(task: WaitingTask) -> None:
        task.queued = 0

    def _forget_dependent(self, other: UUID, task_id: UUID) -> None:
        dependents = self._dependents[other]
        dependents.discard(task_id)
        if not dependents:
            del self._dependents[other]
