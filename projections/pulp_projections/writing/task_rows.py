"""Rows of tasks for COPY: whole ones, what may change in one, those of its resources, and that of its cause.

Their columns: `store.sql`, in the same order.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final
from uuid import UUID

import msgspec
from pulp_events.events import Access, Resource
from pulp_events.task import Task

from pulp_projections.writing import binary_copy as field
from pulp_projections.writing.fold import Cause
from pulp_projections.writing.uses import uses

_json = msgspec.json.Encoder().encode
_texts: Final = lru_cache(maxsize=256)(field.texts)
# Fields with their lengths, several in one step; first how many the row has.
_head: Final = Struct(">hi16s").pack
_numbers: Final = Struct(">iqiqiiiiiq").pack
_lasting_numbers: Final = Struct(">iiiqiiiq").pack
_CHANGING: Final = 16
_LASTING: Final = 17


def created(tasks: Iterable[Task]) -> bytes:
    """All that COPY expects, for `copy_tasks`."""
    return field.table(_changing(task, _CHANGING + _LASTING) + _lasting(task) for task in tasks)


def changed(tasks: Iterable[Task]) -> bytes:
    """All that COPY expects, for `copy_changed`."""
    return field.table(_changing(task, _CHANGING) for task in tasks)


def resources(tasks: Iterable[Task]) -> bytes:
    """All that COPY expects, for `copy_resources`: none of a task without resources."""
    return field.table(
        use + field.time(task.accepted_at_ms) + field.uuid(task.task_id)
        for task in tasks
        for use in _uses(task.resources)
    )


def causes(pairs: Iterable[Cause]) -> bytes:
    """All that COPY expects, for `copy_causes`."""
    return field.table(field.row((field.uuid(pair.task_id), field.uuid(pair.cause))) for pair in pairs)


def _changing(task: Task, fields: int) -> bytes:
    updated_at = field.microseconds(task.updated_at_ms)
    return b"".join(
        (
            _head(fields, 16, task.task_id.int.to_bytes(16)),
            _numbers(8, updated_at, 8, task.offset, 4, task.version, 4, task.attempt, 8, task.sequence),
            field.boolean(task.cancellable),
            field.text(task.state),
            field.time(task.started_at_ms),
            field.time(task.cancel_requested_at_ms),
            field.time(task.finished_at_ms),
            field.uuid(task.attempt_id),
            field.text(task.worker),
            field.data(task.progress),
            field.data(task.result),
            field.NULL if task.error is None else field.data(_json(task.error)),
        )
    )


def _lasting(task: Task) -> bytes:
    accepted_at = field.microseconds(task.accepted_at_ms)
    return b"".join(
        (
            _lasting_numbers(4, task.priority, 8, accepted_at, 4, task.partition, 8, task.accepted_offset),
            _names(task.operation, task.queue, task.created_by),
            field.data(task.arguments),
            _resources(task.resources),
            _texts(task.tags),
            _relatives(task.group_id, task.parent_id, task.depends_on),
            field.integer(task.timeout_seconds),
            field.NULL if task.correlation_id is None else field.data(task.correlation_id.encode()),
        )
    )


@lru_cache(maxsize=256)
def _names(operation: str, queue: str, created_by: str) -> bytes:
    return field.text(operation) + field.text(queue) + field.text(created_by)


@lru_cache(maxsize=16)  # most tasks have none
def _relatives(group_id: UUID | None, parent_id: UUID | None, depends_on: tuple[UUID, ...]) -> bytes:
    return field.uuid(group_id) + field.uuid(parent_id) + field.uuids(depends_on)


@lru_cache(maxsize=256)  # many tasks use the same
def _resources(resources: tuple[Resource, ...]) -> bytes:
    exclusive = field.texts(resource.key for resource in resources if resource.access is Access.EXCLUSIVE)
    shared = field.texts(resource.key for resource in resources if resource.access is Access.SHARED)
    return field.data(_json(resources)) + exclusive + shared


@lru_cache(maxsize=256)
def _uses(resources: tuple[Resource, ...]) -> Sequence[bytes]:
    """The beginnings of the rows."""
    nothing = b""  # in place of what is the task's own
    return [
        field.row((field.text(use.resource), field.data(use.access.encode()), nothing, nothing))
        for use in uses(resources)
    ]
