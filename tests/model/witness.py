"""Observes from inside the operations what runs, and raises on what must not. Uses the schedule's clock."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from pulp_events.memory import MemoryLog
from pulp_events.task import FINAL, Task
from pulp_worker import Context, OperationError
from pulp_worker.lease import Lease

from tests.faults.folding import Folding, Raw
from tests.model.breach import Breach
from tests.model.loop import PROCESS, SimulatedLoop
from tests.model.memory_read_model import MemoryReadModel
from tests.model.memory_rows import uses_of
from tests.model.memory_tables import MemoryTables


@dataclass(frozen=True, eq=False)
class AtWork:
    """A running operation."""

    task_id: UUID
    attempt_id: UUID
    process: str
    lease: Lease
    exclusive: frozenset[str]
    shared: frozenset[str]

    def conflicts(self, other: "AtWork") -> bool:
        """Whether the two may not run at once."""
        mine, others = self.exclusive | self.shared, other.exclusive | other.shared
        return self.task_id == other.task_id or bool(self.exclusive & others or other.exclusive & mine)


class Witness:
    """Also the store that operations write to, which refuses a token lower than one it has seen."""

    def __init__(
        self,
        loop: SimulatedLoop,
        log: MemoryLog,
        lease_of: Callable[[str], Lease],
        before: Callable[[UUID], Collection[tuple[UUID, int]]],
    ) -> None:
        """`before` gives the tasks that were assigned to the slot of an attempt before it, and their attempts' numbers."""
        self.begun = 0
        self.refused = 0
        """Late writes that were refused by their token."""
        self.windows = 0
        """How often an operation took a step after its lease had expired, in a process that had just woken."""
        self.succeeded: set[UUID] = set()
        """Attempts whose operation has ended."""
        self._loop = loop
        self._log = log
        self._lease_of = lease_of
        self._before = before
        self._at_work: set[AtWork] = set()
        self._attempts: set[UUID] = set()
        self._written: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self._folding = Folding(len(log.records))
        self._folded = [0] * len(log.records)

    def fold(self) -> Folding:
        """The fold of the current log by the rules."""
        for partition, records in enumerate(self._log.records):
            for record in records[self._folded[partition] :]:
                self._folding.fold(partition, Raw(record.offset, record.timestamp_ms, record.key, record.value))
            self._folded[partition] = len(records)
        return self._folding

    def begins(self, context: Context, task: Task) -> AtWork:
        """Called at the start of an operation."""
        exclusive, shared = uses_of(task)
        process = PROCESS.get()
        me = AtWork(
            context.task_id, context.attempt_id, process, self._lease_of(process), exclusive, shared - exclusive
        )
        self.begun += 1
        if me.attempt_id in self._attempts:
            raise Breach(f"attempt {me.attempt_id} begins twice")
        self._attempts.add(me.attempt_id)
        self._at_work.add(me)
        if not me.lease.is_live:
            self._has_just_woken(me)
            return me
        if set(context.tokens) != exclusive | shared:
            raise Breach(f"task {me.task_id} begins with tokens {dict(context.tokens)}")
        self._may_begin(me)
        for other in self._at_work:
            if other is not me and other.lease.is_live and other.conflicts(me):
                raise Breach(f"task {me.task_id} begins on {me.process} beside {other.task_id} on {other.process}")
        for resource, token in context.tokens.items():
            if token <= self._begun.get(resource, 0):
                raise Breach(f"the token of {resource} does not rise: {token} after {self._begun[resource]}")
            if resource in me.exclusive:
                self._begun[resource] = token
        return me

    def works(self, me: AtWork, context: Context) -> None:
        """Called for a write to all its resources."""
        if not me.lease.is_live:
            self._has_just_woken(me)
        for resource, token in context.tokens.items():
            if token < self._written.get(resource, 0):
                self.refused += 1
                if me.lease.is_live:
                    raise Breach(f"task {me.task_id} is refused at {resource} although its lease is live")
                raise OperationError("fenced", f"{resource} was written by a later task")
            if resource in me.exclusive:
                self._written[resource] = token

    def ends(self, me: AtWork) -> None:
        """Called at the end of an operation."""
        self._at_work.discard(me)

    def unfinished(self, model: MemoryReadModel, tables: MemoryTables) -> list[str]:
        """What is wrong at the end: every task must be final, everything projected, nothing claimed."""
        rows = [row for rows in self.fold().tasks.values() for row in rows.values()]
        lag = [
            f"partition {partition} is projected up to {model.positions[partition]} of {len(records)}"
            for partition, records in enumerate(self._log.records)
            if model.positions[partition] < len(records)
        ]
        return [
            *(f"task {row['task_id']} is {row['state']}" for row in rows if row["state"] not in FINAL),
            *(f"task {row.task_id} is claimed by {row.worker}" for row in tables.claims.values()),
            *(f"a slot of {hold.worker} is in use: {hold_id}" for hold_id, hold in tables.holds.items()),
            *lag,
        ]

    def judge(self, model: MemoryReadModel, tables: MemoryTables) -> None:
        """Check the end of a schedule."""
        folding = self.fold()
        for partition, rows in folding.tasks.items():
            ends = [entry for entry in folding.history[partition].values() if entry.event.kind == "finished"]
            for task_id, row in rows.items():
                effective = [each for each in ends if each.event.task_id == task_id and each.effect == "applied"]
                if len(effective) != 1:
                    raise Breach(f"task {task_id} has {len(effective)} effective ends")
                if row["state"] == "successful" and UUID(row["attempt_id"]) not in self.succeeded:
                    raise Breach(f"task {task_id} has succeeded, and its operation has not")
            found = {str(task.task_id): task.state for task in model.tasks.values() if task.partition == partition}
            if found != {task_id: row["state"] for task_id, row in rows.items()}:
                raise Breach(f"partition {partition}: the read model is not what the rules make of the log: {found}")
        if unfinished := self.unfinished(model, tables):
            raise Breach("; ".join(unfinished))

    def _may_begin(self, me: AtWork) -> None:
        """Check that the log has an effective `started` of this attempt, and so no effective cancel before it."""
        for entries in self.fold().history.values():
            for entry in entries.values():
                if entry.event.kind == "started" and entry.event.data["attempt_id"] == str(me.attempt_id):
                    if entry.effect != "applied":
                        raise Breach(f"task {me.task_id} begins although its start was ignored: {entry.effect}")
                    self._may_follow(me)
                    return
        raise Breach(f"task {me.task_id} begins, and the log does not say that it started")

    def _may_follow(self, me: AtWork) -> None:
        """Check that nobody before it in its slot waits, or runs."""
        rows = {task_id: row for rows in self.fold().tasks.values() for task_id, row in rows.items()}
        for other, attempt in self._before(me.attempt_id):
            row = rows[str(other)]
            never_runs = row["state"] == "cancelling" and row["attempt_id"] is None
            is_past = row["attempt"] > attempt or (row["attempt"] == attempt and row["attempt_id"] is None)
            if row["state"] not in FINAL and not never_runs and not is_past:
                raise Breach(f"task {me.task_id} begins before {other}, which is {row['state']}")

    def _has_just_woken(self, me: AtWork) -> None:
        """Without a lease, an operation may run only at the moment when its process wakes or when it ends."""
        self.windows += 1
        allowed = (self._loop.woke_at_s(me.process), me.lease.ends_at_s)
        if self._loop.time() not in allowed:
            raise Breach(
                f"task {me.task_id} is at work on {me.process} at {self._loop.time():.3f} s: its lease ended at"
                f" {me.lease.ends_at_s:.3f} s, and it woke at {allowed[0]:.3f} s"
            )
