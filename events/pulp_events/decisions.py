"""Decisions: which events to append, given what is known. Pure; the clock and the ids are arguments."""

from datetime import datetime
from enum import Enum, auto
from typing import Final, assert_never
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from pulp_events.errors import TaskAlreadyFinal, TaskNotCancellable, TaskNotPurgeable
from pulp_events.events import (
    AttemptFailed,
    CancelRequested,
    ErrorCode,
    Event,
    Finished,
    Outcome,
    Purged,
    RequestFacts,
    TaskError,
)
from pulp_events.ids import derived_id
from pulp_events.retries import attempts_of, is_worth_repeating, retry_at
from pulp_events.task import FINAL, State, Task

REACTOR: Final = "reactor"
_DEADLINE: Final = TaskError(
    code=ErrorCode.DEADLINE_EXCEEDED,
    description="The task did not succeed within the time that all its attempts may take.",
)


def request_cancel(
    task: Task,
    *,
    event_id: UUID,
    now: datetime,
    actor: str,
    reason: str | None = None,
    correlation_id: str | None = None,
    request: RequestFacts | UnsetType = UNSET,
) -> list[Event]:
    """The events that request the end of a task; none if it was requested before.

    Raises `TaskAlreadyFinal`, or `TaskNotCancellable` where the task is known to run without support for it.
    A task that starts in the meantime may still refuse: the recorded effect of the event is the answer.
    """
    match task.state:
        case State.RUNNING if not task.cancellable:
            raise TaskNotCancellable(task.task_id)
        case State.WAITING | State.RUNNING:
            data = CancelRequested(reason=reason, request=request)
            return [
                Event(
                    id=event_id, task_id=task.task_id, time=now, actor=actor, data=data, correlation_id=correlation_id
                )
            ]
        case State.CANCELLING:
            return []
        case State.SUCCESSFUL | State.FAILED | State.CANCELLED | State.SKIPPED:
            raise TaskAlreadyFinal(task.task_id)
        case _:
            assert_never(task.state)


def purge(task: Task, *, event_id: UUID, now: datetime, actor: str, correlation_id: str | None = None) -> list[Event]:
    """The events that purge one task; none if it is purged already. Raises `TaskNotPurgeable`."""
    if task.state not in FINAL:
        raise TaskNotPurgeable(task.task_id)
    if task.purged_at_ms is not None:
        return []
    return [
        Event(
            id=event_id,
            task_id=task.task_id,
            time=now,
            actor=actor,
            data=Purged(requested_by=actor),
            correlation_id=correlation_id,
        )
    ]


class Dependencies(Enum):
    """The state of all tasks that a task depends on, taken together."""

    PENDING = auto()
    SUCCEEDED = auto()
    FAILED = auto()


class Situation(Struct, frozen=True, kw_only=True):
    """What the reactor knows about a task besides its row."""

    lease_lost: bool
    """The task has an attempt, and nobody holds a live lease for it."""
    dependencies: Dependencies = Dependencies.SUCCEEDED
    now_ms: int
    cancel_grace_ms: int


def react(task: Task, situation: Situation, *, now: datetime) -> Event | None:
    """The event that ends a task or an attempt that no worker will end, or None.

    Its id is derived from (task, attempt, reason), so reacting twice, or in two processes, has no further effect.
    """
    match task.state:
        case State.WAITING if situation.dependencies is Dependencies.FAILED:
            text = "A task that this one depends on did not succeed."
            return _finish(task, Outcome.SKIPPED, TaskError(code=ErrorCode.DEPENDENCY_FAILED, description=text), now)
        case State.WAITING if _is_past_deadline(task, situation.now_ms):
            return _fail(task, _DEADLINE, now)
        case State.CANCELLING if task.attempt_id is None:
            return _finish(task, Outcome.CANCELLED, None, now)
        case State.RUNNING | State.CANCELLING:
            return _stopped(task, situation, now)
        case State.WAITING | State.SUCCESSFUL | State.FAILED | State.CANCELLED | State.SKIPPED:
            return None
        case _:
            assert_never(task.state)


def _stopped(task: Task, situation: Situation, now: datetime) -> Event | None:
    """The failure of an attempt that lost its worker or ran out of time, or None."""
    if situation.lease_lost:
        text = f"The worker {task.worker} stopped answering while it ran the task."
        return _fail(task, TaskError(code=ErrorCode.WORKER_LOST, description=text), now)
    if task.state is State.CANCELLING and _passed(
        task.cancel_requested_at_ms, situation.cancel_grace_ms, situation.now_ms
    ):
        text = f"The task did not stop within {situation.cancel_grace_ms // 1000} s of the request to cancel it."
        return _fail(task, TaskError(code=ErrorCode.CANCEL_ABANDONED, description=text), now)
    if _is_past_deadline(task, situation.now_ms):
        return _fail(task, _DEADLINE, now)
    if task.timeout_seconds is not None and _passed(task.started_at_ms, task.timeout_seconds * 1000, situation.now_ms):
        text = f"The task ran for longer than its limit of {task.timeout_seconds} s."
        return _fail(task, TaskError(code=ErrorCode.TIMEOUT, description=text), now)
    return None


def _is_past_deadline(task: Task, now_ms: int) -> bool:
    return task.deadline_seconds is not None and _passed(task.accepted_at_ms, task.deadline_seconds * 1000, now_ms)


def _passed(since_ms: int | None, limit_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms > limit_ms


def _fail(task: Task, error: TaskError, now: datetime) -> Event:
    """The end of the attempt if the task is tried again, else the end of the task."""
    is_repeated = task.state is State.RUNNING and is_worth_repeating(error.code)
    if is_repeated and task.attempt_id is not None:
        at = retry_at(attempts_of(task), task.attempt_id, now)
        if at is not None:
            data = AttemptFailed(attempt_id=task.attempt_id, error=error, retry_at=at)
            return _event(task, f"attempt-failed {error.code}", data, now)
    return _finish(task, Outcome.FAILED, error, now)


def _finish(task: Task, outcome: Outcome, error: TaskError | None, now: datetime) -> Event:
    reason = error.code if error is not None else outcome.value
    return _event(task, reason, Finished(outcome=outcome, attempt_id=task.attempt_id, error=error), now)


def _event(task: Task, reason: str, data: AttemptFailed | Finished, now: datetime) -> Event:
    return Event(
        id=derived_id(task.task_id, task.attempt_id, reason),
        task_id=task.task_id,
        time=now,
        actor=REACTOR,
        data=data,
        correlation_id=task.correlation_id,
    )
