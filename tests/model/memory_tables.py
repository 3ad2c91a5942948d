"""The tables that workers, reactor and dispatcher share, in memory, with one method for each statement of workers and
reactor (the dispatcher's are in `memory_dispatch.py`). `replay.py` repeats a schedule's calls on Postgres and compares
after each step.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from psycopg import errors
from pulp_events.retries import attempts_of
from pulp_events.task import FINAL, State, Task
from pulp_processor.reacting.view import EndCandidate
from pulp_projections.channels import DISPATCH, WORKERS
from pulp_worker.claims import Claim, Look, Status

from tests.model.memory_read_model import MemoryReadModel
from tests.model.memory_rows import (
    ClaimRow,
    DispatcherRow,
    HoldRow,
    Reservation,
    WorkerRow,
    at,
    seconds_of,
    uses_of,
)

TIMELINE: Final = "00000001"


@dataclass
class MemoryTables:
    """The operational tables next to a read model; every call is atomic, at the given time."""

    model: MemoryReadModel
    notify: Callable[[str, str], None] = lambda _channel, _payload: None
    """Sends a notification: channel and payload."""
    dispatcher: DispatcherRow = field(default_factory=DispatcherRow)
    holds: dict[UUID, HoldRow] = field(default_factory=dict)
    claims: dict[UUID, ClaimRow] = field(default_factory=dict)
    """By task."""
    reservations: dict[tuple[UUID, str], Reservation] = field(default_factory=dict)
    """By hold and resource."""
    workers: dict[str, WorkerRow] = field(default_factory=dict)
    last_token: int = 0

    def ping(self, _: float) -> None:
        """Where a process connects."""

    # The worker's row.

    def register(
        self, now_s: float, name: str, instance_id: UUID, previous: UUID | None, lease_s: float, slots: int
    ) -> str | None:
        """The timeline, or None if another instance has the name."""
        row = self.workers.get(name)
        is_others = row is not None and row.stopped_at_s is None and row.instance_id not in (instance_id, previous)
        if row is not None and is_others and row.heartbeat_at_s + row.lease_s >= now_s:
            return None
        self.workers[name] = WorkerRow(instance_id, slots, lease_s, now_s)
        self.notify(DISPATCH, WORKERS)
        return TIMELINE

    def heartbeat(self, now_s: float, name: str, instance_id: UUID) -> tuple[str, bool, bool, bool] | None:
        """The timeline, and whether the worker has holds, may rest, and listens; None if the row is not this
        instance's."""
        row = self.workers.get(name)
        if row is None or row.instance_id != instance_id or row.stopped_at_s is not None:
            return None
        row.heartbeat_at_s = now_s
        return TIMELINE, HoldRow(name, instance_id) in self.holds.values(), row.may_rest, row.is_listening

    def rest(self, _: float, name: str, instance_id: UUID) -> bool:
        """See `Registration.rest`."""
        row = self.workers.get(name)
        if row is None or row.instance_id != instance_id or not row.may_rest:
            return False
        row.is_listening = False
        return True

    def listen(self, _: float, name: str, instance_id: UUID) -> None:
        """See `Registration.listen`."""
        row = self.workers.get(name)
        if row is not None and row.instance_id == instance_id:
            row.is_listening = True
            self.notify(DISPATCH, WORKERS)

    def drain(self, _: float, name: str, instance_id: UUID) -> None:
        row = self.workers.get(name)
        if row is not None and row.instance_id == instance_id:
            row.is_draining = True
            self.notify(DISPATCH, WORKERS)

    def unregister(self, now_s: float, name: str, instance_id: UUID) -> None:
        row = self.workers.get(name)
        if row is not None and row.instance_id == instance_id:
            row.stopped_at_s = now_s
            self.notify(DISPATCH, WORKERS)

    # The worker's claims.

    def look(self, _: float, worker: str, instance_id: UUID, asked: Collection[Claim], holds: Collection[UUID]) -> Look:
        """See `Claims.look`."""
        tasks = self.model.tasks
        known = [(claim, tasks[claim.task_id]) for claim in asked if claim.task_id in tasks]
        statuses = {
            claim.attempt_id: Status(
                task.state,
                task.attempt_id == claim.attempt_id,
                self._is_held(claim.attempt_id),
                task.attempt >= claim.attempt and task.attempt_id != claim.attempt_id,
            )
            for claim, task in known
        }
        mine = HoldRow(worker, instance_id)
        assigned = [
            row
            for row in self.claims.values()
            if not row.is_released and self.holds.get(row.hold_id) == mine and row.hold_id not in holds
        ]
        assigned.sort(key=lambda row: (row.hold_id, row.place))
        return Look(TIMELINE, dict(self.model.positions), statuses, list(map(self._claim_of, assigned)))

    def end(self, _: float, claims: Collection[Claim]) -> frozenset[UUID]:
        """See `Claims.end`."""
        over = {claim.attempt_id for claim in claims if self._is_final(claim.task_id)}
        ended = [row for row in self.claims.values() if row.attempt_id in over]
        self.delete_claims(ended)
        self._tell_holds(ended)
        return frozenset(claim.attempt_id for claim in claims) - over

    def release(self, _: float, claims: Collection[Claim]) -> None:
        """See `Claims.release`."""
        attempt_ids = {claim.attempt_id for claim in claims}
        self._tell_holds(self._release(row for row in self.claims.values() if row.attempt_id in attempt_ids))

    def release_others(self, _: float, worker: str, instance_id: UUID, known: Collection[Claim]) -> None:
        """See `Claims.release_others`."""
        attempt_ids = {claim.attempt_id for claim in known}
        self._release(
            row
            for row in self.claims.values()
            if (row.worker, row.instance_id) == (worker, instance_id) and row.attempt_id not in attempt_ids
        )

    # The reactor.

    def end_candidates(self, now_s: float, known: Mapping[str, Any]) -> list[EndCandidate]:
        found = []
        for task in sorted(self.model.tasks.values(), key=lambda task: task.accepted_at_ms):
            if task.partition not in known["owned"] or task.task_id in known["under_way"] or task.state in FINAL:
                continue
            if task.state is State.WAITING and not task.depends_on and task.deadline_seconds is None:
                continue
            if self.model.is_parked(task):
                continue
            others = [self.model.tasks.get(task_id) for task_id in task.depends_on]
            has_failed = task.state is State.WAITING and any(
                other is not None and other.state in FINAL - {State.SUCCESSFUL} for other in others
            )
            is_lost = self._is_lost(now_s, task, known)
            is_late = task.state is State.CANCELLING and (
                task.attempt_id is None or _past(task.cancel_requested_at_ms, known["grace_s"], now_s)
            )
            is_over_time = task.timeout_seconds is not None and _past(task.started_at_ms, task.timeout_seconds, now_s)
            is_past_deadline = task.deadline_seconds is not None and _past(
                task.accepted_at_ms, task.deadline_seconds, now_s
            )
            if has_failed or is_lost or is_late or is_over_time or is_past_deadline:
                found.append(EndCandidate(task, has_failed, is_lost, at(now_s)))
        return found[: known["most"]]

    def sweep(self, now_s: float, known: Mapping[str, Any]) -> None:
        """Delete and release claims that are no longer needed."""
        tasks = self.model.tasks
        dead = [
            claim
            for claim in self.claims.values()
            if tasks[claim.task_id].partition in known["owned"]
            and self._is_dead(now_s, claim, tasks[claim.task_id], known)
            and not self.model.is_parked(tasks[claim.task_id])
        ]
        over = [
            claim
            for claim in dead
            if self._is_final(claim.task_id) or (claim.is_released and _is_past(claim, tasks[claim.task_id]))
        ]
        self.delete_claims(over)
        released = self._release(
            claim
            for claim in dead
            if tasks[claim.task_id].state in (State.WAITING, State.CANCELLING) and not claim.is_released
        )
        self._tell_holds([*(claim for claim in over if not claim.is_released), *released])

    # What several statements do.

    def claims_of(self, hold_id: UUID) -> list[ClaimRow]:
        """Those of a hold that are not released."""
        return [claim for claim in self.claims.values() if claim.hold_id == hold_id and not claim.is_released]

    def reserved_by(self, hold_id: UUID) -> dict[str, bool]:
        """Resource → whether exclusively."""
        return {name: row.exclusive for (other, name), row in self.reservations.items() if other == hold_id}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undo the block's writes if it raises; tokens are still never given twice."""
        before = deepcopy((self.claims, self.holds, self.reservations))
        try:
            yield
        except BaseException:
            self.claims, self.holds, self.reservations = before
            raise

    def delete_claims(self, claims: Iterable[ClaimRow]) -> None:
        """Nothing of them is left, not even the attempt's number."""
        for claim in claims:
            del self.claims[claim.task_id]

    def delete_hold(self, hold_id: UUID) -> None:
        """With its reservations."""
        del self.holds[hold_id]
        for key in [key for key in self.reservations if key[0] == hold_id]:
            del self.reservations[key]

    def reserve(self, hold_id: UUID, resource: str, *, exclusive: bool, token: int) -> None:
        """Raises `ExclusionViolation` where another hold has reserved the resource, and one of them exclusively."""
        for (other, name), row in self.reservations.items():
            if name == resource and other != hold_id and (exclusive or row.exclusive):
                raise errors.ExclusionViolation(f"{resource} is reserved by {other}")
        self.reservations[hold_id, resource] = Reservation(exclusive, token)

    def next_token(self) -> int:
        """Fencing tokens rise."""
        self.last_token += 1
        return self.last_token

    def _claim_of(self, row: ClaimRow) -> Claim:
        task = self.model.tasks[row.task_id]
        exclusive, _ = uses_of(task)
        return Claim(
            *(row.task_id, task.partition, task.operation, bytes(task.arguments), task.correlation_id, row.attempt),
            *(row.attempt_id, row.instance_id, row.hold_id, row.place, row.tokens, exclusive),
            attempts_of(task),
        )

    def _is_final(self, task_id: UUID) -> bool:
        task = self.model.tasks.get(task_id)
        return task is not None and task.state in FINAL

    def _is_held(self, attempt_id: UUID) -> bool:
        return any(row.attempt_id == attempt_id and not row.is_released for row in self.claims.values())

    def _release(self, claims: Iterable[ClaimRow]) -> list[ClaimRow]:
        """Those of the claims that were not released before."""
        released = [claim for claim in claims if not claim.is_released]
        for claim in released:
            claim.is_released = True
        return released

    def _tell_holds(self, claims: Iterable[ClaimRow]) -> None:
        if holds := sorted({str(claim.hold_id) for claim in claims}):
            self.notify(DISPATCH, " ".join(holds))

    def _is_lost(self, now_s: float, task: Task, known: Mapping[str, Any]) -> bool:
        if task.attempt_id is None or task.partition not in known["trusted"]:
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
        return task.partition in known["trusted"] and self._is_silent(now_s, claim.worker, heard_s, known)

    def _is_silent(self, now_s: float, worker: str | None, heard_s: float, known: Mapping[str, Any]) -> bool:
        row = self.workers.get(worker or "")
        seconds: float = (known["lease_s"] if row is None else row.lease_s) + known["margin_s"]
        return seconds < known["warm_up_s"] and heard_s + seconds < now_s

    def _holder(self, claim: ClaimRow) -> WorkerRow | None:
        row = self.workers.get(claim.worker)
        return row if row is not None and row.instance_id == claim.instance_id and row.stopped_at_s is None else None


def _is_past(claim: ClaimRow, task: Task) -> bool:
    """Whether its attempt has begun and is over: the task itself knows its number."""
    return claim.attempt <= task.attempt and claim.attempt_id != task.attempt_id


def _past(since_ms: int | None, limit_s: float, now_s: float) -> bool:
    return since_ms is not None and seconds_of(since_ms) + limit_s < now_s
