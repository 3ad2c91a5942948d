"""Builders of events, with defaults for everything."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec import Raw
from pulp_events.events import (
    Accepted,
    AttemptFailed,
    CancelRequested,
    Data,
    Event,
    Finished,
    Outcome,
    Progress,
    Purged,
    Resource,
    Started,
    TaskError,
    Unparked,
    Unparking,
)
from pulp_events.ids import new_id

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TASK = UUID("e0e0a250-eded-468f-9d97-0419a00b130f")
ATTEMPT = UUID("11111111-1111-4111-8111-111111111111")
OTHER_ATTEMPT = UUID("22222222-2222-4222-8222-222222222222")


def event(
    data: Data,
    *,
    task_id: UUID = TASK,
    actor: str = "user:admin",
    event_id: UUID | None = None,
    causation_id: str | None = None,
) -> Event:
    """The data in an envelope."""
    return Event(id=event_id or new_id(), task_id=task_id, time=NOON, actor=actor, data=data, causation_id=causation_id)


def accepted(
    task_id: UUID = TASK,
    *,
    operation: str = "sync",
    resources: tuple[Resource, ...] = (),
    rerun_of: UUID | None = None,
    **data: object,
) -> Event:
    """A task was accepted, perhaps to run another one again."""
    cause = None if rerun_of is None else str(rerun_of)
    made = Accepted(operation=operation, resources=resources, **data)  # type: ignore[arg-type]  # a builder
    return event(made, task_id=task_id, causation_id=cause)


def started(
    task_id: UUID = TASK, *, attempt: int = 1, attempt_id: UUID = ATTEMPT, cancellable: bool = True, worker: str = "w1"
) -> Event:
    """A worker started it."""
    data = Started(attempt=attempt, attempt_id=attempt_id, worker=worker, cancellable=cancellable)
    return event(data, task_id=task_id, actor=f"worker:{worker}")


def progress(task_id: UUID = TASK, *, sequence: int = 1, attempt_id: UUID = ATTEMPT, value: object = None) -> Event:
    """It got on."""
    raw = Raw(msgspec.json.encode({"step": sequence} if value is None else value))
    return event(Progress(attempt_id=attempt_id, sequence=sequence, progress=raw), task_id=task_id, actor="worker:w1")


def attempt_failed(
    task_id: UUID = TASK,
    *,
    attempt_id: UUID = ATTEMPT,
    retry_at: datetime = NOON,
    error: TaskError = TaskError("operation-failed", "no route to host"),  # noqa: B008  # frozen
) -> Event:
    """An attempt failed, and the task waits for its next one."""
    data = AttemptFailed(attempt_id=attempt_id, error=error, retry_at=retry_at)
    return event(data, task_id=task_id, actor="worker:w1")


def cancel_requested(task_id: UUID = TASK) -> Event:
    """Somebody wants it to stop."""
    return event(CancelRequested(), task_id=task_id)


def finished(
    task_id: UUID = TASK,
    *,
    outcome: Outcome = Outcome.SUCCESSFUL,
    attempt_id: UUID | None = ATTEMPT,
    error: TaskError | None = None,
) -> Event:
    """It ended."""
    return event(Finished(outcome=outcome, attempt_id=attempt_id, error=error), task_id=task_id, actor="worker:w1")


def purged(task_id: UUID = TASK, *, by: str = "user:admin", cause: UUID | None = None, filter: object = None) -> Event:
    """It was purged, perhaps by the task `cause`."""
    raw = Raw(msgspec.json.encode({} if filter is None else filter))
    data = Purged(requested_by=by, filter=raw)
    return event(data, task_id=task_id, causation_id=None if cause is None else str(cause))


def unparked(
    task_id: UUID = TASK, *, offset: int = 0, action: Unparking = Unparking.RETRY, reason: str | None = None
) -> Event:
    """An operator let it go on."""
    return event(Unparked(action=action, offset=offset, reason=reason), task_id=task_id, actor="os:root")
