"""Decisions: what is appended, given what is known. Pure; the clock and the ids are arguments."""

from datetime import datetime
from enum import Enum, auto
from typing import Final
from uuid import UUID

from msgspec import Struct

from pulp_events.errors import TaskAlreadyFinal, TaskNotCancellable
from pulp_events.events import CancelRequested, ErrorCode, Event, Finished, Outcome, TaskError
from pulp_events.ids import derived_id
from pulp_events.task import FINAL, State, Task

REACTOR: Final = "reactor"


def request_cancel(
    task: Task,
    *,
    event_id: UUID,
    now: datetime,
    actor: str,
    reason: str | None = None,
    correlation_id: str | None = None,
) -> list[Event]:
    """The events that ask for the end of a task: none if that was asked before.

    Raises `TaskAlreadyFinal`, or `TaskNotCancellable` where the task is known to run without support for it.
    A task that starts meanwhile may still refuse: the effect recorded for the event is the answer.
    """
    if task.state in FINAL:
        raise TaskAlreadyFinal(task.task_id)
    if task.state is State.RUNNING and not task.cancellable:
        raise TaskNotCancellable(task.task_id)
    if task.state is State.CANCELLING:
        return []
    return [
        Event(
            id=event_id,
            task_id=task.task_id,
            time=now,
            actor=actor,
            data=CancelRequested(reason=reason),
            correlation_id=correlation_id,
        )
    ]


class Dependencies(Enum):
    """How the tasks that a task depends on stand, taken together."""

    PENDING = auto()
    SUCCEEDED = auto()
    FAILED = auto()


class Situation(Struct, frozen=True, kw_only=True):
    """What the reactor knows of a task beside its row."""

    lease_lost: bool
    """The task has an attempt, and nobody holds a live lease for it."""
    dependencies: Dependencies = Dependencies.SUCCEEDED
    now_ms: int
    cancel_grace_ms: int


def react(task: Task, situation: Situation, *, now: datetime) -> Event | None:
    """The end of a task that no worker will end, or None.

    Its id is derived from (task, attempt, reason): reacting twice, or by two owners, changes nothing.
    """
    if task.state in FINAL:
        return None
    match task.state:
        case State.CANCELLING if task.attempt_id is None:
            return _finish(task, Outcome.CANCELLED, None, now)
        case State.WAITING if situation.dependencies is Dependencies.FAILED:
            return _finish(
                task,
                Outcome.SKIPPED,
                TaskError(
                    code=ErrorCode.DEPENDENCY_FAILED, description="A task that this one depends on did not succeed."
                ),
                now,
            )
        case State.WAITING:
            return None
    if situation.lease_lost:
        text = f"The worker {task.worker} stopped answering while it ran the task."
        return _finish(task, Outcome.FAILED, TaskError(code=ErrorCode.WORKER_LOST, description=text), now)
    if task.state is State.CANCELLING and _passed(
        task.cancel_requested_at_ms, situation.cancel_grace_ms, situation.now_ms
    ):
        text = f"The task did not stop within {situation.cancel_grace_ms // 1000} s of the request to cancel it."
        return _finish(task, Outcome.FAILED, TaskError(code=ErrorCode.CANCEL_ABANDONED, description=text), now)
    if task.timeout_seconds is not None and _passed(task.started_at_ms, task.timeout_seconds * 1000, situation.now_ms):
        text = f"The task ran for longer than its limit of {task.timeout_seconds} s."
        return _finish(task, Outcome.FAILED, TaskError(code=ErrorCode.TIMEOUT, description=text), now)
    return None


def _passed(since_ms: int | None, limit_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms > limit_ms


def _finish(task: Task, outcome: Outcome, error: TaskError | None, now: datetime) -> Event:
    reason = error.code if error is not None else outcome.value
    return Event(
        id=derived_id(task.task_id, task.attempt_id, reason),
        task_id=task.task_id,
        time=now,
        actor=REACTOR,
        data=Finished(outcome=outcome, attempt_id=task.attempt_id, error=error),
        correlation_id=task.correlation_id,
    )
