"""Sees from inside the operations what is at work, and says what must not be. Its clock is the schedule's."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from pulp_events.memory import MemoryLog
from pulp_events.task import FINAL, Task
from pulp_worker import Context, OperationError
from pulp_worker.lease import Lease

from tests.faults.folding import Folding, Raw
from tests.model.loop import PROCESS, SimulatedLoop
from tests.model.memory_read_model import MemoryReadModel
from tests.model.memory_tables import MemoryTables, uses_of


class Breach(AssertionError):
    """A promise is broken."""


@dataclass(frozen=True, eq=False)
class AtWork:
    """An operation that has begun and not ended."""

    task_id: UUID
    attempt_id: UUID
    process: str
    lease: Lease
    exclusive: frozenset[str]
    shared: frozenset[str]

    def conflicts(self, other: "AtWork") -> bool:
        """Whether both at once are forbidden."""
        mine, others = self.exclusive | self.shared, other.exclusive | other.shared
        return self.task_id == other.task_id or bool(self.exclusive & others or other.exclusive & mine)


class Witness:
    """Also the store that operations write to: it refuses a token that is lower than one it has seen."""

    def __init__(self, loop: SimulatedLoop, log: MemoryLog, lease_of: Callable[[str], Lease]) -> None:
        self.begun = 0
        self.refused = 0
        """Writes that came too late, and were refused by their token."""
        self.windows = 0
        """How often an operation went a step although its lease had run out: its process had just woken."""
        self.succeeded: set[UUID] = set()
        """Attempts whose operation came to its end."""
        self._loop = loop
        self._log = log
        self._lease_of = lease_of
        self._at_work: set[AtWork] = set()
        self._attempts: set[UUID] = set()
        self._written: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self._folding = Folding(len(log.records))
        self._folded = [0] * len(log.records)

    def fold(self) -> Folding:
        """The rules' reading of the whole log, as it is now."""
        for partition, records in enumerate(self._log.records):
            for record in records[self._folded[partition] :]:
                self._folding.fold(partition, Raw(record.offset, record.timestamp_ms, record.key, record.value))
            self._folded[partition] = len(records)
        return self._folding

    def begins(self, context: Context, task: Task) -> AtWork:
        """The first line of an operation."""
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
        """A write to everything that it uses."""
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
        """The last line of an operation."""
        self._at_work.discard(me)

    def unfinished(self, model: MemoryReadModel, tables: MemoryTables) -> list[str]:
        """What is not as it must be in the end: every task final, everything projected, nothing held."""
        rows = [row for rows in self.fold().tasks.values() for row in rows.values()]
        lag = [
            f"partition {partition} is projected up to {model.positions[partition]} of {len(records)}"
            for partition, records in enumerate(self._log.records)
            if model.positions[partition] < len(records)
        ]
        return [
            *(f"task {row['task_id']} is {row['state']}" for row in rows if row["state"] not in FINAL),
            *(f"task {row.task_id} is claimed by {row.worker}" for row in tables.claims.values()),
            *(f"{resource} is reserved by {task_id}" for task_id, resource in tables.reservations),
            *lag,
        ]

    def judge(self, model: MemoryReadModel, tables: MemoryTables) -> None:
        """At the end of a schedule."""
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
        """The log has an effective `started` of this attempt, so that no effective cancel precedes it."""
        for entries in self.fold().history.values():
            for entry in entries.values():
                if entry.event.kind == "started" and entry.event.data["attempt_id"] == str(me.attempt_id):
                    if entry.effect != "applied":
                        raise Breach(f"task {me.task_id} begins although its start was ignored: {entry.effect}")
                    return
        raise Breach(f"task {me.task_id} begins, and the log does not say that it started")

    def _has_just_woken(self, me: AtWork) -> None:
        """Without a lease an operation may only be at work in the moment in which its process wakes, or in which it ends."""
        self.windows += 1
        allowed = (self._loop.woke_at_s(me.process), me.lease.ends_at_s)
        if self._loop.time() not in allowed:
            raise Breach(
                f"task {me.task_id} is at work on {me.process} at {self._loop.time():.3f} s: its lease ended at"
                f" {me.lease.ends_at_s:.3f} s, and it woke at {allowed[0]:.3f} s"
            )
