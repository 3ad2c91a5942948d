"""The topic of states: what each task is now, for readers that do not need its past.

The last record of a key counts; Kafka removes earlier ones (compaction). Its value is a CloudEvent whose `data` is a
`TaskState`. A record without a value (a tombstone) says that the task was purged.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from pulp_events.codec import Envelope
from pulp_events.errors import UndecodableRecord
from pulp_events.events import SOURCE, Resource, TaskError
from pulp_events.ids import derived_id
from pulp_events.task import Position, State, Task

STATE_TYPE: Final = "org.pulpproject.task.state.v1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TaskState(Struct, frozen=True, kw_only=True, gc=False):
    """What a task is now, without arguments and result. Of two states, the one with the higher `version` is later."""

    state: State
    version: int
    position: str
    """The PARTITION:OFFSET of the last event that had an effect, in the topic of events."""
    operation: str
    resources: tuple[Resource, ...]
    created_by: str
    group_id: UUID | None
    parent_id: UUID | None
    queue: str
    priority: int
    attempt: int
    worker: str | None
    progress: Raw
    error: TaskError | None
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


class TaskNow(Struct, frozen=True, kw_only=True):
    """A record of the topic of states: the task, and its state; None if it was purged."""

    task_id: UUID
    state: TaskState | None


def encode_state(task: Task) -> bytes | None:
    """The value of the task's record; None, which makes a tombstone, for a task that is purged.

    The same task gives the same bytes, and the same `id`, however often it is published.
    """
    if task.purged_at_ms is not None:
        return None
    state = TaskState(
        state=task.state,
        version=task.version,
        position=str(Position(task.partition, task.offset)),
        operation=task.operation,
        resources=task.resources,
        created_by=task.created_by,
        group_id=task.group_id,
        parent_id=task.parent_id,
        queue=task.queue,
        priority=task.priority,
        attempt=task.attempt,
        worker=task.worker,
        progress=task.progress,
        error=task.error,
        accepted_at=_time(task.accepted_at_ms),
        started_at=_time_or_none(task.started_at_ms),
        finished_at=_time_or_none(task.finished_at_ms),
        updated_at=_time(task.updated_at_ms),
    )
    return msgspec.json.encode(
        Envelope(
            specversion="1.0",
            id=derived_id("state of", task.task_id, task.version),
            source=SOURCE,
            type=STATE_TYPE,
            subject=task.task_id,
            time=state.updated_at,
            actor=task.created_by,
            data=Raw(msgspec.json.encode(state)),
            datacontenttype="application/json",
        )
    )


def decode_state(key: bytes | None, value: bytes | None) -> TaskNow:
    """The record of the topic of states. Raises `UndecodableRecord` for any other record."""
    try:
        task_id = msgspec.convert((key or b"").decode(), UUID)
        if value is None:
            return TaskNow(task_id=task_id, state=None)
        envelope = msgspec.json.decode(value, type=Envelope)
        if envelope.type != STATE_TYPE or envelope.subject != task_id:
            raise UndecodableRecord(f"it is no {STATE_TYPE} of the task that its key names")
        return TaskNow(task_id=task_id, state=msgspec.json.decode(envelope.data, type=TaskState))
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise UndecodableRecord(f"it is no {STATE_TYPE}: {error}") from error


def _time(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def _time_or_none(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else _time(at_ms)
