"""The task and its state machine: `evolve` is the only place where a task's state changes.

               ┌────────────── finished (never started) ─────────────┐
accepted ─▶ WAITING ─ started ─▶ RUNNING ──────── finished ────────▶ SUCCESSFUL
               │                    │                                FAILED
         cancel-requested    cancel-requested                        CANCELLED
               ▼                    ▼                                SKIPPED
               └────▶ CANCELLING ◀──┘ ─────────── finished ──────────▶
"""

from enum import StrEnum
from typing import Final, NamedTuple, Protocol, assert_never
from uuid import UUID

from msgspec import Raw, Struct
from msgspec.structs import replace

from pulp_events.events import (
    EMPTY_OBJECT,
    NULL,
    Accepted,
    CancelRequested,
    Event,
    Finished,
    Outcome,
    Progress,
    Resource,
    Started,
    TaskError,
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


FINAL: Final = frozenset({State.SUCCESSFUL, State.FAILED, State.CANCELLED, State.SKIPPED})
_RUNNING: Final = State.RUNNING  # an enumeration is slow to ask for its members
_CANCELLING: Final = State.CANCELLING
_STATE_OF: Final = {outcome: State(outcome.value) for outcome in Outcome}


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


class Placed(Protocol):
    """What has a place in the log: a `Position`, or a record."""

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
    WRONG_PARTITION = "wrong partition"
    UNKNOWN_TYPE = "unknown type"


class Ignored(NamedTuple):
    """The event changes nothing, and why."""

    reason: Reason


class Task(Struct, frozen=True, kw_only=True, gc=False):
    """Everything that is known of a task: the fold of its events. Times are the broker's, in milliseconds UTC."""

    # What changes most often is first: there `replace` finds it soonest.
    updated_at_ms: int
    offset: int
    """Of the last effective event."""
    version: int = 1
    """Number of effective events."""
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
    created_by: str
    correlation_id: str | None
    accepted_at_ms: int
    partition: int
    accepted_offset: int
    attempt: int = 0
    attempt_id: UUID | None = None
    worker: str | None = None
    cancellable: bool = False
    result: Raw = NULL
    error: TaskError | None = None
    started_at_ms: int | None = None
    cancel_requested_at_ms: int | None = None
    finished_at_ms: int | None = None

    __repr__ = shown


def evolve(task: Task | None, event: Event, position: Placed, at_ms: int) -> Task | Ignored:
    """The task after the event, or why the event changes nothing. Pure and total; nothing raises.

    `at_ms` is the broker's time of the record. Log order within the partition is the only clock that decides.
    """
    data = event.data
    if task is None:
        return _created(event, data, position, at_ms) if type(data) is Accepted else Ignored(Reason.UNKNOWN_TASK)
    if type(data) is Accepted:
        return Ignored(Reason.DUPLICATE)
    if task.state in FINAL:
        return Ignored(Reason.FINAL)
    if type(data) is Progress:  # the most frequent kind first
        return _progressed(task, data, position.offset, at_ms)
    if type(data) is Started:
        return _started(task, data, position.offset, at_ms)
    if type(data) is Finished:
        return _finished(task, data, position.offset, at_ms)
    if type(data) is CancelRequested:
        return _cancelling(task, position.offset, at_ms)
    assert_never(data)


def _created(event: Event, data: Accepted, position: Placed, at_ms: int) -> Task:
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
        created_by=event.actor,
        correlation_id=event.correlation_id,
        accepted_at_ms=at_ms,
        updated_at_ms=at_ms,
        partition=position.partition,
        accepted_offset=position.offset,
        offset=position.offset,
    )


# Each effect names all that it changes, for `replace` with a dict in between takes three times as long.


def _started(task: Task, data: Started, offset: int, at_ms: int) -> Task | Ignored:
    if task.state is _CANCELLING:
        return Ignored(Reason.CANCEL_CAME_FIRST)
    if task.state is _RUNNING and data.attempt <= task.attempt:
        return Ignored(Reason.ATTEMPT_TAKEN)
    return replace(
        task,
        state=_RUNNING,
        attempt=data.attempt,
        attempt_id=data.attempt_id,
        worker=data.worker,
        cancellable=data.cancellable,
        started_at_ms=at_ms,
        sequence=0,
        progress=EMPTY_OBJECT,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _progressed(task: Task, data: Progress, offset: int, at_ms: int) -> Task | Ignored:
    if task.attempt_id is None:
        return Ignored(Reason.NOT_STARTED)
    if data.attempt_id.int != task.attempt_id.int or data.sequence <= task.sequence:  # a UUID is slow to compare
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
        cancel_requested_at_ms=at_ms,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )


def _finished(task: Task, data: Finished, offset: int, at_ms: int) -> Task | Ignored:
    if data.attempt_id != task.attempt_id:
        return Ignored(Reason.NOT_STARTED if task.attempt_id is None else Reason.STALE)
    return replace(
        task,
        state=_STATE_OF[data.outcome],
        result=data.result,
        error=data.error,
        finished_at_ms=at_ms,
        updated_at_ms=at_ms,
        offset=offset,
        version=task.version + 1,
    )
