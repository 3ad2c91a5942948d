"""The events of a task, as frozen facts: seven of its life, and one about its dead letters. `Data` closes the set.

Each class is the `data` of one CloudEvent; `Event` adds the envelope. JSON values that this system only passes on
(arguments, progress, result) stay bytes: `msgspec.Raw`.

The classes are final, so `type(data) is X` narrows the union, and mypy reports a kind that a function does not handle.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

NULL: Final = Raw(b"null")
EMPTY_OBJECT: Final = Raw(b"{}")
SOURCE: Final = "/pulp/tasks"
"""The `source` of the events that nobody asks for by a schedule."""

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Tag = Annotated[str, Meta(min_length=1, max_length=640)]  # small enough for a Postgres index, also in UTF-8
Object = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
Sequence = Annotated[int, Meta(ge=1, le=2**63 - 1)]
MAX_TIME_LIMIT_S: Final = 315_360_000
"""Ten years."""
TimeLimit = Annotated[int, Meta(ge=1, le=MAX_TIME_LIMIT_S)]
"""In seconds."""


def shown(struct: Struct) -> str:
    """The `repr` of a struct, with `Raw` values shown as their JSON text."""
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
    DEADLINE_EXCEEDED = "deadline-exceeded"
    CANCEL_ABANDONED = "cancel-abandoned"
    DEPENDENCY_FAILED = "dependency-failed"
    PERSONAL_DATA_ERASED = "personal-data-erased"
    PERSONAL_DATA_UNREADABLE = "personal-data-unreadable"


class Resource(Struct, frozen=True, forbid_unknown_fields=False, gc=False):
    """Something that a task uses, such as repository `ff7-e6`."""

    type: Name
    id: Name
    access: Access = Access.EXCLUSIVE

    @property
    def key(self) -> str:
        """`TYPE:ID`, which identifies the resource whatever the access."""
        return f"{self.type}:{self.id}"


class TaskError(Struct, frozen=True, omit_defaults=True):
    """Why a task did not succeed."""

    code: Name
    description: str
    traceback: str | None = None


class Retry(Struct, frozen=True, gc=False):
    """How often a task is tried again after a failure, and how long it waits before each further attempt."""

    retries: Annotated[int, Meta(ge=0, le=100)]
    """Further attempts, besides the first."""
    backoff_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 10.0
    """The wait before the first of them, which doubles with each. A part of up to a half is left out at random."""
    max_backoff_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 600.0
    """The longest wait."""


class RequestFacts(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is known of the request that led to an event, and of who sent it."""

    authentication: Name
    """How the actor was authenticated: `basic` (a password), `token`, `session`, `oidc` or `remote-user` (a proxy), for
    a request to the API; `schedule` where nobody sent one."""
    address: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """Where the request came from, if the site keeps that."""
    client: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """What the client calls itself: the beginning of its `User-Agent`."""


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
    timeout_seconds: TimeLimit | None = None
    """How long one attempt may take."""
    retry: Retry | UnsetType | None = UNSET
    """Without it a failure ends the task."""
    deadline_seconds: TimeLimit | UnsetType | None = UNSET
    """How long all attempts may take together with the waits before them, from the acceptance."""
    request: RequestFacts | UnsetType = UNSET
    """Version 1 of the event has none, so an event without it is written as version 1."""

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
class AttemptFailed(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt has failed, and the task is tried again: it waits for its next attempt, which begins no earlier than
    `retry_at`.
    """

    attempt_id: UUID
    error: TaskError
    retry_at: Annotated[datetime, Meta(tz=True)]
    """By the clock of the author. The task waits at most as long as its `retry` allows, from the event on."""


@final
class CancelRequested(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants the task to stop."""

    reason: Annotated[str, Meta(max_length=1024)] | None = None
    request: RequestFacts | UnsetType = UNSET
    """Version 1 of the event has none, so an event without it is written as version 1."""


@final
class Finished(Struct, frozen=True, kw_only=True, gc=False):
    """The task has ended. `attempt_id` is null if it never started."""

    outcome: Outcome
    attempt_id: UUID | None = None
    result: Raw = NULL
    error: TaskError | None = None

    __repr__ = shown


@final
class Purged(Struct, frozen=True, kw_only=True, gc=False):
    """The task, which has ended, was purged: lists and counts leave it out, and nothing of it is deleted."""

    requested_by: Name
    """Who asked for it, such as `user:NAME`. If a task purges others, its id is the `causationid`."""
    filter: Object = EMPTY_OBJECT
    """What the task had to match, such as `states` and `finished_before`; empty where it was named itself."""

    __repr__ = shown


class Unparking(StrEnum):
    """What is done with the record that parks a task."""

    RETRY = "retry"
    DISCARD = "discard"


@final
class Unparked(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants a parked task to go on: the record that parks it is projected again, or left out for ever; then
    the records that wait behind it are projected, in order.
    """

    action: Unparking
    offset: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """The offset of the record that parks the task, in the partition of this event. If another record parks it, nothing
    happens."""
    reason: Annotated[str, Meta(max_length=1024)] | None = None
    request: RequestFacts | UnsetType = UNSET


Data = Accepted | Started | Progress | AttemptFailed | CancelRequested | Finished | Purged | Unparked


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """One CloudEvents 1.0 envelope with its data. `time` is the author's clock: data, never an order."""

    id: UUID
    task_id: UUID
    time: datetime
    actor: Name
    """Who: `user:NAME`, `worker:NAME` or `reactor`."""
    data: Data
    source: str = SOURCE
    correlation_id: str | None = None
    causation_id: str | None = None
    """What led to the event. In an `accepted` event the id of the task that this one runs again."""
    traceparent: str | None = None

    @property
    def rerun_of(self) -> UUID | None:
        """The task that this event's task reruns. None unless this is an `accepted` event whose cause is a task id."""
        if self.causation_id is None or not isinstance(self.data, Accepted):
            return None
        try:
            return UUID(self.causation_id)
        except ValueError:
            return None


class UnknownEvent(Struct, frozen=True, kw_only=True, gc=False):
    """A valid CloudEvent about a task, of a type that this version does not know. It is kept, and has no effect."""

    id: UUID
    task_id: UUID
    time: datetime
    actor: str
    type: str


def json_value(raw: Raw) -> object:
    """The Python value of a JSON text."""
    return msgspec.json.decode(raw)
