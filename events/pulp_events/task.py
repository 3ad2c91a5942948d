"""The task and its state machine: `evolve` is the only place where a task's state changes.

               ┌─────────── finished (without an attempt) ───────────┐
accepted ─▶ WAITING ─ started ─▶ RUNNING ──────── finished ────────▶ SUCCESSFUL
             │ ▲                  │ │                                FAILED
             │ └─ attempt-failed ─┘ │                                CANCELLED
      cancel-requested      cancel-requested                         SKIPPED
             ▼                      ▼
             └───▶ CANCELLING ◀─────┘ ─────────── finished ──────────▶

An attempt that fails while the task is CANCELLING leaves it so, without an attempt. A final state never changes;
`purged` hides the task once. `unparked` is about dead letters, and changes no task.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, assert_never
from uuid import UUID

from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from pulp_events.events import (
    EMPTY_OBJECT,
    NULL,
    Accepted,
    AttemptFailed,
    CancelRequested,
    Event,
    Finished,
    Outcome,
    Progress,
    Purged,
    Resource,
    Retry,
    Started,
    TaskError,
    Unparked,
    shown,
)


class State(StrEnum):
    """The states of a task."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


def _is_final(state: State) -> bool:
    match state:
        case State.WAITING | State.RUNNING | State.CANCELLING:
            return False
        case State.SUCCESSFUL | State.FAILED | State.CANCELLED | State.SKIPPED:
            return True
        case _:
            assert_never(state)


FINAL: Final = frozenset(state for state in State if _is_final(state))
"""The states in which a task has ended. In SQL: `is_final(state)`."""
_WAITING: Final = State.WAITING  # looking up a member of an enumeration is slow
_RUNNING: Final = State.RUNNING
_CANCELLING: Final = State.CANCELLING
_STATE_OF: Final = {outcome: State(outcome.value) for outcome in Outcome}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Position(NamedTuple):
    """Where an event is in the log. Offsets of two partitions do not compare. Its text is PARTITION:OFFSET."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The position that `str` wrote. Raises `ValueError` for any other text, and beyond Kafka's 32 and 64 bits."""
        partition, _, offset = text.partition(":")
        return cls(_number(partition, 2**31), _number(offset, 2**63))

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


def _number(digits: str, end: int) -> int:
    # `int` alone takes signs, blanks, underscores and digits of other scripts.
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) < end):
        raise ValueError(f"{digits!r} is not a number from 0 to {end - 1}")
    return int(digits)


class HasPosition(Protocol):
    """Anything with a position in the log: a `Position`, or a record."""

    @property
    def partition(self) -> int:
        """The partition."""
        ...

    @property
    def offset(self) -> int:
        """The offset in it."""
        ...


class Reason(StrEnum):
    """Why an event has no effect. Kept in the history, word for word."""

    DUPLICATE = "duplicate"
    UNKNOWN_TASK = "unknown task"
    ATTEMPT_TAKEN = "attempt is taken"
    CANCEL_CAME_FIRST = "cancel came first"
    NOT_STARTED = "not started"
    STALE = "stale"
    NOT_CANCELLABLE = "not cancellable"
    ALREADY_REQUESTED = "already requested"
    FINAL = "final"
    UNFINISHED = "not finished"
    ALREADY_PURGED = "already purged"
    WRONG_PARTITION = "wrong partition"
    UNKNOWN_TYPE = "unknown type"
    DEAD_LETTER = "about a dead letter"


class Ignored(NamedTuple):
    """The event changes nothing, and why."""

    reason: Reason


