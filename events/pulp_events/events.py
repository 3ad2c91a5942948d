"""The five lifecycle events of a task, as frozen facts. Their union, `Data`, closes the set.

Each class is the `data` of one CloudEvent; `Event` adds the envelope. JSON values that this system
only carries (arguments, progress, result) stay the bytes they came as: `msgspec.Raw`.

The classes are final, so that `type(data) is X` narrows the union and mypy reports a kind that a function forgot.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, final
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

NULL: Final = Raw(b"null")
EMPTY_OBJECT: Final = Raw(b"{}")

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Tag = Annotated[str, Meta(min_length=1, max_length=640)]  # in UTF-8 still small enough for an index of Postgres
Object = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
Sequence = Annotated[int, Meta(ge=1, le=2**63 - 1)]


def shown(struct: Struct) -> str:
    """The fields of a struct as `repr` has them, but JSON that is only carried as its text."""
    values = ((name, getattr(struct, name)) for name in struct.__struct_fields__)
    fields = (f"{name}={_json_text(value) if isinstance(value, Raw) else repr(value)}" for name, value in values)
    return f"{type(struct).__name__}({', '.join(fields)})"


def _json_text(raw: Raw) -> str:
    return bytes(raw).decode(errors="replace")


class Access(StrEnum):
    """How a task uses a resource: exclusive conflicts with any other use, shared only with exclusive."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"


class Outcome(StrEnum):
    """How a task ended."""

    SUCCESSFUL = "successful"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class ErrorCode(StrEnum):
    """`error.code` values that this system itself gives; an operation may use others."""

    OPERATION_FAILED = "operation-failed"
    BAD_ARGUMENTS = "bad-arguments"
    OPERATION_CRASHED = "operation-crashed"
    OPERATION_STUCK = "operation-stuck"
    LOOP_BLOCKED = "loop-blocked"
    RESULT_TOO_LARGE = "result-too-large"
    RESULT_NOT_JSON = "result-not-json"
    WORKER_LOST = "worker-lost"
    WORKER_STOPPED = "worker-stopped"
    LEASE_LOST = "lease-lost"
    TIMEOUT = "timeout"
    CANCEL_ABANDONED = "cancel-abandoned"
    DEPENDENCY_FAILED = "dependency-failed"


class Resource(Struct, frozen=True, forbid_unknown_fields=False, gc=False):
    """Something that a task uses, such as repository `ff7-e6`."""

    type: Name
    id: Name
    access: Access = Access.EXCLUSIVE

    @property
    def key(self) -> str:
        """`TYPE:ID`: two uses concern the same resource exactly if their keys are equal."""
        return f"{self.type}:{self.id}"


class TaskError(Struct, frozen=True, omit_defaults=True):
    """Why a task did not succeed."""

    code: Name
    description: str
    traceback: str | None = None


@final
class Accepted(Struct, frozen=True, kw_only=True, gc=False):
    """A request for work was accepted: the task exists, and waits."""

    operation: Name
    arguments: Object = EMPTY_OBJECT
    resources: Annotated[tuple[Resource, ...], Meta(max_length=100)] = ()
    tags: Annotated[tuple[Tag, ...], Meta(max_length=100)] = ()
    queue: Name = "default"
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    """Higher runs first, among tasks that do not conflict."""
    group_id: UUID | None = None
    parent_id: UUID | None = None
    depends_on: Annotated[tuple[UUID, ...], Meta(max_length=100)] = ()
    """The task starts after all of these have succeeded; if one ends otherwise, it is skipped."""
    timeout_seconds: Annotated[int, Meta(ge=1, le=315_360_000)] | None = None

    __repr__ = shown


@final
class Started(Struct, frozen=True, kw_only=True, gc=False):
    """A worker says that it runs the task. `attempt_id` is made by the worker with its claim."""

    attempt: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    attempt_id: UUID
    worker: Name
    cancellable: bool


@final
class Progress(Struct, frozen=True, kw_only=True, gc=False):
    """How far an attempt is. `progress` is a JSON object that replaces the one before as a whole."""

    attempt_id: UUID
    sequence: Sequence
    progress: Object

    __repr__ = shown


@final
class CancelRequested(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants the task to stop."""

    reason: Annotated[str, Meta(max_length=1024)] | None = None


@final
class Finished(Struct, frozen=True, kw_only=True, gc=False):
    """The task has ended. `attempt_id` is null if it never started."""

    outcome: Outcome
    attempt_id: UUID | None = None
    result: Raw = NULL
    error: TaskError | None = None

    __repr__ = shown


Data = Accepted | Started | Progress | CancelRequested | Finished


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """One CloudEvents 1.0 envelope with its data. `time` is the author's clock: data, never an order."""

    id: UUID
    task_id: UUID
    time: datetime
    actor: Name
    """Who: `user:NAME`, `worker:NAME` or `reactor`."""
    data: Data
    source: str = "/pulp/tasks"
    correlation_id: str | None = None
    causation_id: str | None = None
    """What led to the event. In an `accepted` event the id of the task that this one runs again."""
    traceparent: str | None = None

    @property
    def rerun_of(self) -> UUID | None:
        """The task that this event's task runs again. None for any event but `accepted`, and for a cause of another
        kind: one that is no task id."""
        if self.causation_id is None or not isinstance(self.data, Accepted):
            return None
        try:
            return UUID(self.causation_id)
        except ValueError:
            return None


class UnknownEvent(Struct, frozen=True, kw_only=True, gc=False):
    """A sound CloudEvent about a task, of a type that this version does not know: kept, and without effect."""

    id: UUID
    task_id: UUID
    time: datetime
    actor: str
    type: str


def json_value(raw: Raw) -> object:
    """The Python value of a carried JSON text."""
    return msgspec.json.decode(raw)
