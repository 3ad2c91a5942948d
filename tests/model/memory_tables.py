"""The tables that workers and the reactor share, in memory. Each method is what one transaction of theirs does.

They keep the contract of the SQL: `replay.py` does on Postgres what a schedule did here, and compares after each step.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from pulp_events.events import Access
from pulp_events.task import FINAL, State, Task
from pulp_processor.reacting.view import Seen
from pulp_worker.choosing import Choice, Waiting
from pulp_worker.claims import Claim, LetGo, Parted, Standing

from tests.model.memory_read_model import MemoryReadModel
from tests.support.events import NOON
from tests.support.records import NOON_MS

TIMELINE: Final = "00000001"


@dataclass
class ClaimRow:
    """A row of `claims`."""

    task_id: UUID
    attempt: int
    attempt_id: UUID
    worker: str
    instance_id: UUID
    claimed_at_s: float
    is_released: bool = False


@dataclass
class WorkerRow:
    """A row of `workers`."""

    instance_id: UUID
    lease_s: float
    heartbeat_at_s: float
    is_stopped: bool = False


class Reservation(NamedTuple):
    """A row of `reservations`."""

    exclusive: bool
    token: int


class MemoryTables:
    """The operational tables beside a read model; every call is atomic, and happens at the time that it is given."""

    def __init__(self, model: MemoryReadModel) -> None:
        self.claims: dict[UUID, ClaimRow] = {}
        self.reservations: dict[tuple[UUID, str], Reservation] = {}
        self.workers: dict[str, WorkerRow] = {}
        self._model = model
        self._token = 0

    # The worker's row.

    def register(self, now_s: float, name: str, instance_id: UUID, previous: UUID | None, lease_s: float) -> str | None:
        """The timeline, or None if the name is another's."""
        row = self.workers.get(name)
        is_others = row is not None and not row.is_stopped and row.instance_id not in (instance_id, previous)
        if row is not None and is_others and row.heartbeat_at_s + row.lease_s >= now_s:
            return None
        self.workers[name] = WorkerRow(instance_id, lease_s, now_s)
        return TIMELINE

    def heartbeat(self, now_s: float, name: str, instance_id: UUID) -> str | None:
        """The timeline, or None if the row is not this instance's."""
        row = self.workers.get(name)
        if row is None or row.instance_id != instance_id or row.is_stopped:
            return None
        row.heartbeat_at_s = now_s
        return TIMELINE

    def unregister(self, name: str, instance_id: UUID) -> None:
        row = self.workers.get(name)
        if row is not None and row.instance_id == instance_id:
            row.is_stopped = True

    # Claims.

    def claim(
        self, now_s: float, worker: str, instance_id: UUID, operations: Sequence[str], most: int, ids: Iterable[UUID]
    ) -> list[list[Claim]]:
        """`ids` are those of the new attempts, in the order in which the tasks are chosen."""
        held: dict[str, bool] = {}
        for (_, resource), row in self.reservations.items():
            held[resource] = held.get(resource, False) or row.exclusive
        choice = Choice(held)
        choice.see(self._waiting(operations))
        chains = choice.best(most)
        attempt_ids = iter(ids)
        return [
            [
                self._take(now_s, worker, instance_id, task, next(attempt_ids), is_head=not place)
                for place, task in enumerate(chain.tasks)
            ]
            for chain in chains
        ]

    def standings(self, claims: Sequence[Claim]) -> list[Standing | None]:
        rows = [(claim, self._model.tasks.get(claim.task_id)) for claim in claims]
        return [
            Standing(task.state, task.attempt_id == claim.attempt_id, self._holds(claim.attempt_id)) if task else None
            for claim, task in rows
        ]

    def let_go(self, parting: Sequence[LetGo]) -> Parted:
        over = {item.claim.task_id for item in parting if item.is_over}
        kept = frozenset(task_id for task_id in over if not self._is_final(task_id))
        leaving = [item for item in parting if not item.is_over or item.claim.task_id not in kept]
        heirs = {
            item.claim.task_id: item.heir.task_id for item in leaving if item.heir and self._holds(item.heir.attempt_id)
        }
        for (task_id, resource), row in list(self.reservations.items()):
            if task_id in heirs:
                del self.reservations[task_id, resource]
                self.reservations[heirs[task_id], resource] = Reservation(row.exclusive, self._next_token())
        tokens: dict[UUID, dict[str, int]] = {}
        for (task_id, resource), row in self.reservations.items():
            if task_id in heirs.values():
                tokens.setdefault(task_id, {})[resource] = row.token
        for item in leaving:
            claim = self.claims.get(item.claim.task_id)
            if claim is not None and claim.attempt_id == item.claim.attempt_id:
                if item.is_over:
                    self._forget(claim)
                elif not claim.is_released:
                    self._release(claim)
        return Parted(tokens, kept)

    def settle(self, worker: str, instance_id: UUID, held: Sequence[Claim], ends: Mapping[int, int]) -> bool:
        if any(self._model.positions.get(partition, 0) < end for partition, end in ends.items()):
            return False
        known = {claim.attempt_id for claim in held}
        for row in self.claims.values():
            is_own = row.worker == worker and row.instance_id == instance_id and not row.is_released
            if is_own and row.attempt_id not in known:
                self._release(row)
        return True

    # The reactor.

    def situations(self, now_s: float, known: Mapping[str, Any]) -> list[Seen]:
        found = []
        for task in sorted(self._model.tasks.values(), key=lambda task: task.accepted_at_ms):
            if task.partition not in known["owned"] or task.task_id in known["under_way"] or task.state in FINAL:
                continue
            if task.state is State.WAITING and not task.depends_on:
                continue
            others = [self._model.tasks.get(task_id) for task_id in task.depends_on]
            has_failed = task.state is State.WAITING and any(
                other is not None and other.state in FINAL - {State.SUCCESSFUL} for other in others
            )
            is_lost = self._is_lost(now_s, task, known)
            is_late = task.state is State.CANCELLING and (
                task.attempt_id is None or _past(task.cancel_requested_at_ms, known["grace_s"], now_s)
            )
            is_over_time = task.timeout_seconds is not None and _past(task.started_at_ms, task.timeout_seconds, now_s)
            if has_failed or is_lost or is_late or is_over_time:
                found.append(Seen(task, has_failed, is_lost, at(now_s)))
        return found[: known["most"]]

    def sweep(self, now_s: float, known: Mapping[str, Any]) -> bool:
        """Whether anything was let go of."""
        count = 0
        for claim in list(self.claims.values()):
            task = self._model.tasks[claim.task_id]
            if task.partition not in known["owned"] or not self._is_dead(now_s, claim, task, known):
                continue
            if task.state in FINAL:
                self._forget(claim)
                count += 1
            elif task.state in (State.WAITING, State.CANCELLING) and not claim.is_released:
                self._release(claim)
                count += 1
        return bool(count)

    def _waiting(self, operations: Sequence[str]) -> list[Waiting]:
        found = []
        for task in self._model.tasks.values():
            claim = self.claims.get(task.task_id)
            if task.state is not State.WAITING or (claim is not None and not claim.is_released):
                continue
            exclusive, shared = uses_of(task)
            others = [self._model.tasks.get(task_id) for task_id in task.depends_on]
            can_run = task.operation in operations and all(
                other is not None and other.state is State.SUCCESSFUL for other in others
            )
            attempt = (0 if claim is None else claim.attempt) + 1
            found.append(
                Waiting(
                    *(at(seconds_of(task.accepted_at_ms)), task.partition, task.accepted_offset, task.task_id, attempt),
                    *(task.priority, can_run, exclusive, shared - exclusive),
                )
            )
        return sorted(found)

    def _take(
        self, now_s: float, worker: str, instance_id: UUID, waiting: Waiting, attempt_id: UUID, *, is_head: bool
    ) -> Claim:
        task = self._model.tasks[waiting.task_id]
        row = ClaimRow(waiting.task_id, waiting.attempt, attempt_id, worker, instance_id, now_s)
        self.claims[waiting.task_id] = row
        tokens = {}
        if is_head:
            for resource in (*sorted(waiting.exclusive), *sorted(waiting.shared)):
                tokens[resource] = self._next_token()
                self.reservations[waiting.task_id, resource] = Reservation(
                    resource in waiting.exclusive, tokens[resource]
                )
        return Claim(
            *(waiting.task_id, waiting.partition, task.operation, bytes(task.arguments), task.correlation_id),
            *(waiting.attempt, attempt_id, instance_id, tokens, waiting.exclusive),
        )

    def _is_lost(self, now_s: float, task: Task, known: Mapping[str, Any]) -> bool:
        if task.attempt_id is None or task.partition not in known["judged"]:
            return False
        assert task.started_at_ms is not None
        claim = self.claims.get(task.task_id)
        is_own = claim is not None and claim.attempt_id == task.attempt_id and not claim.is_released
        holder = self._holder(claim) if claim is not None and is_own else None
        heard_s = seconds_of(task.started_at_ms) if holder is None else holder.heartbeat_at_s
        return self._is_silent(now_s, task.worker, heard_s, known)

    def _is_dead(self, now_s: float, claim: ClaimRow, task: Task, known: Mapping[str, Any]) -> bool:
        if claim.is_released:
            return True
        holder = self._holder(claim)
        heard_s = claim.claimed_at_s if holder is None else holder.heartbeat_at_s
        return task.partition in known["judged"] and self._is_silent(now_s, claim.worker, heard_s, known)

    def _is_silent(self, now_s: float, worker: str | None, heard_s: float, known: Mapping[str, Any]) -> bool:
        row = self.workers.get(worker or "")
        seconds: float = (known["lease_s"] if row is None else row.lease_s) + known["margin_s"]
        return seconds < known["seen_s"] and heard_s + seconds < now_s

    def _holder(self, claim: ClaimRow) -> WorkerRow | None:
        row = self.workers.get(claim.worker)
        return row if row is not None and row.instance_id == claim.instance_id and not row.is_stopped else None

    def _is_final(self, task_id: UUID) -> bool:
        task = self._model.tasks.get(task_id)
        return task is not None and task.state in FINAL

    def _holds(self, attempt_id: UUID) -> bool:
        return any(row.attempt_id == attempt_id and not row.is_released for row in self.claims.values())

    def _release(self, claim: ClaimRow) -> None:
        claim.is_released = True
        self._free(claim.task_id)

    def _forget(self, claim: ClaimRow) -> None:
        del self.claims[claim.task_id]
        self._free(claim.task_id)

    def _free(self, task_id: UUID) -> None:
        for key in [key for key in self.reservations if key[0] == task_id]:
            del self.reservations[key]

    def _next_token(self) -> int:
        self._token += 1
        return self._token


def uses_of(task: Task) -> tuple[frozenset[str], frozenset[str]]:
    """The resources that it uses exclusively, and those that it shares, as submitted."""
    exclusive, shared = (
        frozenset(item.key for item in task.resources if item.access is access)
        for access in (Access.EXCLUSIVE, Access.SHARED)
    )
    return exclusive, shared


def at(seconds: float) -> datetime:
    """The schedule's time as a date."""
    return NOON.astimezone(UTC) + timedelta(seconds=seconds)


def seconds_of(timestamp_ms: int) -> float:
    """A broker's time on the schedule's clock."""
    return (timestamp_ms - NOON_MS) / 1000


def _past(since_ms: int | None, limit_s: float, now_s: float) -> bool:
    return since_ms is not None and seconds_of(since_ms) + limit_s < now_s