class Task(Struct, frozen=True, kw_only=True, gc=False):
    """Everything known about a task: the fold of its events. Times are the broker's, in ms since the epoch."""

    # The fields that change most often come first, where `replace` finds them fastest.
    updated_at_ms: int
    offset: int
    """The offset of the last effective event."""
    version: int = 1
    """The number of effective events."""
    sequence: int = 0
    progress: Raw = EMPTY_OBJECT
    task_id: UUID
    state: State
    operation: str
    arguments: Raw
    resources: tuple[Resource, ...]
    tags: tuple[str, ...]
    queue: str
    priority: int
    group_id: UUID | None
    parent_id: UUID | None
    depends_on: tuple[UUID, ...]
    timeout_seconds: int | None
    """How long one attempt may take."""
    retry: Retry | None = None
    deadline_seconds: int | None = None
    """How long all attempts may take together, from the acceptance."""
    created_by: str
    correlation_id: str | None
    accepted_at_ms: int
    partition: int
    accepted_offset: int
    attempt: int = 0
    """The number of the last attempt; 0 before the first."""
    attempt_id: UUID | None = None
    """The attempt that runs, or that ended the task; None while the task waits."""
    failed_attempts: int = 0
    """Attempts after which the task went on to wait for another one."""
    retry_at_ms: int | None = None
    """While it waits for its next attempt: the earliest time for it."""
    worker: str | None = None
    """The worker of the last attempt."""
    cancellable: bool = False
    result: Raw = NULL
    error: TaskError | None = None
    """Why the task failed; until it ends or another attempt begins, why the last attempt did."""
    started_at_ms: int | None = None
    """When the attempt began that `attempt_id` names."""
    cancel_requested_at_ms: int | None = None
    finished_at_ms: int | None = None
    purged_at_ms: int | None = None
    purged_by: str | None = None
    """Who asked for it."""

    __repr__ = shown


def evolve(task: Task | None, event: Event, position: HasPosition, at_ms: int) -> Task | Ignored:
    """The task after the event, or why the event changes nothing. Pure and total; nothing raises.

    `at_ms` is the broker's time of the record. Log order within the partition is the only clock that decides: a task is
    unknown in other partitions than its own, because the order of two partitions is chance.
    """
    data = event.data
    if task is not None and task.partition != position.partition:
        if type(data) is Unparked:
            return Ignored(Reason.DEAD_LETTER)
        # It exists nevertheless, so it cannot be created again.
        return Ignored(Reason.WRONG_PARTITION if type(data) is Accepted else Reason.UNKNOWN_TASK)
    if task is None:
        if type(data) is Accepted:
            return _created(event, data, position, at_ms)
        return Ignored(Reason.DEAD_LETTER if type(data) is Unparked else Reason.UNKNOWN_TASK)
    if type(data) is Accepted:
        return Ignored(Reason.DUPLICATE)
    if task.state in FINAL:
        if type(data) is Purged:
            return _purged(task, data, position.offset, at_ms)
        return Ignored(Reason.DEAD_LETTER if type(data) is Unparked else Reason.FINAL)
    if type(data) is Progress:  # the most frequent kind first
        return _progressed(task, data, position.offset, at_ms)
    if type(data) is Started:
        return _started(task, data, position.offset, at_ms)
    if type(data) is Finished:
        return _finished(task, data, position.offset, at_ms)
    if type(data) is CancelRequested:
        return _cancelling(task, position.offset, at_ms)
    if type(data) is Purged:
        return Ignored(Reason.UNFINISHED)
    if type(data) is AttemptFailed:
        return _to_be_tried_again(task, data, position.offset, at_ms)
    if type(data) is Unparked:
        return Ignored(Reason.DEAD_LETTER)
    assert_never(data)


def _created(event: Event, data: Accepted, position: HasPosition, at_ms: int) -> Task:
    return Task(
        task_id=event.task_id,
        state=State.WAITING,
        operation=data.operation,
        arguments=data.arguments,
        resources=data.resources,
        tags=data.tags,
        queue=data.queue,
        priority=data.priority,
        group_id=data.group_id,
        parent_id=data.parent_id,
        depends_on=data.depends_on,
        timeout_seconds=data.timeout_seconds,
        retry=None if data.retry is UNSET else data.retry,
        deadline_seconds=None if data.deadline_seconds is UNSET else data.deadline_seconds,
        created_by=event.actor,
        correlation_id=event.correlation_id,
        accepted_at_ms=at_ms,
        updated_at_ms=at_ms,
        partition=position.partition,
        accepted_offset=position.offset,
        offset=position.offset,
    )


