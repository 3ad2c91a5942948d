"""The dispatcher's statements on the tables in memory, one method for each. The first argument of each is the time, the
second the epoch in which the dispatcher believes to be elected."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Final
from uuid import UUID, uuid5

from psycopg import errors
from pulp_events.codec import TYPES
from pulp_events.events import Progress, Purged, Started, Unparked
from pulp_events.task import State, Task
from pulp_processor.dispatching.dispatch import Assignment, Hold
from pulp_processor.dispatching.fleet import Profile
from pulp_processor.dispatching.tables import (
    LEASE_S,
    Deposed,
    Doubt,
    Ending,
    HeldTasks,
    Moved,
    Offered,
    RegisteredWorker,
    TaskFacts,
    Written,
)
from pulp_processor.dispatching.waiting import Offer, Order, WaitingTask
from pulp_projections.channels import ASSIGNED, ELECTION, worker_channel
from pulp_projections.writing.fold import APPLIED
from pulp_projections.writing.parking import Standing

from tests.model.memory_rows import ClaimRow, HoldRow, WorkerRow, at, seconds_of, uses_of
from tests.model.memory_tables import MemoryTables

GENERATION: Final = 1
_STILL: Final = {TYPES[Progress], TYPES[Started], TYPES[Purged]}


class MemoryDispatch:
    """Every call is atomic. `profile` is what all workers serve."""

    def __init__(self, tables: MemoryTables, profile: Profile) -> None:
        self._tables = tables
        self._profile = profile

    # The election.

    def elect(self, now_s: float, _: int, holder: str) -> int | None:
        """The new epoch, or None while another dispatcher is elected."""
        row = self._tables.dispatcher
        if row.renewed_at_s + LEASE_S >= now_s and row.holder != holder:
            return None
        row.epoch, row.holder, row.renewed_at_s = row.epoch + 1, holder, now_s
        return row.epoch

    def renew(self, now_s: float, epoch: int) -> None:
        """Raises `Deposed`."""
        self._check(epoch)
        self._tables.dispatcher.renewed_at_s = now_s

    def resign(self, _: float, epoch: int) -> None:
        if self._tables.dispatcher.epoch == epoch:
            self._tables.dispatcher.renewed_at_s = float("-inf")
            self._tables.notify(ELECTION, "")

    # Reading.

    def waiting_after(self, now_s: float, _: int, last: TaskFacts | None, most: int) -> list[TaskFacts]:
        waiting = [task for task in self._tables.model.tasks.values() if task.state is State.WAITING]
        found = sorted((self._facts(now_s, task) for task in waiting), key=_page_order)
        return list(islice((facts for facts in found if last is None or _page_order(facts) > _page_order(last)), most))

    def some(self, now_s: float, _: int, task_ids: Collection[UUID]) -> list[TaskFacts]:
        tasks = self._tables.model.tasks
        return [self._facts(now_s, tasks[task_id]) for task_id in dict.fromkeys(task_ids) if task_id in tasks]

    def moved(self, now_s: float, _: int, positions: Mapping[int, int]) -> Moved:
        model = self._tables.model
        events = [
            row
            for partition, next_offset in positions.items()
            for offset, row in model.history[partition].items()
            if offset >= next_offset
            and ((row.effect == APPLIED and row.type not in _STILL) or row.type == TYPES[Unparked])
        ]
        parking = [
            letter.task_id
            for partition, next_offset in positions.items()
            for offset, letter in model.dead_letters[partition].items()
            if offset >= next_offset and letter.standing is Standing.PARKS and letter.task_id is not None
        ]
        task_ids = dict.fromkeys([*(row.event.task_id for row in events), *parking])
        known = [model.tasks[task_id] for task_id in task_ids if task_id in model.tasks]
        return Moved(GENERATION, dict(model.positions), [self._facts(now_s, task) for task in known])

    def held(self, _: float, __: int) -> list[HeldTasks]:
        """See `DispatchTables.holds`."""
        found = []
        for hold_id, row in self._tables.holds.items():
            claims = sorted(self._tables.claims_of(hold_id), key=lambda claim: claim.place)
            succeeded = [claim.task_id for claim in claims if self._has_succeeded(claim)]
            remaining = [claim.task_id for claim in claims if not self._has_succeeded(claim)]
            user = self._tables.model.tasks[remaining[0]].created_by if remaining else ""
            uses = self._tables.reserved_by(hold_id)
            exclusive, shared = (frozenset(name for name in uses if uses[name] is mode) for mode in (True, False))
            hold = Hold(hold_id, str(row.instance_id), user, exclusive, shared)
            found.append(HeldTasks(hold, remaining, succeeded))
        return found

    def registered(self, now_s: float, _: int) -> list[RegisteredWorker]:
        """See `DispatchTables.workers`."""
        return [
            RegisteredWorker(name, row.instance_id, self._profile, row.slots, row.may_rest or not row.is_listening)
            for name, row in self._tables.workers.items()
            if row.is_online(now_s) and not row.is_draining
        ]

    def let_rest(self, _: float, epoch: int, instance_ids: Collection[UUID]) -> None:
        """See `DispatchTables.rest`."""
        for row in self._rows(epoch, instance_ids):
            row.may_rest = True

    def wake(self, _: float, epoch: int, instance_ids: Collection[UUID]) -> list[UUID]:
        """See `DispatchTables.wake`."""
        woken = self._rows(epoch, instance_ids)
        for row in woken:
            row.may_rest = False
        return [row.instance_id for row in woken if row.is_listening]

    def _rows(self, epoch: int, instance_ids: Collection[UUID]) -> list[WorkerRow]:
        is_elected = epoch == self._tables.dispatcher.epoch
        return [row for row in self._tables.workers.values() if is_elected and row.instance_id in instance_ids]

    def offered(self, now_s: float, _: int, unserved_s: float) -> Offered:
        since_s = now_s - unserved_s
        is_served = any(row.seen_at_s > since_s for row in self._tables.workers.values())
        offers = [Offer(queue, name) for queue in self._profile.queues for name in self._profile.operations]
        return Offered(at(since_s), frozenset(offers if is_served else ()))

    def forgotten(self, _: float, __: int) -> list[UUID]:
        return [hold_id for hold_id in self._tables.holds if not self._tables.claims_of(hold_id)]

    # Writing.

    def write(
        self,
        now_s: float,
        epoch: int,
        ending: Ending,
        assignments: Sequence[Assignment],
        workers: Mapping[str, RegisteredWorker],
    ) -> Written:
        """See `DispatchTables.write`."""
        self._check(epoch)
        claimed: list[UUID] = []
        try:
            with self._tables.transaction():
                ended = self._end(ending)
                for one in sorted(assignments, key=lambda one: one.hold_id):
                    claimed += self._assign(now_s, one, workers[one.instance])
        except errors.ExclusionViolation as error:
            raise Doubt("a resource is reserved that seemed free") from error
        for name in sorted({workers[one.instance].name for one in assignments}):
            self._tables.notify(worker_channel(name), ASSIGNED)
        return Written(frozenset(ended), frozenset(claimed))

    def _end(self, ending: Ending) -> list[UUID]:
        tables = self._tables
        tables.delete_claims(
            [
                claim
                for claim in tables.claims.values()
                if claim.task_id in ending.succeeded and self._has_succeeded(claim)
            ]
        )
        ended = [hold_id for hold_id in ending.hold_ids if not tables.claims_of(hold_id)]
        for hold_id in set(ended) & tables.holds.keys():
            tables.delete_hold(hold_id)
        return ended

    def _assign(self, now_s: float, one: Assignment, worker: RegisteredWorker) -> list[UUID]:
        """Those of the tasks that could be claimed."""
        tables, tasks = self._tables, self._tables.model.tasks
        tables.holds[one.hold_id] = HoldRow(worker.name, worker.instance_id)
        claimed = []
        for place, task_id in enumerate(task.task_id for task in one.tasks):
            exclusive, shared = uses_of(tasks[task_id])
            names = sorted(exclusive | shared)
            if place == 0:
                for name in names:
                    tables.reserve(one.hold_id, name, exclusive=name in exclusive, token=tables.next_token())
            claim = tables.claims.get(task_id)
            is_gone = tasks[task_id].state is not State.WAITING or self._tables.model.is_parked(tasks[task_id])
            if is_gone or (claim is not None and not claim.is_released):
                continue
            claimed.append(task_id)
            attempt = max(tasks[task_id].attempt, 0 if claim is None else claim.attempt) + 1
            tables.claims[task_id] = ClaimRow(
                *(task_id, attempt, attempt_of(task_id, attempt), worker.name, worker.instance_id, one.hold_id, place),
                {name: tables.next_token() for name in names},
                now_s,
            )
        return claimed

    def _has_succeeded(self, claim: ClaimRow) -> bool:
        """Whether its task has succeeded under it."""
        task = self._tables.model.tasks[claim.task_id]
        return task.state is State.SUCCESSFUL and task.attempt_id == claim.attempt_id

    def _check(self, epoch: int) -> None:
        if self._tables.dispatcher.epoch != epoch:
            raise Deposed

    def _facts(self, now_s: float, task: Task) -> TaskFacts:
        claim = self._tables.claims.get(task.task_id)
        claim = None if claim is None or claim.is_released else claim
        has_succeeded = claim is not None and self._has_succeeded(claim)
        hold_id = None if claim is None else claim.hold_id
        waiting = waiting_of(task, self._tables.model.tasks)
        retry_in_s = 0.0 if task.retry_at_ms is None else max(0.0, seconds_of(task.retry_at_ms) - now_s)
        ran_s = _ran_s(task) if has_succeeded else 0.0
        is_parked = self._tables.model.is_parked(task)
        return TaskFacts(waiting, task.state, hold_id, has_succeeded, ran_s, retry_in_s, is_parked)


def _ran_s(task: Task) -> float:
    assert task.started_at_ms is not None
    assert task.finished_at_ms is not None
    return (task.finished_at_ms - task.started_at_ms) / 1000


def attempt_of(task_id: UUID, attempt: int) -> UUID:
    """The id of a task's attempt of this number."""
    return uuid5(task_id, str(attempt))


def waiting_of(task: Task, tasks: Mapping[UUID, Task]) -> WaitingTask:
    """A task as the dispatcher knows it; `tasks` are all that the read model knows."""
    exclusive, shared = uses_of(task)
    others = {task_id: tasks.get(task_id) for task_id in task.depends_on}
    return WaitingTask(
        task.task_id,
        Order(at(seconds_of(task.accepted_at_ms)), task.partition, task.accepted_offset),
        Offer(task.queue, task.operation),
        task.priority,
        exclusive,
        shared - exclusive,
        task.created_by,
        {task_id for task_id, other in others.items() if other is None or other.state is not State.SUCCESSFUL},
    )


def _page_order(facts: TaskFacts) -> tuple[object, ...]:
    return (facts.task.order.accepted_at, facts.task.task_id)