# Each effect passes all changed fields to `replace` itself: a dict in between would take three times as long.


def _started(task: Task, data: Started, offset: int, at_ms: int) -> Task | Ignored:
    if task.state is _CANCELLING:
        return Ignored(Reason.CANCEL_CAME_FIRST)
    if data.attempt <= task.attempt:
        return Ignored(Reason.ATTEMPT_TAKEN)
    return replace(
        task,
        state=_RUNNING,
        attempt=data.attempt,
        attempt_id=data.attempt_id,
        worker=data.worker,
        cancellable=data.cancellable,
        retry_at_ms=None,
        error=None,
        started_at_ms=at_ms,
        sequence=0,
        progress=EMPTY_OBJECT,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _progressed(task: Task, data: Progress, offset: int, at_ms: int) -> Task | Ignored:
    if task.attempt_id is None:
        return _without_attempt(task)
    if data.attempt_id.int != task.attempt_id.int or data.sequence <= task.sequence:  # comparing UUIDs is slow
        return Ignored(Reason.STALE)
    return replace(
        task,
        progress=data.progress,
        sequence=data.sequence,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _cancelling(task: Task, offset: int, at_ms: int) -> Task | Ignored:
    if task.state is _CANCELLING:
        return Ignored(Reason.ALREADY_REQUESTED)
    if task.state is _RUNNING and not task.cancellable:
        return Ignored(Reason.NOT_CANCELLABLE)
    return replace(
        task,
        state=_CANCELLING,
        retry_at_ms=None,
        cancel_requested_at_ms=at_ms,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _finished(task: Task, data: Finished, offset: int, at_ms: int) -> Task | Ignored:
    if data.attempt_id != task.attempt_id:
        return _without_attempt(task) if task.attempt_id is None else Ignored(Reason.STALE)
    return replace(
        task,
        state=_STATE_OF[data.outcome],
        result=data.result,
        error=data.error,
        retry_at_ms=None,
        finished_at_ms=at_ms,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _purged(task: Task, data: Purged, offset: int, at_ms: int) -> Task | Ignored:
    if task.purged_at_ms is not None:
        return Ignored(Reason.ALREADY_PURGED)
    return replace(
        task,
        purged_at_ms=at_ms,
        purged_by=data.requested_by,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _to_be_tried_again(task: Task, data: AttemptFailed, offset: int, at_ms: int) -> Task | Ignored:
    if task.attempt_id is None:
        return _without_attempt(task)
    if data.attempt_id != task.attempt_id:
        return Ignored(Reason.STALE)
    # The task is as before its first attempt, except for the record of its attempts.
    return replace(
        task,
        state=_WAITING if task.state is _RUNNING else task.state,
        attempt_id=None,
        failed_attempts=task.failed_attempts + 1,
        retry_at_ms=None if task.state is _CANCELLING else _retry_at_ms(task, data, at_ms),
        cancellable=False,
        error=data.error,
        started_at_ms=None,
        sequence=0,
        progress=EMPTY_OBJECT,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _retry_at_ms(task: Task, data: AttemptFailed, at_ms: int) -> int:
    """The author's time, kept within what the task allows: an author's clock may be wrong by any amount."""
    longest_s = 0.0 if task.retry is None else task.retry.max_backoff_seconds
    wanted_ms = (data.retry_at - _EPOCH) // _MILLISECOND
    return min(max(wanted_ms, at_ms), at_ms + int(longest_s * 1000))


def _without_attempt(task: Task) -> Ignored:
    """Why an event about an attempt has no effect on a task that has none now."""
    return Ignored(Reason.STALE if task.attempt else Reason.NOT_STARTED)
